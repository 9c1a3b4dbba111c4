"""Rounding float32 to a float of 16 bits, to nearest even, in six integer passes over the bit patterns.

The pattern, shifted right as a signed number by the mantissa bits to drop, holds the lowest bit that is kept (which
decides ties) at its low end and copies of the sign at its high end. One mask keeps both; their sum with the pattern
and a constant (just under half a step, less the exponents' difference) is the rounded, re-biased pattern, with the
sign where 16 bits end after another shift.

Values too large are rare and made harmless first, by whole-array passes as well.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.caster import BLOCK_ELEMENTS, Caster
from tfbundle.casting.few import find_few
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.segments import Bits, Counts, Flags, Segments

INF = 0x7F800000
_MAGNITUDE = np.array(0x7FFFFFFF, np.uint32)
_INF = np.array(INF, np.uint32)

Ints = NDArray[np.int32]


def signed(pattern: int) -> Ints:
    """Return 32 bits as a number for arithmetic with int32 arrays; its dtype is certain with any numpy."""
    return np.array(pattern & 0xFFFFFFFF, np.uint32).view(np.int32)


class NarrowFormat(NamedTuple):
    """A float of 16 bits, as seen from float32. Magnitudes are patterns of float32 values.

    Attributes:
        shift: mantissa bits that go.
        keep: of the shifted pattern, to add to the pattern itself: lowest bit, and sign bits if the pattern's own
            is not where it must end up.
        keep_signed: likewise, to add to a magnitude.
        addend: what else to add.
        overflow: smallest magnitude that rounds beyond the largest finite value.
        largest: the largest finite value.
        beyond: a magnitude that becomes infinity.
        quiet: mantissa bit that every NaN gets, of the 16-bit pattern.
        payload: mantissa bits that a NaN keeps.
    """

    shift: Ints
    keep: Ints
    keep_signed: Ints
    addend: Ints
    overflow: int
    largest: int
    beyond: int
    quiet: int
    payload: int


class NarrowCaster(Caster):
    """Casts float32 to one such format.

    Args:
        on_overflow: ``"clamp"`` turns finite overflow into the largest finite value; ``"inf"`` and ``"error"`` into
            infinity (to refuse it is up to the caller, who gets the count).
    """

    _format: NarrowFormat

    def __init__(self, on_overflow: OnOverflow = "inf") -> None:
        self._clamp = on_overflow == "clamp"
        self._magnitude = np.empty(BLOCK_ELEMENTS, np.uint32)
        self._flags = np.empty(BLOCK_ELEMENTS, np.bool_)
        self._overflow = np.array(self._format.overflow, np.uint32)

    # What not every tensor needs; memory is touched when it does.

    @cached_property
    def _work(self) -> NDArray[np.uint32]:
        return np.empty(BLOCK_ELEMENTS, np.uint32)

    @cached_property
    def _short(self) -> NDArray[np.uint16]:
        return np.empty(BLOCK_ELEMENTS, np.uint16)

    @cached_property
    def _mask(self) -> NDArray[np.uint16]:
        return np.empty(BLOCK_ELEMENTS, np.uint16)

    @cached_property
    def _nan(self) -> Flags:
        return np.empty(BLOCK_ELEMENTS, np.bool_)

    @cached_property
    def _nonfinite(self) -> Flags:
        return np.empty(BLOCK_ELEMENTS, np.bool_)

    @cached_property
    def _ceiling(self) -> NDArray[np.uint32]:
        """For the minimum with an array, which is several times as fast as that with a scalar."""
        return np.full(BLOCK_ELEMENTS, self._format.largest if self._clamp else self._format.beyond, np.uint32)

    def _cast_block(self, source: Bits, target: Bits, segments: Segments) -> None:
        magnitude = self._magnitude[: len(source)]
        np.bitwise_and(source, _MAGNITUDE, out=magnitude)
        largest = segments.largest(magnitude)
        top = int(largest.max())
        if top < self._format.overflow:
            segments.raise_largest(largest.view(np.float32))
            self._cast_tame(source, target, segments, top)
        else:
            self._cast_large(source, target, segments, largest)

    def _cast_large(self, source: Bits, target: Bits, segments: Segments, largest: Bits) -> None:
        """Cast a block with magnitudes that are too large; ``largest`` are those of each tensor."""
        magnitude, top = self._magnitude[: len(source)], int(largest.max())
        beyond = segments.count(np.greater_equal(magnitude, self._overflow, out=self._flags[: len(source)]))
        if top < INF:
            segments.raise_largest(largest.view(np.float32))
            segments.add("overflow", beyond)
        else:
            segments.add("overflow", beyond - self._note_nonfinite(magnitude, segments))
        np.minimum(magnitude, self._ceiling[: len(source)], out=magnitude)
        self._cast_tame(source, target, segments, top)
        if top >= INF:
            self._restore_nonfinite(source, target)

    @abstractmethod
    def _cast_tame(self, source: Bits, target: Bits, segments: Segments, top: int) -> None:
        """Cast values whose magnitudes, in ``_magnitude``, are not too large any more, and count the small ones.

        Args:
            source: where the signs are.
            target: receives the results.
            segments: where to count.
            top: largest magnitude in the block before it was made harmless; if that was not needed, those in
                ``source`` are as good as those in ``_magnitude``.
        """

    def _round(self, source: Bits, target: Bits, work: Bits, magnitude: Bits | None, addend: Ints) -> None:
        """Round what are neither too large nor too small numbers.

        Args:
            source: the numbers; only signs count if there are magnitudes.
            target: receives the results.
            work: scratch memory; may be that of magnitudes no longer needed.
            magnitude: what to take in place of those in ``source``.
            addend: from the format.
        """
        signs, sums = source.view(np.int32), work.view(np.int32)
        shift, keep, keep_signed = self._format[:3]
        np.right_shift(signs, shift, out=sums)
        if magnitude is None:
            np.bitwise_and(sums, keep, out=sums)
            np.add(sums, signs, out=sums)
        else:
            np.bitwise_and(sums, keep_signed, out=sums)
            np.add(sums, magnitude.view(np.int32), out=sums)
        np.add(sums, addend, out=sums)
        np.right_shift(sums, shift, out=sums)
        np.copyto(target, sums, casting="unsafe")

    def _note_nonfinite(self, magnitude: Bits, segments: Segments) -> Counts:
        """Count infinities and NaN, remember where they are, and find the largest of the others."""
        largest = segments.largest_finite(magnitude, self._work[: len(magnitude)], INF)
        segments.raise_largest(largest.view(np.float32))
        nonfinite = segments.count(np.greater_equal(magnitude, _INF, out=self._nonfinite[: len(magnitude)]))
        nan = segments.count(np.greater(magnitude, _INF, out=self._nan[: len(magnitude)]))
        segments.add("nan", nan)
        segments.add("inf", nonfinite - nan)
        return nonfinite

    def _restore_nonfinite(self, source: Bits, target: Bits) -> None:
        """Turn the largest finite value back into infinity, and infinity into NaN, where they were."""
        if self._clamp:
            short = self._short[: len(source)]
            np.copyto(short, self._nonfinite[: len(source)])
            np.add(target, short, out=target)
        places = find_few(self._nan, len(source))
        if places is None:
            self._restore_nan(source, target)
        elif len(places):
            payload = source[places] >> self._format.shift.view(np.uint32) & np.uint32(self._format.payload)
            target[places] |= (payload | np.uint32(self._format.quiet)).astype(np.uint16)

    def _restore_nan(self, source: Bits, target: Bits) -> None:
        """Turn many infinities into NaN."""
        work, short, mask = self._work[: len(source)], self._short[: len(source)], self._mask[: len(source)]
        np.copyto(mask, self._nan[: len(source)])
        np.negative(mask, out=mask)
        np.right_shift(source, self._format.shift.view(np.uint32), out=work)
        np.copyto(short, work, casting="unsafe")
        np.bitwise_and(short, np.array(self._format.payload, np.uint16), out=short)
        np.bitwise_or(short, np.array(self._format.quiet, np.uint16), out=short)
        np.bitwise_and(short, mask, out=short)
        np.bitwise_or(target, short, out=target)
