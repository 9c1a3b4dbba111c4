"""Comparing numbers: which ones are the same, close enough or different, and how far apart.

Numbers are compared as float64 or complex128, which hold all narrower ones; integers with integers exactly. Elements
of types that are no numbers here (float8, int4 and the like) are compared by their bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.format.dtypes import BFLOAT16, BOOL, DataType
from tfbundle.format.slices import Box
from tfbundle.format.windows import unravel
from tfbundle.storage.buffers import Bytes

_BLOCK_ELEMENTS = 1 << 14  # what is made of them stays in the cache

Flags = NDArray[np.bool_]
Numbers = NDArray[Any]


class Extreme(NamedTuple):
    """The largest difference of some kind.

    Attributes:
        value: how large; infinite where one side is infinite or no number and the other is not.
        where: index of the element.
    """

    value: float
    where: tuple[int, ...]


class Tolerance(NamedTuple):
    """When two numbers count as equal: where ``|a - b| <= atol + rtol * |b|``, as in ``numpy.isclose``.

    NaN equals NaN, and an infinity itself.

    Attributes:
        rtol: relative to the right number.
        atol: absolute.
        bits: only equal bits are equal; -0.0 then differs from 0.0, and one NaN from another.
    """

    rtol: float = 0.0
    atol: float = 0.0
    bits: bool = False


@dataclass
class Tally:
    """What the comparison of a tensor has found so far.

    Attributes:
        num_different: elements that differ by more than the tolerance.
        num_close: elements that differ by less.
        num_other_bits: elements that are equal, but not bit for bit: zeros of both signs, or different NaNs.
        first: index of the first element that differs by more than the tolerance; None if there is none.
        largest_absolute: of all differences, tolerated ones included; None if there are none, or no numbers.
        largest_relative: the largest ``|a - b| / |b|``.
    """

    num_different: int = 0
    num_close: int = 0
    num_other_bits: int = 0
    first: tuple[int, ...] | None = None
    largest_absolute: Extreme | None = None
    largest_relative: Extreme | None = None


class Comparison:
    """Compares two tensors of the same shape, window by window.

    Args:
        left: element type of the one.
        right: element type of the other.
        tolerance: what counts as equal.

    Example:
        >>> from tfbundle.format.dtypes import FLOAT32
        >>> comparison = Comparison(FLOAT32, FLOAT32, Tolerance())
        >>> left, right = np.array([1, 2], np.float32), np.array([1, 3], np.float32)
        >>> comparison.add(Box((0,), (2,)), left.view(np.uint8), right.view(np.uint8))
        >>> comparison.tally.largest_absolute
        Extreme(value=1.0, where=(1,))
    """

    def __init__(self, left: DataType, right: DataType, tolerance: Tolerance) -> None:
        self._left = left
        self._right = right
        self._tolerance = tolerance
        self.tally = Tally()

    def add(self, window: Box, left: Bytes, right: Bytes) -> None:
        """Compare the elements of a window, given as bytes of this machine's order."""
        if self._left == self._right:
            element = f"u{self._left.nbytes}" if self._left.nbytes <= 8 else f"V{self._left.nbytes}"
            places = np.flatnonzero(left.view(element) != right.view(element))
            if not is_number(self._left):
                self._count_different(window, places)
                return
        else:
            places = np.arange(window.num_elements)
        sides = left.view(f"V{self._left.nbytes}"), right.view(f"V{self._right.nbytes}")
        for start in range(0, len(places), _BLOCK_ELEMENTS):
            block = places[start : start + _BLOCK_ELEMENTS]
            here, there = (side[block].view(np.uint8) for side in sides)
            self._add_numbers(window, block, as_numbers(here, self._left), as_numbers(there, self._right))

    def _add_numbers(self, window: Box, places: NDArray[np.intp], left: Numbers, right: Numbers) -> None:
        """Compare numbers; those of the same dtype have other bits. ``places`` says which of the window they are."""
        equal, distance, size = _measure(left, right)
        unequal = np.flatnonzero(~equal)
        if self._left == self._right:
            self.tally.num_other_bits += len(places) - len(unequal)
        if len(unequal):
            distance, size = distance[unequal], size[unequal]
            self._raise_extremes(window, places[unequal], distance, size)
            close = self._are_close(distance, size)
            self.tally.num_close += int(np.count_nonzero(close))
            unequal = unequal[~close]
        bits_count = self._tolerance.bits and self._left == self._right
        self._count_different(window, places if bits_count else places[unequal])

    def _are_close(self, distance: Numbers, size: Numbers) -> Flags:
        """Tell which of some unequal numbers are within the tolerance."""
        rtol, atol, _ = self._tolerance
        if not (rtol or atol):
            return np.zeros(len(distance), np.bool_)
        with np.errstate(all="ignore"):
            return np.less_equal(distance, atol + rtol * size) & np.isfinite(size)

    def _count_different(self, window: Box, places: NDArray[np.intp]) -> None:
        if len(places) and self.tally.first is None:
            self.tally.first = unravel(window, int(places[0]))
        self.tally.num_different += len(places)

    def _raise_extremes(self, window: Box, places: NDArray[np.intp], distance: Numbers, size: Numbers) -> None:
        with np.errstate(all="ignore"):
            relative = distance / size
        tally = self.tally
        tally.largest_absolute = _larger(tally.largest_absolute, window, places, distance)
        tally.largest_relative = _larger(tally.largest_relative, window, places, relative)


