"""float64 -> float32, rounded to nearest even as ``tf.cast`` does.

The processor rounds; what is left is to count. A NaN becomes quiet with its sign and upper mantissa bits kept, as the
conversion instruction leaves it.

What becomes a subnormal number keeps its value here. TensorFlow runs its kernels with a processor mode that turns such
results into zero, so that there ``tf.cast`` loses them.

Source: TensorFlow ``tf.cast``; Intel SDM, ``CVTPD2PS``, ``MXCSR.FTZ``.
"""

from __future__ import annotations

import numpy as np

from tfbundle.casting.caster import BLOCK_ELEMENTS, Caster
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.segments import Bits, Segments, SmallLimits

_NO_SIGN = np.array(0x7FFFFFFFFFFFFFFF, np.uint64)
_INF = 0x7FF0000000000000
_OVERFLOW = 0x47EFFFFFF0000000  # half a step above the largest float32, a tie
_LARGEST = np.float32(np.finfo(np.float32).max)
_SMALL = SmallLimits(
    underflow=0x3690000000000000,  # 2^-150, by a tie
    normal=0x380FFFFFE0000000,  # half a step below 2^-126, likewise
)


class SingleCaster(Caster):
    """Casts float64 to float32.

    Args:
        on_overflow: ``"clamp"`` turns finite overflow into the largest finite float32, about 3.4e38; anything else into
            infinity (to refuse it, or to keep the tensor, is up to the caller, who gets the count).

    Example:
        >>> target = np.empty(2, np.uint32)
        >>> SingleCaster().cast(np.array([0.5, 1e300]).view(np.uint64), target).total().overflow
        1
        >>> target.view(np.float32)
        array([0.5, inf], dtype=float32)
    """

    def __init__(self, on_overflow: OnOverflow = "inf") -> None:
        self._clamp = on_overflow == "clamp"
        self._magnitude = np.empty(BLOCK_ELEMENTS, np.uint64)
        self._work = np.empty(BLOCK_ELEMENTS, np.uint64)
        self._flags = np.empty(BLOCK_ELEMENTS, np.bool_)

    def _cast_block(self, source: Bits, target: Bits, segments: Segments) -> None:
        magnitude, flags = self._magnitude[: len(source)], self._flags[: len(source)]
        np.bitwise_and(source, _NO_SIGN, out=magnitude)
        with np.errstate(all="ignore"):
            np.copyto(target.view(np.float32), source.view(np.float64), casting="same_kind")
        largest = segments.largest(magnitude)
        top = int(largest.max())
        if top >= _INF:
            largest = self._note_nonfinite(magnitude, segments)
        segments.raise_largest(largest.view(np.float64))
        if top >= _OVERFLOW:
            self._note_overflow(magnitude, target, segments)
        segments.add_small(_SMALL, magnitude, magnitude, flags)

    def _note_nonfinite(self, magnitude: Bits, segments: Segments) -> Bits:
        """Count infinities and NaN; return the largest of the other magnitudes in each tensor."""
        flags, infinity = self._flags[: len(magnitude)], np.array(_INF, np.uint64)
        segments.add("inf", segments.count(np.equal(magnitude, infinity, out=flags)))
        segments.add("nan", segments.count(np.greater(magnitude, infinity, out=flags)))
        return segments.largest_finite(magnitude, self._work[: len(magnitude)], _INF)

    def _note_overflow(self, magnitude: Bits, target: Bits, segments: Segments) -> None:
        """Count what overflowed, and clamp it if so wished."""
        work, flags = self._work[: len(magnitude)], self._flags[: len(magnitude)]
        np.subtract(magnitude, np.array(_OVERFLOW, np.uint64), out=work)  # anything less is as large as can be then
        np.less(work, np.array(_INF - _OVERFLOW, np.uint64), out=flags)
        segments.add("overflow", segments.count(flags))
        if self._clamp:
            values = target.view(np.float32)
            np.copysign(_LARGEST, values, out=values, where=flags)
