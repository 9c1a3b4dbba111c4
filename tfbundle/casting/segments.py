"""The stretches of tensors that lie in one block, and how their numbers get into a table.

A block usually belongs to one tensor, and sometimes to ten thousand; neither takes a step of Python for each tensor.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.stats import StatsTable

Bits = NDArray[Any]
"""Bit patterns, as unsigned integers; one dimension, C order, native byte order."""

Flags = NDArray[np.bool_]
Counts = NDArray[np.int64] | int


class SmallLimits(NamedTuple):
    """Magnitudes at which the outcome of a cast changes, as bit patterns of the source dtype.

    Attributes:
        underflow: the largest that rounds to zero.
        normal: the smallest that rounds to a normal number.
    """

    underflow: int
    normal: int


class Segments:
    """The tensors that have elements in a block.

    Args:
        table: where statistics of all tensors are collected.
        rows: the tensors' rows in it.
        starts: element of the block at which each starts, the first at 0.
    """

    def __init__(self, table: StatsTable, rows: slice, starts: NDArray[np.intp]) -> None:
        self._table = table
        self._rows = rows
        self._starts = starts
        self.alone = len(starts) == 1

    def apart(self) -> tuple[StatsTable, Segments]:
        """Return the same stretches with a table of their own, for what is only one part of a cast."""
        table = StatsTable(len(self._starts))
        return table, Segments(table, slice(None), self._starts)

    def largest(self, numbers: Bits) -> Bits:
        """Return the largest number of each tensor."""
        if self.alone:
            largest: Bits = np.maximum.reduce(numbers, keepdims=True)
        else:
            largest = np.maximum.reduceat(numbers, self._starts)
        return largest

    def smallest(self, numbers: Bits) -> Bits:
        """Return the smallest number of each tensor."""
        if self.alone:
            smallest: Bits = np.minimum.reduce(numbers, keepdims=True)
        else:
            smallest = np.minimum.reduceat(numbers, self._starts)
        return smallest

    def largest_finite(self, magnitude: Bits, work: Bits, infinity: int) -> Bits:
        """Return the largest pattern below that of infinity in each tensor, 0 where there is none.

        Args:
            magnitude: patterns without their signs.
            work: scratch memory of the same size.
            infinity: its pattern.
        """
        inf = np.array(infinity, magnitude.dtype)
        beyond = np.array((1 << 8 * magnitude.itemsize) - infinity, magnitude.dtype)
        np.add(magnitude, beyond, out=work)  # all others are beyond infinity and NaN then, in the same order
        largest = self.largest(work)
        return np.where(largest >= beyond, largest + inf, np.zeros_like(inf))

    def count(self, flags: Flags) -> Counts:
        """Return how many flags are set in each tensor; 0 if none is at all."""
        total = int(np.count_nonzero(flags))
        if self.alone or not total:
            return total
        return np.add.reduceat(flags, self._starts, dtype=np.int32).astype(np.int64)

    def count_at(self, places: NDArray[np.intp]) -> Counts:
        """Return how many of some places are in each tensor."""
        if self.alone:
            return len(places)
        numbers = np.searchsorted(self._starts, places, "right") - 1
        return np.bincount(numbers, minlength=len(self._starts)).astype(np.int64)

    def add(self, field: str, counts: Counts) -> None:
        """Add counts to a column of the table."""
        getattr(self._table, field)[self._rows] += counts

    def add_small(self, small: SmallLimits, magnitude: Bits, work: Bits, flags: Flags) -> None:
        """Count what underflows or becomes subnormal.

        Args:
            small: which magnitudes do.
            magnitude: of the numbers, as bit patterns.
            work: scratch memory of the same size, which may be that of the magnitudes.
            flags: scratch memory.
        """
        np.subtract(magnitude, np.array(1, magnitude.dtype), out=work)  # zero is as large as can be then
        if int(np.minimum.reduce(work)) >= small.normal - 1:
            return
        underflow = self.count(np.less(work, np.array(small.underflow, work.dtype), out=flags))
        self.add("underflow", underflow)
        below = self.count(np.less(work, np.array(small.normal - 1, work.dtype), out=flags))
        self.add("subnormal", below - underflow)

    def raise_largest(self, magnitudes: NDArray[np.floating[Any]]) -> None:
        """Take each tensor's largest finite magnitude into the table."""
        column = self._table.largest[self._rows]
        np.maximum(column, magnitudes, out=column)
