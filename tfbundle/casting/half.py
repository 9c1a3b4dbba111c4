"""float32 -> float16, bit-equal to ``tf.cast``, on the bit patterns themselves.

numpy's own cast is scalar on many machines, and slower by an order of magnitude on values that underflow or overflow,
which optimizer moments do. Here six integer passes round what becomes a normal number (see ``narrow``). Below 2^-14
float16 has a fixed quantum, 2^-24, which is that of float32 in [0.5, 1): there the floating-point unit rounds, and
the low bits of |x| + 0.5 are the result. A block with few such values has them patched; in one with many, both ways
are gone by all elements, each with magnitudes limited to its own side of 2^-14, and the results added.

Measured at blocks of 262144 standing in cache, ns per element with statistics (numpy's ``astype``, which keeps none):
0.9 (2.5) on weights, 1.5 (34) on numbers half of which are small, 0.9 (65) all small, 0.4 (2.2) zeros, 2.7 (62)
random bits. Tried before: floating-point addition of a power of two for each element's exponent, 13 passes, 1.65;
a table of exponents, at least 0.6 for the look-up alone; Veltkamp splitting, three floating-point passes that leave
exponent and sign to do; halves of words as strided views, 0.3 to 0.7 for each pass; results narrowed by the ufunc
itself, no gain; ``nonzero`` to find the few, 0.1 more.

NaN become quiet with their upper mantissa bits kept, as the conversion instruction that TensorFlow uses leaves them.

Source: TensorFlow ``tf.cast`` on a processor with F16C, all 2^32 patterns; Intel SDM, ``VCVTPS2PH``.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.few import find_few
from tfbundle.casting.narrow import NarrowCaster, NarrowFormat, signed
from tfbundle.casting.segments import Bits, Segments

_NORMAL = 113 << 23  # 2^-14
_REBIAS = 0xFFF - (112 << 23)
_SMALLEST_NORMAL = np.array(_NORMAL, np.uint32)
_HALF = np.array(0.5, np.float32)
_SIGN = np.array(0x8000, np.uint16)
_SHIFT_SIGN = np.array(16, np.uint32)
_ZERO16 = np.array(0, np.uint16)
_ONE16 = np.array(1, np.uint16)
_LARGEST_SUBNORMAL16 = np.array(0x3FF, np.uint16)
_NO_NORMAL = signed(_REBIAS - (0x400 << 13))
"""Addend that turns 2^-14 into 0, and everything else into what is 2^-14 less by its pattern."""


class HalfCaster(NarrowCaster):
    """Casts float32 to float16.

    Args:
        on_overflow: ``"clamp"`` turns finite overflow into 65504; ``"inf"`` and ``"error"`` into infinity
            (to refuse it is up to the caller, who gets the count).

    Example:
        >>> target = np.empty(2, np.uint16)
        >>> HalfCaster("clamp").cast(np.array([-0.5, 7e4], np.float32).view(np.uint32), target).total().overflow
        1
        >>> target.view(np.float16)
        array([-5.00e-01,  6.55e+04], dtype=float16)
    """

    _format = NarrowFormat(
        shift=signed(13),
        keep=signed(0x70000001),  # the pattern's own sign at bit 31, and these: bit 28 is as the sign
        keep_signed=signed(0xF0000001),
        addend=signed(_REBIAS),
        overflow=0x477FF000,  # 65520.0
        largest=0x477FE000,  # 65504.0
        beyond=0x47800000,  # 65536.0
        quiet=0x200,
        payload=0x3FF,
    )

    @cached_property
    def _floor(self) -> NDArray[np.uint32]:
        return np.full(BLOCK_ELEMENTS, _NORMAL, np.uint32)

    def _cast_tame(self, source: Bits, target: Bits, segments: Segments, top: int) -> None:
        magnitude = self._magnitude[: len(source)]
        if top == 0:
            np.right_shift(source, _SHIFT_SIGN, out=magnitude)
            np.copyto(target, magnitude, casting="unsafe")
            return
        if top < _NORMAL:
            self._cast_small(source, target, segments)
            return
        np.less(magnitude, _SMALLEST_NORMAL, out=self._flags[: len(source)])
        places = find_few(self._flags, len(source))
        if places is None:
            self._cast_mixture(source, target, segments)
            return
        if top < self._format.overflow:
            self._round(source, target, magnitude, None, self._format.addend)
        else:
            self._round(source, target, self._work[: len(source)], magnitude, self._format.addend)
        if len(places):
            _patch(source, target, places, segments)

    def _cast_small(self, source: Bits, target: Bits, segments: Segments) -> None:
        """Cast where all magnitudes are below 2^-14."""
        magnitude, sign = self._magnitude[: len(source)], self._short[: len(source)]
        work = self._work[: len(source)]
        np.add(magnitude.view(np.float32), _HALF, out=work.view(np.float32))
        np.copyto(target, work, casting="unsafe")
        self._count_small(magnitude, target, segments)
        np.right_shift(source, _SHIFT_SIGN, out=work)
        np.copyto(sign, work, casting="unsafe")
        np.bitwise_and(sign, _SIGN, out=sign)
        np.bitwise_or(target, sign, out=target)

    def _cast_mixture(self, source: Bits, target: Bits, segments: Segments) -> None:
        """Cast numbers on both sides of 2^-14."""
        magnitude, work = self._magnitude[: len(source)], self._work[: len(source)]
        low, floor = self._short[: len(source)], self._floor[: len(source)]
        np.minimum(magnitude, floor, out=work)
        np.add(work.view(np.float32), _HALF, out=work.view(np.float32))
        np.copyto(low, work, casting="unsafe")
        self._count_small(magnitude, low, segments)
        np.maximum(magnitude, floor, out=magnitude)
        self._round(source, target, work, magnitude, _NO_NORMAL)
        np.add(target, low, out=target)

    def _count_small(self, magnitude: Bits, low: Bits, segments: Segments) -> None:
        """Count what underflowed or became subnormal.

        Args:
            magnitude: of the numbers.
            low: what became of each by itself; no more than 2^-14.
            segments: where to count.
        """
        flags, less = self._flags[: len(low)], self._mask[: len(low)]
        np.subtract(low, _ONE16, out=less)  # zero is as large as can be then
        segments.add("subnormal", segments.count(np.less(less, _LARGEST_SUBNORMAL16, out=flags)))
        num_nonzero = int(np.count_nonzero(low))
        underflow = int(np.count_nonzero(magnitude)) - num_nonzero if num_nonzero < len(low) else 0
        if not underflow or segments.alone:
            segments.add("underflow", underflow)
        else:
            np.equal(low, _ZERO16, out=flags)
            segments.add("underflow", segments.count(np.logical_and(flags, magnitude != 0, out=flags)))


def _patch(source: Bits, target: Bits, places: NDArray[np.intp], segments: Segments) -> None:
    """Cast the magnitudes below 2^-14, of which there are few, and count what became of them."""
    bits = source[places]
    magnitude = bits & np.uint32(0x7FFFFFFF)
    low = (magnitude.view(np.float32) + np.float32(0.5)).view(np.uint32) & np.uint32(0xFFF)
    target[places] = low | (bits >> np.uint32(16)) & np.uint32(0x8000)
    segments.add("underflow", segments.count_at(places[(low == 0) & (magnitude != 0)]))
    segments.add("subnormal", segments.count_at(places[(low != 0) & (low < 0x400)]))
