"""What a cast did to the numbers of tensors: one tensor's as an object, those of many in columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tfbundle.casting.deviation import Deviation, DeviationTable

_COUNTS = ("elements", "overflow", "underflow", "subnormal", "inf", "nan")
_FIELDS = (*_COUNTS, "largest")


@dataclass(frozen=True)
class CastStats:
    """Counts over the elements of a tensor, or of a part of one.

    Attributes:
        elements: how many were cast.
        overflow: finite values too large for the target dtype.
        underflow: values other than zero that became zero.
        subnormal: results below the smallest normal number, which have lost precision.
        inf: infinities that were there before.
        nan: NaN that were there before.
        largest: largest finite magnitude before the cast, 0.0 if there was none.
        deviation: errors, and how the values are distributed; None where that was not measured.

    Example:
        >>> CastStats(elements=3, overflow=1, largest=7e4).deviation is None
        True
    """

    elements: int = 0
    overflow: int = 0
    underflow: int = 0
    subnormal: int = 0
    inf: int = 0
    nan: int = 0
    largest: float = 0.0
    deviation: Deviation | None = None


class StatsTable:
    """Statistics of many tensors, one row each, in columns; every row starts as that of no elements.

    Attributes:
        elements: like the field of that name in ``CastStats``; int64, as all the counts.
        overflow: likewise.
        underflow: likewise.
        subnormal: likewise.
        inf: likewise.
        nan: likewise.
        largest: likewise; float64.
        deviations: errors and distributions, of as many rows; None as long as none were measured.

    Args:
        num_rows: how many.

    Example:
        >>> part = StatsTable(1)
        >>> part.elements[0] = 5
        >>> whole = StatsTable(3)
        >>> whole.add(1, part)
        >>> whole.add(1, part)
        >>> whole[1].elements, whole.total().elements
        (10, 10)
    """

    def __init__(self, num_rows: int) -> None:
        self._counts = np.zeros((len(_COUNTS), num_rows), np.int64)
        self.largest = np.zeros(num_rows, np.float64)
        self.deviations: DeviationTable | None = None
        self._name_columns()

    def _name_columns(self) -> None:
        self.elements, self.overflow, self.underflow, self.subnormal, self.inf, self.nan = self._counts

    def __getstate__(self) -> tuple[Any, ...]:
        return self._counts, self.largest, self.deviations

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._counts, self.largest, self.deviations = state
        self._name_columns()

    def __len__(self) -> int:
        return len(self.elements)

    def __getitem__(self, row: int) -> CastStats:
        fields: dict[str, Any] = {name: getattr(self, name)[row].item() for name in _FIELDS}
        return CastStats(**fields, deviation=None if self.deviations is None else self.deviations[row])

    def __iter__(self) -> Iterator[CastStats]:
        columns: list[list[Any]] = [getattr(self, name).tolist() for name in _FIELDS]
        deviations = repeat(None, len(self)) if self.deviations is None else self.deviations
        return (CastStats(*row) for row in zip(*columns, deviations, strict=True))

    def add(self, first_row: int, other: StatsTable) -> None:
        """Add another table's rows to as many of this one's.

        Args:
            first_row: where the other's first row goes.
            other: statistics of further parts of the same tensors.

        Raises:
            ValueError: it does not fit.
        """
        rows = slice(first_row, first_row + len(other))
        if not 0 <= first_row <= len(self) - len(other):
            raise ValueError(f"{len(other)} rows from row {first_row} do not fit into {len(self)}")
        self._counts[:, rows] += other._counts
        np.maximum(self.largest[rows], other.largest, out=self.largest[rows])
        if other.deviations is not None:
            self._measured().add(first_row, other.deviations)

    def add_at(self, rows: NDArray[np.signedinteger[Any]], other: StatsTable) -> None:
        """Add each row of another table to a row of this one; the same row may be named more than once."""
        for name in _COUNTS:
            np.add.at(getattr(self, name), rows, getattr(other, name))
        np.maximum.at(self.largest, rows, other.largest)
        if other.deviations is not None:
            self._measured().add_at(rows, other.deviations)

    def _measured(self) -> DeviationTable:
        if self.deviations is None:
            from tfbundle.casting.deviation import DeviationTable

            self.deviations = DeviationTable(len(self))
        return self.deviations

    def total(self) -> CastStats:
        """Return the sum of all rows."""
        fields: dict[str, Any] = {name: getattr(self, name).sum().item() for name in _COUNTS}
        fields["largest"] = self.largest.max(initial=0).item()
        return CastStats(**fields, deviation=None if self.deviations is None else self.deviations.total())
