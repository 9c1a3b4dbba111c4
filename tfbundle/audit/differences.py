"""What a comparison of two checkpoints finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tfbundle.audit.closeness import Extreme, Tolerance


@dataclass(frozen=True)
class DiffOptions:
    """What counts as a difference.

    Attributes:
        ignore_dtype: another dtype alone does not, where both are of numbers.
        bits: numbers of the same dtype that are equal but not bit for bit do: -0.0 and 0.0, or NaNs of different bits.
        quick: tensors of the same dtype, shape and stored checksum are equal, unread and unverified.

    Example:
        >>> DiffOptions(ignore_dtype=True).bits
        False
    """

    ignore_dtype: bool = False
    bits: bool = False
    quick: bool = False


@dataclass(frozen=True)
class DtypeDiff:
    """A tensor with another dtype on each side.

    Attributes:
        name: of the tensor.
        left: dtype on the left.
        right: dtype on the right.
        comparable: whether both are of numbers, so that values can be compared all the same.
    """

    name: str
    left: str
    right: str
    comparable: bool


@dataclass(frozen=True)
class ShapeDiff:
    """A tensor with another shape on each side; its values are not compared."""

    name: str
    left: tuple[int, ...]
    right: tuple[int, ...]


@dataclass(frozen=True)
class ValueDiff:
    """A tensor whose values are not all the same, bit for bit.

    Attributes:
        name: of the tensor.
        num_elements: how many elements it has.
        num_different: how many differ by more than the tolerance; of a variant tensor that differs, all.
        num_close: how many differ by less.
        num_other_bits: how many are equal, but not bit for bit.
        first: index of the first element that differs by more than the tolerance.
        largest_absolute: the largest difference, tolerated ones included; None where there is none, or no numbers.
        largest_relative: the largest difference by the magnitude of the right number.
    """

    name: str
    num_elements: int
    num_different: int
    num_close: int
    num_other_bits: int
    first: tuple[int, ...] | None
    largest_absolute: Extreme | None
    largest_relative: Extreme | None


@dataclass(frozen=True)
class DiffReport:
    """What two checkpoints do not have in common.

    Attributes:
        left: prefix of the one.
        right: prefix of the other.
        tolerance: what counted as equal.
        options: what counted as a difference.
        num_common: how many tensors both have.
        num_unread: how many of them were taken as equal by their checksums.
        only_left: names of tensors that only the left one has.
        only_right: names of tensors that only the right one has.
        dtypes: tensors of different dtypes.
        shapes: tensors of different shapes.
        values: tensors with values that differ by more than the tolerance.
        close: tensors with values that are not the same bit for bit, but near enough.
    """

    left: str
    right: str
    tolerance: Tolerance
    options: DiffOptions
    num_common: int
    num_unread: int
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]
    dtypes: tuple[DtypeDiff, ...]
    shapes: tuple[ShapeDiff, ...]
    values: tuple[ValueDiff, ...]
    close: tuple[ValueDiff, ...]

    @property
    def equal(self) -> bool:
        """Whether there is no difference that counts."""
        dtypes = [found for found in self.dtypes if not (self.options.ignore_dtype and found.comparable)]
        return not (self.only_left or self.only_right or dtypes or self.shapes or self.values)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain lists, dictionaries, text and numbers."""
        extremes = {"tolerance": self.tolerance._asdict()}
        return {"equal": self.equal, **asdict(self, dict_factory=_plain_dict), **extremes}


def _plain_dict(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value._asdict() if isinstance(value, Extreme) else value for key, value in items}
