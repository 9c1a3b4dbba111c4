"""How far the results of a cast are from its sources: one tensor's deviation as an object, those of many in columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.exponents import ExponentCounts

_COLUMNS = ("compared", "zeros", "max_absolute", "max_relative", "rms")


@dataclass(frozen=True)
class Deviation:
    """Errors over the elements of a tensor, and how its values are distributed.

    Attributes:
        compared: elements that are finite before and after the cast; what follows, up to ``rms``, is about them.
        zeros: elements that were zero before.
        max_absolute: largest |result - x|.
        max_relative: largest |result - x| / |x|, where x is not zero.
        rms: root of the mean of (result - x)^2.
        first_exponent: of ``exponents``, 0 if there are none.
        exponents: how many of the finite values before the cast, zeros left out, had a binary exponent floor(log2 |x|)
            of ``first_exponent``, of one more, and so on up to the last that occurs. Those below -160 or above 160
            are counted as these.

    Example:
        >>> from tfbundle.casting.meter import DeviationMeter
        >>> source, result = np.array([1, 5, 0.3], np.float32), np.array([1, 5, 0.25], np.float16)
        >>> found = DeviationMeter("float32", "float16").measure(source.view(np.uint32), result.view(np.uint16))[0]
        >>> f"{found.max_absolute:.3f} {found.max_relative:.3f} {found.rms:.3f}"
        '0.050 0.167 0.029'
        >>> found.first_exponent, found.exponents
        (-2, (1, 0, 1, 0, 1))
    """

    compared: int = 0
    zeros: int = 0
    max_absolute: float = 0.0
    max_relative: float = 0.0
    rms: float = 0.0
    first_exponent: int = 0
    exponents: tuple[int, ...] = ()


class DeviationTable:
    """Deviations of many tensors, one row each, in columns; every row starts as that of no elements.

    The mean, not the sum, of squares is kept, by its root: neither can it be too large, nor can it vanish.

    Attributes:
        compared: like the field of that name in ``Deviation``; int64.
        zeros: likewise.
        max_absolute: likewise; float64.
        max_relative: likewise.
        rms: likewise.
        exponents: counts of exponents.

    Args:
        num_rows: how many.

    Example:
        >>> part = DeviationTable(1)
        >>> part.compared[0], part.rms[0] = 5, 0.5
        >>> whole = DeviationTable(3)
        >>> whole.add(1, part)
        >>> whole.add(1, part)
        >>> whole[1].compared, whole[1].rms
        (10, 0.5)
    """

    def __init__(self, num_rows: int) -> None:
        self.compared = np.zeros(num_rows, np.int64)
        self.zeros = np.zeros(num_rows, np.int64)
        self.max_absolute = np.zeros(num_rows, np.float64)
        self.max_relative = np.zeros(num_rows, np.float64)
        self.rms = np.zeros(num_rows, np.float64)
        self.exponents = ExponentCounts(num_rows)

    def __len__(self) -> int:
        return len(self.compared)

    def __getitem__(self, row: int) -> Deviation:
        fields: dict[str, Any] = {name: getattr(self, name)[row].item() for name in _COLUMNS}
        first, exponents = self.exponents[row % len(self)]
        return Deviation(**fields, first_exponent=first, exponents=exponents)

    def __iter__(self) -> Iterator[Deviation]:
        return (self[row] for row in range(len(self)))

    def add(self, first_row: int, other: DeviationTable) -> None:
        """Add another table's rows to as many of this one's.

        Args:
            first_row: where the other's first row goes.
            other: deviations of further parts of the same tensors.

        Raises:
            ValueError: it does not fit.
        """
        if not 0 <= first_row <= len(self) - len(other):
            raise ValueError(f"{len(other)} rows from row {first_row} do not fit into {len(self)}")
        self.add_at(np.arange(first_row, first_row + len(other)), other)

    def add_at(self, rows: NDArray[np.signedinteger[Any]], other: DeviationTable) -> None:
        """Add each row of another table to a row of this one; the same row may be named more than once."""
        touched = np.unique(rows)
        before = self.compared[touched]
        np.add.at(self.compared, rows, other.compared)
        self.rms[touched] *= _root_of_share(before, self.compared[touched])
        np.hypot.at(self.rms, rows, other.rms * _root_of_share(other.compared, self.compared[rows]))
        np.add.at(self.zeros, rows, other.zeros)
        np.maximum.at(self.max_absolute, rows, other.max_absolute)
        np.maximum.at(self.max_relative, rows, other.max_relative)
        self.exponents.add_at(rows, other.exponents)

    def total(self) -> Deviation:
        """Return the deviation of all rows together."""
        compared = self.compared.sum()
        largest = self.rms.max(initial=0.0) or 1.0
        shares = self.rms / largest * _root_of_share(self.compared, compared)
        first, exponents = self.exponents.total()
        return Deviation(
            compared.item(),
            self.zeros.sum().item(),
            self.max_absolute.max(initial=0.0).item(),
            self.max_relative.max(initial=0.0).item(),
            float(largest * np.sqrt(np.square(shares).sum())),
            first,
            exponents,
        )


def _root_of_share(part: NDArray[np.int64], whole: NDArray[np.int64] | np.int64) -> NDArray[np.float64]:
    """Return what the root of a part's mean of squares counts in that of the whole."""
    root: NDArray[np.float64] = np.sqrt(part / np.maximum(whole, 1))
    return root
