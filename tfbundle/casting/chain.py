"""Two casts one after the other, such as float64 -> float32 -> float16, told as one.

``tf.cast`` goes through float32 on its way between a float of 16 bits and any other float, so that a float64 may be
rounded twice; see ``casters``.
"""

from __future__ import annotations

import numpy as np

from tfbundle.casting.caster import BLOCK_ELEMENTS, Caster
from tfbundle.casting.segments import Bits, Segments


class ChainCaster(Caster):
    """Casts to float32, and what that leaves to another dtype; only one block is kept in between.

    Args:
        first: casts to float32. If values can overflow there it must clamp: they are still too large for the second
            then, which decides what becomes of them, and counts them.
        second: casts from float32.

    Example:
        >>> from tfbundle.casting.half import HalfCaster
        >>> from tfbundle.casting.widen import Bfloat16Widener
        >>> target = np.empty(2, np.uint16)
        >>> source = np.array([0x3F80, 0x7F7F], np.uint16)  # 1 and 3.39e38
        >>> ChainCaster(Bfloat16Widener(), HalfCaster()).cast(source, target).total().overflow
        1
        >>> target.view(np.float16)
        array([ 1., inf], dtype=float16)
    """

    def __init__(self, first: Caster, second: Caster) -> None:
        self._first = first
        self._second = second
        self._middle = np.empty(BLOCK_ELEMENTS, np.uint32)

    def _cast_block(self, source: Bits, target: Bits, segments: Segments) -> None:
        middle = self._middle[: len(source)]
        before, segments_before = segments.apart()
        after, segments_after = segments.apart()
        self._first._cast_block(source, middle, segments_before)
        self._second._cast_block(middle, target, segments_after)
        segments.raise_largest(before.largest)
        segments.add("inf", before.inf)
        segments.add("nan", before.nan)
        segments.add("underflow", before.underflow + after.underflow)
        segments.add("subnormal", after.subnormal)
        segments.add("overflow", after.overflow)
