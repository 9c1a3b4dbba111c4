"""How large the inputs are."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Scale:
    """A smaller edition of the whole suite.

    Attributes:
        name: how reports call it.
        byte_divisor: by how much payloads are smaller.
        entry_divisor: by how much tensors are fewer.
        round_divisor: by how much rounds are fewer.
        slow_rounds: most rounds of contenders that take long.
    """

    name: str
    byte_divisor: int = 1
    entry_divisor: int = 1
    round_divisor: int = 1
    slow_rounds: int = 2


FULL = Scale("full")
QUICK = Scale("quick", byte_divisor=16, entry_divisor=10, round_divisor=2, slow_rounds=1)
TINY = Scale("tiny", byte_divisor=4096, entry_divisor=500, round_divisor=100, slow_rounds=1)


@dataclass(frozen=True)
class InputSize:
    """Payload bytes and number of tensors that an input is made for; roughly what it gets."""

    nbytes: int
    tensors: int

    def scaled(self, scale: Scale) -> InputSize:
        """Return the size at a scale.

        Example:
            >>> InputSize(1600, 100).scaled(QUICK)
            InputSize(nbytes=100, tensors=10)
        """
        return InputSize(self.nbytes // scale.byte_divisor, max(1, self.tensors // scale.entry_divisor))


INPUTS = {
    "mixed": InputSize(2 * GIB, 10_000),
    "adam": InputSize(2 * GIB, 10_000),
    "one": InputSize(2 * GIB, 10_000),  # as many values as "many" has in so many tensors
    "many": InputSize(2 * GIB, 10_000),
    "eight": InputSize(8 * GIB, 10_000),
    "million": InputSize(128 * MIB, 1_000_000),
    "rows": InputSize(GIB, 1),
    "columns": InputSize(GIB, 1),
}
