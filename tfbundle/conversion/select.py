"""Which tensors are cast, kept and dropped: patterns on names, and the treatment of optimizer state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tfbundle.format.patterns import compile_pattern

OptimizerState = Literal["keep", "cast", "drop"]


@dataclass(frozen=True)
class Selection:
    """Which float32 tensors to cast, and which tensors to leave out.

    Patterns are shell globs in which ``*`` also matches ``/``, or regular expressions after ``re:``, found anywhere in
    the name. A TF2 key may be given without its closing ``/.ATTRIBUTES/VARIABLE_VALUE``.

    Attributes:
        keep: tensors that stay in their dtype.
        only: when not empty, tensors outside it stay in their dtype.
        drop: tensors that the output leaves out.
        optimizer: ``"keep"`` leaves optimizer state float32, ``"cast"`` treats it like any tensor, ``"drop"`` leaves
            it out. Second moments of Adam are so small that float16 turns many of them into zero, which
            ruins continued training: hence the default.
        rename: (from, to) pairs, applied in order: a name that begins with ``from`` begins with ``to`` instead; after
            ``re:``, ``from`` is a regular expression and ``to`` may refer to its groups.

    Raises:
        ValueError: no such choice for ``optimizer``, or a malformed regular expression.

    Example:
        >>> Selection(keep=("*/batch_norm*",), optimizer="drop").optimizer
        'drop'
    """

    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    optimizer: OptimizerState = "keep"
    rename: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(OptimizerState):
            raise ValueError(f"optimizer is {self.optimizer!r}, expected one of {get_args(OptimizerState)}")
        for pattern in (*self.keep, *self.only, *self.drop):
            compile_pattern(pattern)
        for old, _ in self.rename:
            compile_pattern(old)
