"""float16 and bfloat16 -> float32 -> float64: every value exactly, bit-equal to ``tf.cast``.

A bfloat16 is the upper half of a float32 already. A float16's exponent and mantissa, moved to where float32 has them,
are the number times 2^-112, a multiplication away; what is subnormal, infinite or NaN is looked up in a table of all
65,536 patterns, since processors are slow with subnormal operands, or told to take them for zero. A look-up takes
two to three times as long as the multiplication's four passes, so only what needs it is looked up while that is little.

A NaN becomes quiet with its payload kept, as the conversion instructions leave it; bfloat16 is not touched on its way
to float32.

What is subnormal as a float32 keeps its value here. TensorFlow runs its kernels with a processor mode that takes such
operands for zero, so that there ``tf.cast`` from float32 or bfloat16 to float64 loses them.

Source: TensorFlow ``tf.cast`` on a processor with F16C, all 16-bit patterns; Intel SDM, ``VCVTPH2PS``, ``CVTSS2SD``,
``MXCSR.DAZ``.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.caster import BLOCK_ELEMENTS, Caster
from tfbundle.casting.few import find_few
from tfbundle.casting.segments import Bits, Segments

_ONE = np.array(1, np.uint16)
_LARGEST_SUBNORMAL = np.array(0x3FF, np.uint16)
_SIGN_AND_NUMBER = np.array(0x8FFFE000, np.uint32)
_SCALE = np.array(2.0**112, np.float32)
_SHIFT_HALF = np.array(13, np.uint32)
_SHIFT_BFLOAT16 = np.array(16, np.uint32)


class WidenCaster(Caster):
    """Casts a float to a wider one. Nothing overflows, underflows or becomes subnormal that was not before."""

    _infinity: int
    _bits: np.dtype[Any] = np.dtype(np.uint16)
    _wide: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self) -> None:
        self._magnitude = np.empty(BLOCK_ELEMENTS, self._bits)
        self._flags = np.empty(BLOCK_ELEMENTS, np.bool_)
        self._no_sign = np.array((1 << 8 * self._bits.itemsize - 1) - 1, self._bits)

    @cached_property
    def _work(self) -> Bits:
        return np.empty(BLOCK_ELEMENTS, self._bits)

    def widen(self, source: Bits, target: Bits) -> None:
        """Cast at most ``BLOCK_ELEMENTS`` elements, as ``cast`` does but without statistics.

        Example:
            >>> target = np.empty(1, np.uint32)
            >>> HalfWidener().widen(np.array([0.5], np.float16).view(np.uint16), target)
            >>> target.view(np.float32)
            array([0.5], dtype=float32)
        """
        magnitude = self._magnitude[: len(source)]
        np.bitwise_and(source, self._no_sign, out=magnitude)
        self._cast_magnitude(source, target, int(np.maximum.reduce(magnitude, initial=0)))

    def _cast_block(self, source: Bits, target: Bits, segments: Segments) -> None:
        magnitude = self._magnitude[: len(source)]
        np.bitwise_and(source, self._no_sign, out=magnitude)
        largest = segments.largest(magnitude)
        top = int(largest.max())
        if top >= self._infinity:
            largest = self._note_nonfinite(magnitude, segments)
        wide = np.empty(len(largest), f"u{self._wide.itemsize}")
        self._widen(largest, wide)
        segments.raise_largest(wide.view(self._wide))
        self._cast_magnitude(source, target, top)

    def _note_nonfinite(self, magnitude: Bits, segments: Segments) -> Bits:
        """Count infinities and NaN; return the largest of the other magnitudes in each tensor."""
        flags, infinity = self._flags[: len(magnitude)], np.array(self._infinity, self._bits)
        segments.add("inf", segments.count(np.equal(magnitude, infinity, out=flags)))
        segments.add("nan", segments.count(np.greater(magnitude, infinity, out=flags)))
        return segments.largest_finite(magnitude, self._work[: len(magnitude)], self._infinity)

    @abstractmethod
    def _widen(self, source: Bits, target: Bits) -> None:
        """Cast numbers, subnormal ones too, and zeros."""

    @abstractmethod
    def _cast_magnitude(self, source: Bits, target: Bits, top: int) -> None:
        """Cast anything; magnitudes are in ``_magnitude``, ``top`` is the largest."""


class HalfWidener(WidenCaster):
    """Casts float16 to float32.

    Example:
        >>> target = np.empty(2, np.uint32)
        >>> HalfWidener().cast(np.array([-0.5, 6e-8], np.float16).view(np.uint16), target)[0].largest
        0.5
        >>> target.view(np.float32)
        array([-5.0000000e-01,  5.9604645e-08], dtype=float32)
    """

    _infinity = 0x7C00

    @cached_property
    def _indices(self) -> NDArray[np.intp]:
        return np.empty(BLOCK_ELEMENTS, np.intp)

    def _widen(self, source: Bits, target: Bits) -> None:
        np.copyto(target, _table()[source])

    def _cast_magnitude(self, source: Bits, target: Bits, top: int) -> None:
        self._flag_special(self._magnitude[: len(source)], top)
        places = find_few(self._flags, len(source))
        if places is None:
            indices = self._indices[: len(source)]
            np.copyto(indices, source)
            np.take(_table(), indices, out=target, mode="clip")
            return
        np.copyto(target.view(np.int32), source.view(np.int16))  # copies of the sign above the number
        np.left_shift(target, _SHIFT_HALF, out=target)
        np.bitwise_and(target, _SIGN_AND_NUMBER, out=target)
        np.multiply(target.view(np.float32), _SCALE, out=target.view(np.float32))
        if len(places):
            target[places] = _table()[source[places]]

    def _flag_special(self, magnitude: Bits, top: int) -> None:
        """Flag what is subnormal, infinite or NaN."""
        special, work = self._flags[: len(magnitude)], self._work[: len(magnitude)]
        np.subtract(magnitude, _ONE, out=work)  # zero is as large as can be then
        np.less(work, _LARGEST_SUBNORMAL, out=special)
        if top >= self._infinity:
            special |= magnitude >= np.array(self._infinity, np.uint16)


class Bfloat16Widener(WidenCaster):
    """Casts bfloat16 to float32.

    Example:
        >>> target = np.empty(1, np.uint32)
        >>> Bfloat16Widener().cast(np.array([0x3F80], np.uint16), target).total().largest
        1.0
    """

    _infinity = 0x7F80

    def _widen(self, source: Bits, target: Bits) -> None:
        np.copyto(target, source)
        np.left_shift(target, _SHIFT_BFLOAT16, out=target)

    def widen(self, source: Bits, target: Bits) -> None:
        """Cast at most ``BLOCK_ELEMENTS`` elements, without statistics."""
        self._widen(source, target)

    def _cast_magnitude(self, source: Bits, target: Bits, top: int) -> None:
        del top
        self._widen(source, target)


class SingleWidener(WidenCaster):
    """Casts float32 to float64.

    Example:
        >>> target = np.empty(1, np.uint64)
        >>> SingleWidener().cast(np.array([0.5], np.float32).view(np.uint32), target)[0].largest
        0.5
        >>> target.view(np.float64)
        array([0.5])
    """

    _infinity = 0x7F800000
    _bits = np.dtype(np.uint32)
    _wide = np.dtype(np.float64)

    def _widen(self, source: Bits, target: Bits) -> None:
        with np.errstate(invalid="ignore"):  # signalling NaN
            np.copyto(target.view(np.float64), source.view(np.float32))

    def _cast_magnitude(self, source: Bits, target: Bits, top: int) -> None:
        del top
        self._widen(source, target)


@cache
def _table() -> NDArray[np.uint32]:
    """Return the float32 patterns of all float16 patterns; 256 KiB."""
    magnitude = np.arange(0x8000, dtype=np.uint32)
    table = (magnitude << np.uint32(13)) + np.uint32(112 << 23)
    table[:0x400] = (magnitude[:0x400].astype(np.float32) * np.float32(2.0**-24)).view(np.uint32)
    table[0x7C00:] += np.uint32(112 << 23)
    table[0x7C01:] |= np.uint32(0x400000)
    return np.concatenate([table, table | np.uint32(0x80000000)])
