"""The stretches of tensors that lie in one block, and how their numbers get into a table.

A block usually belongs to one tensor, and sometimes to ten thousand; neither takes a step of Python for each tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.stats import StatsTable

Bits = NDArray[Any]
"""Bit patterns, as unsigned integers; one dimension, C order, native byte order."""

Flags = NDArray[np.bool_]
Counts = NDArray[np.int64] | int


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

    def largest(self, numbers: Bits) -> Bits:
        """Return the largest number of each tensor."""
        if self.alone:
            largest: Bits = np.maximum.reduce(numbers, keepdims=True)
        else:
            largest = np.maximum.reduceat(numbers, self._starts)
        return largest

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

    def raise_largest(self, bits: Bits) -> None:
        """Take the bit patterns of each tensor's largest finite magnitude, as float32, into the table."""
        column = self._table.largest[self._rows]
        np.maximum(column, bits.view(np.float32), out=column)
