"""float32 -> bfloat16, rounded to nearest even as ``tf.cast`` does.

A bfloat16 is the upper half of a float32, so that only the rounding is left of the work (see ``narrow``).

Every NaN becomes the quiet NaN without payload, 0x7fc0, with its sign kept; what ``tf.cast`` does to the sign depends
on the processor.

Source: TensorFlow ``tf.cast``, all 2^32 patterns but NaN; ``Eigen::bfloat16_impl::float_to_bfloat16_rtne``.
"""

from __future__ import annotations

from tfbundle.casting.narrow import NarrowCaster, NarrowFormat, signed
from tfbundle.casting.segments import Bits, Segments, SmallLimits

_SMALL = SmallLimits(
    underflow=0x8000,  # 2^-134, by a tie
    normal=0x7F8000,  # half a step below 2^-126, likewise
)


class Bfloat16Caster(NarrowCaster):
    """Casts float32 to bfloat16.

    Args:
        on_overflow: ``"clamp"`` turns finite overflow into the largest finite bfloat16, about 3.39e38; ``"inf"`` and
            ``"error"`` into infinity (to refuse it is up to the caller, who gets the count).

    Example:
        >>> import numpy as np
        >>> target = np.empty(2, np.uint16)
        >>> Bfloat16Caster().cast(np.array([1, 3.4e38], np.float32).view(np.uint32), target).total().overflow
        1
        >>> [hex(bits) for bits in target.tolist()]
        ['0x3f80', '0x7f80']
    """

    _format = NarrowFormat(
        shift=signed(16),
        keep=signed(0x00000001),
        keep_signed=signed(0x80000001),
        addend=signed(0x7FFF),
        overflow=0x7F7F8000,
        largest=0x7F7F0000,
        beyond=0x7F800000,
        quiet=0x40,
        payload=0,
    )

    def _cast_tame(self, source: Bits, target: Bits, segments: Segments, top: int) -> None:
        magnitude, addend = self._magnitude[: len(source)], self._format.addend
        flags = self._flags[: len(source)]
        if top < self._format.overflow:
            segments.add_small(_SMALL, magnitude, magnitude, flags)
            self._round(source, target, magnitude, None, addend)
        else:
            work = self._work[: len(source)]
            segments.add_small(_SMALL, magnitude, work, flags)
            self._round(source, target, work, magnitude, addend)
