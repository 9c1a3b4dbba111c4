"""Integers -> integers of another width or signedness.

What is out of range keeps its low bits, as ``tf.cast`` does, or becomes the nearest number that is not.

Source: TensorFlow ``tf.cast``, which converts as C++ does.
"""

from __future__ import annotations

import numpy as np

from tfbundle.casting.caster import BLOCK_ELEMENTS, Caster
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.segments import Bits, Segments


class IntegerCaster(Caster):
    """Casts any integer dtype to any other; of the statistics, ``overflow`` and ``largest`` tell something.

    ``largest`` has the precision of a float64, so that what is beyond 2^53 may be rounded.

    Args:
        source: dtype name, ``"int8"`` to ``"uint64"``.
        target: likewise.
        on_overflow: ``"clamp"`` turns what is out of range into the smallest or largest number of the target dtype;
            anything else leaves its low bits (to refuse it is up to the caller, who gets the count).

    Example:
        >>> source, target = np.array([7, -1, 300], np.int32), np.empty(3, np.uint8)
        >>> IntegerCaster("int32", "uint8", "clamp").cast(source.view(np.uint32), target)[0].overflow
        2
        >>> target
        array([  7,   0, 255], dtype=uint8)
    """

    def __init__(self, source: str, target: str, on_overflow: OnOverflow = "inf") -> None:
        self._source, self._target = np.dtype(source), np.dtype(target)
        self._clamp = on_overflow == "clamp"
        here, there = np.iinfo(self._source), np.iinfo(self._target)
        self._low = np.array(max(here.min, there.min), self._source)
        self._high = np.array(min(here.max, there.max), self._source)
        self._flags = np.empty((2, BLOCK_ELEMENTS), np.bool_)

    def _cast_block(self, source: Bits, target: Bits, segments: Segments) -> None:
        values = source.view(self._source)
        bottom, top = segments.smallest(values), segments.largest(values)
        segments.raise_largest(np.maximum(top.astype(np.float64), -bottom.astype(np.float64)))
        if bottom.min() < self._low or top.max() > self._high:
            low, high = self._flags[:, : len(values)]
            np.less(values, self._low, out=low)
            np.greater(values, self._high, out=high)
            segments.add("overflow", segments.count(np.logical_or(low, high, out=low)))
            if self._clamp:
                values = values.clip(self._low, self._high)
        np.copyto(target.view(self._target), values, casting="unsafe")
