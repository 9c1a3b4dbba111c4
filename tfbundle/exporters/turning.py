"""Turning arrays in Fortran order into C order, in bounded memory: tile by tile.

A tile is as large in the dimensions that are neighbours in the source as in those that are in the target, so that
neither side is read or written in crumbs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from tfbundle.format.slices import Box
from tfbundle.storage.buffers import Bytes

TILE_NBYTES = 8 << 20

ReadAt = Callable[[int, memoryview], None]
WriteAt = Callable[[int, Bytes], None]


def turn(shape: tuple[int, ...], width: int, read_at: ReadAt, write_at: WriteAt) -> None:
    """Write an array in C order that is read in Fortran order.

    Args:
        shape: of the array.
        width: bytes of an element.
        read_at: ``read_at(offset, buffer)`` reads from the array.
        write_at: ``write_at(offset, data)`` writes to its place.

    Example:
        >>> source, target = memoryview(b"adbecf"), bytearray(6)  # columns ad, be, cf
        >>> def read_at(at, buffer):
        ...     buffer[:] = source[at : at + len(buffer)]
        >>> def write_at(at, data):
        ...     target[at : at + len(data)] = data.tobytes()
        >>> turn((2, 3), 1, read_at, write_at)
        >>> target
        bytearray(b'abcdef')
    """
    if not math.prod(shape):
        return
    sizes = tile_shape(shape, TILE_NBYTES // width)
    for tile in iter_tiles(shape, sizes):
        box = Box(tile.starts[::-1], tile.sizes[::-1])
        data = np.empty(tile.num_elements * width, np.uint8)
        done = 0
        for offset, count in iter_runs(shape[::-1], box):
            read_at(offset * width, data[done : done + count * width].data)
            done += count * width
        turned = _transpose(data, box.sizes, width)
        done = 0
        for offset, count in iter_runs(shape, tile):
            write_at(offset * width, turned[done : done + count * width])
            done += count * width


def _transpose(data: Bytes, sizes: tuple[int, ...], width: int) -> Bytes:
    """Reverse the dimensions of a box, only those seen by numpy that are larger than 1: it knows no more than 32."""
    kept = [size for size in sizes if size > 1]
    elements = data.view(f"V{width}").reshape(kept)
    return np.ascontiguousarray(elements.transpose()).reshape(-1).view(np.uint8)


def tile_shape(shape: tuple[int, ...], most_elements: int) -> tuple[int, ...]:
    """Choose the shape of tiles.

    Example:
        >>> tile_shape((1000, 1000), 100), tile_shape((10, 4), 100), tile_shape((5, 1000), 100)
        ((10, 10), (10, 4), (5, 20))
    """
    if math.prod(shape) <= most_elements:
        return shape
    sizes = [1] * len(shape)
    _grow(sizes, shape, reversed(range(len(shape))), math.isqrt(most_elements))
    _grow(sizes, shape, range(len(shape)), most_elements)
    _grow(sizes, shape, reversed(range(len(shape))), most_elements)
    return tuple(sizes)


def _grow(sizes: list[int], shape: tuple[int, ...], axes: Iterator[int] | range, most_elements: int) -> None:
    for axis in axes:
        room = most_elements // math.prod(sizes)
        sizes[axis] = max(sizes[axis], min(shape[axis], sizes[axis] * max(1, room)))
        if sizes[axis] < shape[axis]:
            return


def iter_tiles(shape: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[Box]:
    """Yield the tiles that make up an array; those at its ends are smaller.

    Example:
        >>> [tile.starts for tile in iter_tiles((3, 2), (2, 2))]
        [(0, 0), (2, 0)]
    """
    counts = [-(-whole // size) for whole, size in zip(shape, sizes, strict=True)]
    for number in range(math.prod(counts)):
        starts, rest = [], number
        for count, size in zip(reversed(counts), reversed(sizes), strict=True):
            rest, at = divmod(rest, count)
            starts.append(at * size)
        starts.reverse()
        ends = (min(start + size, whole) for start, size, whole in zip(starts, sizes, shape, strict=True))
        yield Box(tuple(starts), tuple(end - start for start, end in zip(starts, ends, strict=True)))


def iter_runs(shape: tuple[int, ...], box: Box) -> Iterator[tuple[int, int]]:
    """Yield the stretches of an array in C order that a box is made of: first element, and how many.

    Example:
        >>> list(iter_runs((4, 3), Box((1, 0), (2, 3)))), list(iter_runs((2, 4), Box((0, 1), (2, 2))))
        ([(3, 6)], [(1, 2), (5, 2)])
    """
    axis = len(shape) - 1
    while axis > 0 and box.sizes[axis] == shape[axis]:
        axis -= 1
    inner = math.prod(shape[axis + 1 :])
    count = box.sizes[axis] * inner if shape else 1
    outer = box.sizes[:axis] if shape else ()
    for number in range(math.prod(outer)):
        offset, stride, rest = (box.starts[axis] * inner if shape else 0), inner * (shape[axis] if shape else 1), number
        for start, size, whole in zip(box.starts[:axis][::-1], outer[::-1], shape[:axis][::-1], strict=True):
            rest, at = divmod(rest, size)
            offset += (start + at) * stride
            stride *= whole
        yield offset, count
