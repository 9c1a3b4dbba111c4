from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.exporters import turning
from tfbundle.exporters.turning import iter_runs, iter_tiles, tile_shape, turn
from tfbundle.format.slices import Box
from tfbundle.storage.buffers import Bytes

shapes = st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple)


def turned(array: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> bytes:
    source, target = memoryview(array.tobytes("F")), bytearray(array.nbytes)

    def read_at(at: int, buffer: memoryview) -> None:
        buffer[:] = source[at : at + len(buffer)]

    def write_at(at: int, data: Bytes) -> None:
        target[at : at + len(data)] = data.tobytes()

    turn(array.shape, array.itemsize, read_at, write_at)
    return bytes(target)


@given(shapes, st.integers(1, 80))
def test_is_what_numpy_makes(shape: tuple[int, ...], most: int) -> None:
    array = np.arange(math.prod(shape), dtype=np.uint16).reshape(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turning, "TILE_NBYTES", 2 * most)
        assert turned(array) == array.tobytes("C")


@given(shapes.filter(math.prod), st.integers(1, 80))
def test_tiles_fit_and_cover(shape: tuple[int, ...], most: int) -> None:
    sizes = tile_shape(shape, most)
    assert math.prod(sizes) <= most
    count = np.zeros(shape, int)
    for tile in iter_tiles(shape, sizes):
        count[tile.within(Box((0,) * len(shape), shape))] += 1
    assert (count == 1).all()


@given(st.data())
def test_runs_are_those_of_the_box(data: st.DataObject) -> None:
    shape = data.draw(shapes.filter(math.prod))
    starts = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    sizes = tuple(data.draw(st.integers(1, size - start)) for size, start in zip(shape, starts, strict=True))
    box = Box(starts, sizes)
    wanted = np.arange(math.prod(shape)).reshape(shape)[box.within(Box((0,) * len(shape), shape))].reshape(-1)
    found = [number for first, count in iter_runs(shape, box) for number in range(first, first + count)]
    assert found == wanted.tolist()


@pytest.mark.parametrize("shape", [(1 << 14, 1 << 14), (1 << 24, 16), (16, 1 << 24), (3, 3, 1 << 12, 1 << 12)])
def test_neither_side_is_in_crumbs(shape: tuple[int, ...]) -> None:
    sizes = tile_shape(shape, 1 << 21)
    assert math.prod(sizes) > 1 << 20
    for whole, size in ((shape, sizes), (shape[::-1], sizes[::-1])):
        (_, elements), *_ = iter_runs(whole, Box((0,) * len(whole), size))
        assert elements >= 9
