"""Reading a part of an array that lies in a file in C order, in bounded pieces."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_NBYTES = 8 << 20

Index = int | slice | EllipsisType
Where = Index | tuple[Index, ...]
ReadInto = Callable[[int, memoryview], None]
"""``read_into(offset, buffer)`` fills the buffer from ``offset`` bytes after the array's start."""


def read_region(read_into: ReadInto, shape: tuple[int, ...], dtype: np.dtype[Any], where: Where) -> NDArray[Any]:
    """Read ``array[where]`` without reading all of the array.

    Args:
        read_into: gives access to the array's bytes.
        shape: of the whole array.
        dtype: of its elements.
        where: integers, slices with any step, and ``...``, as in numpy's basic indexing.

    Raises:
        IndexError: too many indices, or an integer out of bounds.
        TypeError: another kind of index.
    """
    indices = normalize_index(where, shape)
    ascending = tuple(map(_ascending, indices))
    result = np.empty(tuple(map(len, ascending)), dtype)
    if result.size:
        _fill(result, 0, read_into, shape, ascending)
    return _finish(result, indices)


def read_box(read_into: ReadInto, shape: tuple[int, ...], starts: tuple[int, ...], out: NDArray[Any]) -> None:
    """Fill ``out`` with the box of its shape that starts at the given indices.

    Args:
        read_into: gives access to the array's bytes.
        shape: of the whole array.
        starts: first index of the box along each dimension.
        out: receives the box; any strides.
    """
    ranges = tuple(range(start, start + size) for start, size in zip(starts, out.shape, strict=True))
    if out.size:
        _fill(out, 0, read_into, shape, ranges)


def bounding_box(indices: list[int | range]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return starts and sizes of the smallest box that holds everything an index selects."""
    ranges = [_ascending(index) for index in indices]
    starts = tuple(part.start if part else 0 for part in ranges)
    return starts, tuple(part[-1] + 1 - part.start if part else 0 for part in ranges)


def pick_from_box(box: NDArray[Any], indices: list[int | range]) -> NDArray[Any]:
    """Return what an index selects, from an array that holds its bounding box."""
    steps = tuple(slice(None, None, _ascending(index).step) for index in indices)
    return _finish(box[steps], indices)


def _finish(ascending: NDArray[Any], indices: list[int | range]) -> NDArray[Any]:
    """Drop the dimensions that integers index, and turn around those with a negative step."""
    flips = tuple(0 if isinstance(index, int) else slice(None, None, -1 if index.step < 0 else 1) for index in indices)
    return np.asarray(ascending[flips], ascending.dtype, order="C") if flips else ascending


def normalize_index(where: Where, shape: tuple[int, ...]) -> list[int | range]:
    """Return the integer or range that an index means for each dimension.

    Raises:
        IndexError, TypeError: as ``read_region``.
    """
    given = list(where) if isinstance(where, tuple) else [where]
    ellipses = [position for position, index in enumerate(given) if index is ...]
    if len(ellipses) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    num_missing = len(shape) - len(given) + len(ellipses)
    if num_missing < 0:
        raise IndexError(f"too many indices: the tensor has {len(shape)} dimensions, {len(given)} were indexed")
    at = ellipses[0] if ellipses else len(given)
    given[at : at + 1] = [slice(None)] * num_missing
    return [_normalize_one(index, size) for index, size in zip(given, shape, strict=True)]


def _normalize_one(index: Index, size: int) -> int | range:
    if isinstance(index, slice):
        return range(size)[index]
    if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
        try:
            return range(size)[int(index)]
        except IndexError:
            raise IndexError(f"index {index} is out of bounds for a dimension of size {size}") from None
    raise TypeError(f"only integers, slices and '...' can index a part of a tensor, not {index!r}")


def _ascending(index: int | range) -> range:
    if isinstance(index, int):
        return range(index, index + 1)
    return index if index.step > 0 else index[::-1]


def _fill(
    out: NDArray[Any], offset: int, read_into: ReadInto, shape: tuple[int, ...], ranges: tuple[range, ...]
) -> None:
    """Read into ``out`` the given ranges of an array that starts at ``offset`` bytes."""
    row_nbytes = math.prod(shape[1:]) * out.dtype.itemsize
    if row_nbytes > CHUNK_NBYTES and len(shape) > 1:
        for number, row in enumerate(ranges[0]):
            _fill(out[number], offset + row * row_nbytes, read_into, shape[1:], ranges[1:])
        return
    if not shape:
        piece = np.empty(1, out.dtype)
        read_into(offset, piece.view(np.uint8).data)
        out[...] = piece[0]
        return
    rows_per_chunk = max(1, CHUNK_NBYTES // (row_nbytes * ranges[0].step))
    for first in range(0, len(ranges[0]), rows_per_chunk):
        rows = ranges[0][first : first + rows_per_chunk]
        span = rows[-1] + 1 - rows[0]
        piece = np.empty((span, *shape[1:]), out.dtype)
        read_into(offset + rows[0] * row_nbytes, piece.reshape(-1).view(np.uint8).data)
        others = tuple(slice(part.start, part.stop, part.step) for part in ranges[1:])
        out[first : first + len(rows)] = piece[(slice(None, None, rows.step), *others)]