def _larger(known: Extreme | None, window: Box, places: NDArray[np.intp], values: Numbers) -> Extreme:
    at = int(np.argmax(values))  # of a NaN, if there is one
    value = math.inf if np.isnan(values[at]) else float(values[at])
    if known is not None and known.value >= value:
        return known
    return Extreme(value, unravel(window, int(places[at])))


def is_number(dtype: DataType) -> bool:
    """Tell whether elements of that type are compared as numbers.

    Example:
        >>> from tfbundle.format.dtypes import named_data_type
        >>> [is_number(named_data_type(name)) for name in ("bfloat16", "qint8", "int4", "string")]
        [True, True, False, False]
    """
    if not dtype.is_memcpy:
        return False
    return dtype == BFLOAT16 or dtype.native or (dtype.bits == 8 and not dtype.name.startswith("float"))


def as_numbers(data: Bytes, dtype: DataType) -> Numbers:
    """Return numbers as float64, complex128, or integers of their own width.

    Example:
        >>> as_numbers(np.array([0x80, 0x3F], np.uint8), BFLOAT16)
        array([1.])
    """
    if dtype == BOOL:
        return np.not_equal(data, 0).view(np.uint8)
    stored: Numbers = data.view(dtype.storage)
    if dtype == BFLOAT16:
        stored = (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    widest = {"f": np.float64, "c": np.complex128}.get(stored.dtype.kind)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return stored if widest is None else stored.astype(widest)


def _measure(left: Numbers, right: Numbers) -> tuple[Flags, Numbers, Numbers]:
    """Return which numbers are equal, how far apart they are, and the magnitude of the right ones."""
    if left.dtype.kind in "iu" and right.dtype.kind in "iu":
        return _measure_integers(left, right)
    common = np.complex128 if "c" in (left.dtype.kind, right.dtype.kind) else np.float64
    left, right = left.astype(common, copy=False), right.astype(common, copy=False)
    equal: Flags = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(all="ignore"):
        return equal, np.abs(left - right), np.abs(right)


def _measure_integers(left: Numbers, right: Numbers) -> tuple[Flags, Numbers, Numbers]:
    """Measure without rounding, whatever the signs and widths."""
    left_size, right_size = _magnitude(left), _magnitude(right)
    same_sign: Flags = (left < 0) == (right < 0)
    apart = (np.maximum(left_size, right_size) - np.minimum(left_size, right_size)).astype(np.float64)
    sizes = left_size.astype(np.float64), right_size.astype(np.float64)
    return same_sign & (left_size == right_size), np.where(same_sign, apart, sizes[0] + sizes[1]), sizes[1]


def _magnitude(numbers: Numbers) -> NDArray[np.uint64]:
    if numbers.dtype.kind == "u":
        return numbers.astype(np.uint64)
    wide = numbers.astype(np.int64)
    bits = wide.view(np.uint64)
    size: NDArray[np.uint64] = np.where(wide < 0, ~bits + np.uint64(1), bits)
    return size
