"""float32 -> float16, bit-equal to ``tf.cast``, on the bit patterns themselves.

numpy's own cast is scalar on many machines, and slower by an order of magnitude on values that underflow or overflow,
which optimizer moments do. Here the floating-point unit rounds: for a magnitude in [2^e, 2^(e+1)) the sum with
2^(e+13) keeps just the bits that float16 has, rounded to nearest even; below 2^-14, where float16 has a
fixed quantum, e stays -14. What remains is to shift the exponent into place, in whole-array integer operations on a
block that stays in cache.

NaN become quiet with their upper mantissa bits kept, as the conversion instruction that TensorFlow uses leaves them.

Source: TensorFlow ``tf.cast`` on a processor with F16C, all 2^32 patterns; Intel SDM, ``VCVTPS2PH``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import CastStats

BLOCK_ELEMENTS = 131072
"""Large enough to make the cost of a call vanish, small enough for the cache."""

_MAGNITUDE = np.array(0x7FFFFFFF, np.uint32)
_EXPONENT = np.array(0x7F800000, np.uint32)
_SMALLEST_NORMAL = 113 << 23  # 2^-14
_ROUNDER = np.array((13 << 23) + 2048, np.uint32)  # 2^13 times; 2048 cancels the exponents' difference mod 2^16
_SHIFT_MANTISSA = np.array(13, np.uint32)
_SHIFT_SIGN = np.array(16, np.uint32)
_SIGN16 = np.array(0x8000, np.uint16)
_SUBNORMAL16 = np.array(0x400, np.uint16)

_OVERFLOW = 0x477FF000  # 65520.0, the smallest magnitude that rounds beyond 65504
_LARGEST = 0x477FE000  # 65504.0
_BEYOND = 0x47800000  # 65536.0, which the arithmetic below turns into infinity
_INF = 0x7F800000

_FIELDS = ("overflow", "underflow", "subnormal", "inf", "nan")

Bits32 = NDArray[np.uint32]
Bits16 = NDArray[np.uint16]


class HalfCaster:
    """Casts float32 to float16 in blocks, with scratch memory of its own (about 2 MiB).

    Not thread-safe: one instance for each thread.

    Args:
        on_overflow: ``"clamp"`` turns finite overflow into 65504; ``"inf"`` and ``"error"`` into infinity
            (to refuse it is up to the caller, who gets the count).
    """

    def __init__(self, on_overflow: OnOverflow = "inf") -> None:
        self._clamp = on_overflow == "clamp"
        self._magnitude = np.empty(BLOCK_ELEMENTS, np.uint32)
        self._work = np.empty(BLOCK_ELEMENTS, np.uint32)
        self._sign = np.empty(BLOCK_ELEMENTS, np.uint16)
        self._flags = np.empty(BLOCK_ELEMENTS, np.bool_)
        self._floor = np.full(BLOCK_ELEMENTS, _SMALLEST_NORMAL, np.uint32)

    def cast(self, source: Bits32, target: Bits16, starts: list[int] | None = None) -> list[CastStats]:
        """Cast every element of ``source`` into ``target``.

        Args:
            source: bit patterns of float32 values, one dimension, C order, native byte order.
            target: receives the bit patterns of the float16 values; same length.
            starts: where in ``source`` each tensor starts, ascending from 0, none empty; by default one tensor.

        Returns:
            What happened, for each of the tensors in turn.

        Example:
            >>> target = np.empty(2, np.uint16)
            >>> HalfCaster().cast(np.array([1, 7e4], np.float32).view(np.uint32), target)[0].overflow
            1
            >>> target.view(np.float16)
            array([ 1., inf], dtype=float16)
        """
        tally = _Tally(len(source), starts or [0])
        for start in range(0, len(source), BLOCK_ELEMENTS):
            end = min(start + BLOCK_ELEMENTS, len(source))
            self._cast_block(source[start:end], target[start:end], tally.segments(start, end))
        return tally.stats()

    def _cast_block(self, source: Bits32, target: Bits16, segments: _Segments) -> None:
        count = len(source)
        magnitude, work, sign = self._magnitude[:count], self._work[:count], self._sign[:count]
        np.bitwise_and(source, _MAGNITUDE, out=magnitude)
        segments.note_largest(magnitude)
        num_nonzero = int(np.count_nonzero(magnitude))
        nan = None
        if segments.top >= _OVERFLOW:
            nan = self._tame(magnitude, segments)
        np.bitwise_and(magnitude, _EXPONENT, out=work)
        np.maximum(work, self._floor[:count], out=work)
        np.add(work, _ROUNDER, out=work)
        np.add(magnitude.view(np.float32), work.view(np.float32), out=magnitude.view(np.float32))
        np.right_shift(magnitude, _SHIFT_MANTISSA, out=work)
        np.add(magnitude, work, out=magnitude)
        np.copyto(target, magnitude, casting="unsafe")
        self._count_small(source, target, num_nonzero, segments)
        np.right_shift(source, _SHIFT_SIGN, out=work)
        np.copyto(sign, work, casting="unsafe")
        np.bitwise_and(sign, _SIGN16, out=sign)
        np.bitwise_or(target, sign, out=target)
        if nan is not None:
            bits = source[nan]
            target[nan] = (bits >> 16 & 0x8000 | 0x7E00 | bits >> 13 & 0x3FF).astype(np.uint16)

    def _tame(self, magnitude: Bits32, segments: _Segments) -> NDArray[np.intp] | None:
        """Replace what the arithmetic cannot take, count it, and return where the NaN are."""
        finite = magnitude < _INF
        overflow = finite & (magnitude >= _OVERFLOW)
        nan = magnitude > _INF
        segments.note("overflow", overflow)
        segments.note("inf", magnitude == _INF)
        segments.note("nan", nan)
        if not finite.all():
            segments.note_largest(np.where(finite, magnitude, np.uint32(0)))
        magnitude[overflow] = _LARGEST if self._clamp else _BEYOND
        magnitude[~finite] = _BEYOND
        return np.flatnonzero(nan) if nan.any() else None

    def _count_small(self, source: Bits32, target: Bits16, num_nonzero: int, segments: _Segments) -> None:
        """Count results that are subnormal and non-zero values that became zero; ``target`` has no signs yet."""
        flags = self._flags[: len(source)]
        np.less(target, _SUBNORMAL16, out=flags)
        num_small = np.count_nonzero(flags)
        if num_small == len(source) - num_nonzero:
            return  # all of them were zero before
        segments.note("subnormal", flags & (target != 0))
        if np.count_nonzero(target) < num_nonzero:
            segments.note("underflow", (target == 0) & (source & _MAGNITUDE != 0))


class _Tally:
    """Counts of each tensor in one call of ``cast``."""

    def __init__(self, num_elements: int, starts: list[int]) -> None:
        self._starts = np.array(starts, np.intp)
        self._sizes = np.diff(self._starts, append=num_elements)
        self.counts = {name: np.zeros(len(starts), np.int64) for name in _FIELDS}
        self.largest = np.zeros(len(starts), np.uint32)

    def segments(self, start: int, end: int) -> _Segments:
        """Return the tensors that lie, in part at least, between two elements."""
        first = int(np.searchsorted(self._starts, start, "right")) - 1
        last = int(np.searchsorted(self._starts, end, "left"))
        return _Segments(self, slice(first, last), np.maximum(self._starts[first:last] - start, 0))

    def stats(self) -> list[CastStats]:
        counts = (self.counts[name].tolist() for name in _FIELDS)
        largest = self.largest.view(np.float32).tolist()
        return [CastStats(*row) for row in zip(self._sizes.tolist(), *counts, largest, strict=True)]


class _Segments:
    """The part of a tally that one block belongs to."""

    def __init__(self, tally: _Tally, which: slice, starts: NDArray[np.intp]) -> None:
        self._tally = tally
        self._which = which
        self._starts = starts
        self._previous = tally.largest[which].copy()
        self.top = 0

    def note_largest(self, magnitude: Bits32) -> None:
        """Take the block's magnitudes; a second call for the same block replaces the first."""
        if len(self._starts) == 1:
            largest = np.maximum.reduce(magnitude, keepdims=True)
        else:
            largest = np.maximum.reduceat(magnitude, self._starts)
        self.top = int(largest.max())
        self._tally.largest[self._which] = np.maximum(self._previous, largest)

    def note(self, field: str, flags: NDArray[np.bool_]) -> None:
        """Add the number of set flags to each tensor's count."""
        if len(self._starts) == 1:
            self._tally.counts[field][self._which] += np.count_nonzero(flags)
        else:
            self._tally.counts[field][self._which] += np.add.reduceat(flags, self._starts, dtype=np.int64)
