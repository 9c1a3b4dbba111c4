"""Measuring casts of whole windows, in which one tensor may lie, or ten thousand.

Values and results are compared as float64, which holds all but large integers exactly. float32 that were cast to 16
bits go a faster way where they can (see ``rounding``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.casters import INTEGERS, can_cast
from tfbundle.casting.deviation import DeviationTable
from tfbundle.casting.exponents import find_exponents
from tfbundle.casting.rounding import RoundingMeter
from tfbundle.casting.segments import Bits
from tfbundle.casting.widen import Bfloat16Widener, HalfWidener
from tfbundle.errors import UnsupportedError

_ALONE = 4096
"""A tensor of so many elements is worth steps of its own."""

_TOGETHER = 32768
"""Elements of smaller tensors that are measured in one step; also those of one tensor that goes the slower way."""

Doubles = NDArray[np.float64]


class DeviationMeter:
    """Tells how far the results of a cast are from its sources.

    Not thread-safe: one instance for each thread.

    Args:
        source: dtype name.
        target: likewise.

    Raises:
        UnsupportedError: there is no cast from one to the other.

    Example:
        >>> source = np.array([1, 5, 0.3, 0], np.float32)
        >>> result = source.astype(np.float16)
        >>> meter = DeviationMeter("float32", "float16")
        >>> table = meter.measure(source.view(np.uint32), result.view(np.uint16), [0, 2])
        >>> [(row.compared, row.zeros, row.rms > 0) for row in table]
        [(2, 0, False), (2, 1, True)]
    """

    def __init__(self, source: str, target: str) -> None:
        if not can_cast(source, target):
            raise UnsupportedError(f"cannot measure a cast of {source} to {target}: there is none")
        self._source, self._target = source, target
        wideners = {"float16": HalfWidener, "bfloat16": Bfloat16Widener}
        quick = source == "float32" and target in wideners
        self._rounding = RoundingMeter(wideners[target]()) if quick else None

    def measure(
        self, source_bits: Bits, target_bits: Bits, starts: Sequence[int] | NDArray[np.intp] = (0,)
    ) -> DeviationTable:
        """Compare every element with what it became.

        Args:
            source_bits: bit patterns of the values: unsigned integers, one dimension, C order, native byte order.
            target_bits: bit patterns of the results; same length.
            starts: where in ``source_bits`` each tensor starts, ascending from 0, none empty; by default one tensor.

        Returns:
            Deviations, one row for each of the tensors.
        """
        firsts = np.asarray(starts, np.intp)
        table = DeviationTable(len(firsts))
        for rows, elements in _cut(firsts, len(source_bits)):
            inner = np.maximum(firsts[rows] - elements.start, 0)
            for first, part in self._measure_piece(source_bits[elements], target_bits[elements], inner):
                table.add(rows.start + first, part)
        return table

    def _measure_piece(
        self, source: Bits, target: Bits, firsts: NDArray[np.intp]
    ) -> Iterator[tuple[int, DeviationTable]]:
        if len(firsts) > 1:
            yield 0, self._measure_doubles(source, target, firsts)
            return
        quick = self._rounding.measure(source, target) if self._rounding else None
        if quick is not None:
            yield 0, quick
            return
        for start in range(0, len(source), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            yield 0, self._measure_doubles(source[part], target[part], firsts)

    def _measure_doubles(self, source: Bits, target: Bits, firsts: NDArray[np.intp]) -> DeviationTable:
        """Compare as float64."""
        with np.errstate(all="ignore"):
            before, after = _to_double(source, self._source), _to_double(target, self._target)
            table = _compare(before, after, firsts)
            counted = np.isfinite(before) & (before != 0)
            scale = _keep_exponents(source, self._source) if self._source in INTEGERS else before
            exponents = find_exponents(scale[counted])
            if len(firsts) == 1:
                table.exponents.count(0, exponents)
            else:
                rows = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=len(source)))
                table.exponents.count(rows[counted], exponents)
        return table


def _compare(before: Doubles, after: Doubles, firsts: NDArray[np.intp]) -> DeviationTable:
    """Return all but the exponents."""
    table = DeviationTable(len(firsts))
    compared = np.isfinite(before) & np.isfinite(after)
    error = np.where(compared, np.abs(after - before), 0.0)
    ratio = np.where(compared & (before != 0), error / np.abs(before), 0.0)
    table.compared[:] = np.add.reduceat(compared, firsts, dtype=np.int64)
    table.zeros[:] = np.add.reduceat(before == 0, firsts, dtype=np.int64)
    table.max_absolute[:] = np.maximum.reduceat(error, firsts)
    table.max_relative[:] = np.maximum.reduceat(ratio, firsts)
    unit = np.where(table.max_absolute > 0, table.max_absolute, 1.0)  # no square is too large then, or lost
    squares = np.square(error / np.repeat(unit, np.diff(firsts, append=len(before))))
    table.rms[:] = unit * np.sqrt(np.add.reduceat(squares, firsts) / np.maximum(table.compared, 1))
    return table


def _to_double(bits: Bits, dtype: str) -> Doubles:
    if dtype == "bfloat16":
        bits, dtype = bits.astype(np.uint32) << np.uint32(16), "float32"
    values: Doubles = bits.view(dtype).astype(np.float64)
    return values


def _keep_exponents(bits: Bits, dtype: str) -> Doubles:
    """Return numbers with the exponents of integers, which may have more bits than float64 has."""
    wide = np.abs(bits.view(dtype).astype(np.int64 if dtype != "uint64" else np.uint64)).view(np.uint64)
    return (wide & ~(wide >> np.uint64(1))).astype(np.float64)  # no two bits side by side: nothing is rounded up to 2^n


def _cut(firsts: NDArray[np.intp], size: int) -> Iterator[tuple[slice, slice]]:
    """Yield rows and elements of pieces: a part of one large tensor, or some small tensors."""
    ends = np.append(firsts[1:], size)
    row = 0
    for large in [*np.flatnonzero(ends - firsts >= _ALONE).tolist(), len(firsts)]:
        while row < large:
            stop = row + int(ends[row:large].searchsorted(firsts[row] + _TOGETHER, "right"))
            yield slice(row, stop), slice(int(firsts[row]), int(ends[stop - 1]))
            row = stop
        if large < len(firsts):
            for start in range(int(firsts[large]), int(ends[large]), BLOCK_ELEMENTS):
                yield slice(large, large + 1), slice(start, min(start + BLOCK_ELEMENTS, int(ends[large])))
            row = large + 1
