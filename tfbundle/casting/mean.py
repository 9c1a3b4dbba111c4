"""Means of floats, element by element over several arrays: summed in float64, divided once, rounded once.

Real and imaginary parts of complex numbers are averaged apart. The mean of finite numbers is finite, also where their
sum is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.segments import Bits

_BFLOAT16 = "bfloat16"
_PARTS = {
    "float16": "f2",
    "float32": "f4",
    "float64": "f8",
    "complex64": "f4",
    "complex128": "f8",
    _BFLOAT16: "u2",
}
_SCALE = 2.0**-64
_LARGEST = np.finfo(np.float64).max
_QUIET_NAN = np.uint32(0x7FC0)

Numbers = NDArray[np.float64]


def has_mean(dtype: str) -> bool:
    """Tell whether means of that dtype are formed here; others are for the caller to compare.

    Example:
        >>> has_mean("bfloat16"), has_mean("int64")
        (True, False)
    """
    return dtype in _PARTS


class Mean:
    """Forms means of arrays that are given one after the other; used again after ``finish``. Not thread-safe.

    Args:
        dtype: name of the element type, one for which ``has_mean``.

    Example:
        >>> mean = Mean("float32")
        >>> for value in (1, 2):
        ...     mean.add(np.array([value, -value], np.float32).view(np.uint8))
        >>> mean.finish().view(np.float32)
        array([ 1.5, -1.5], dtype=float32)
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._part: np.dtype[Any] = np.dtype(_PARTS[dtype])
        self._count = 0
        self._sum: Numbers = np.empty(0)
        self._scaled: Numbers | None = None  # the sum again, made small, once it has become too large for float64

    def add(self, values: Bits) -> None:
        """Take the next array.

        Args:
            values: its bytes, in native byte order; as many as before.
        """
        with np.errstate(all="ignore"):
            numbers = values.view(self._part)
            wide = _widen_bfloat16(numbers) if self._dtype == _BFLOAT16 else numbers
            if not self._count:
                self._begin(wide)
            elif self._part.itemsize == 8:
                self._add_widest(wide)
            else:
                np.add(self._sum, wide, out=self._sum)
            self._count += 1

    def _begin(self, numbers: NDArray[Any]) -> None:
        if len(self._sum) != len(numbers):
            self._sum = np.empty(len(numbers))
        np.add(numbers, 0.0, out=self._sum)  # as numpy's sums begin: zeros alone make a positive zero
        self._scaled = None

    def _add_widest(self, numbers: NDArray[Any]) -> None:
        total = self._sum + numbers
        if self._scaled is None and not np.isfinite(total).all():
            self._scaled = self._sum * _SCALE
        if self._scaled is not None:
            self._scaled += numbers * _SCALE
        self._sum = total

    def finish(self) -> Bits:
        """Return the bytes of the mean, and start anew."""
        with np.errstate(all="ignore"):
            mean = np.divide(self._sum, self._count, out=self._sum)
            if self._scaled is not None:
                small = self._scaled / self._count
                large = np.clip(small / _SCALE, -_LARGEST, _LARGEST)
                mean = np.where(np.isfinite(small) & ~np.isfinite(mean), large, mean)
            rounded = _round_to_bfloat16(mean) if self._dtype == _BFLOAT16 else mean.astype(self._part)
        self._count = 0
        return rounded.view(np.uint8)


def _widen_bfloat16(patterns: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (patterns.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _round_to_bfloat16(numbers: Numbers) -> NDArray[np.uint16]:
    """Round to nearest even at once: float32 in between, rounded to odd, decides no tie that there was not."""
    singles = numbers.astype(np.float32)
    patterns = singles.view(np.uint32)
    back = singles.astype(np.float64)
    even = (back != numbers) & (patterns & np.uint32(1) == 0) & ~np.isnan(numbers)
    beyond = np.abs(back) > np.abs(numbers)
    patterns[even & beyond] -= np.uint32(1)
    patterns[even & ~beyond] += np.uint32(1)
    rounded = (patterns + np.uint32(0x7FFF) + (patterns >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    sign = patterns >> np.uint32(16) & np.uint32(0x8000)
    return np.where(np.isnan(singles), sign | _QUIET_NAN, rounded).astype(np.uint16)
