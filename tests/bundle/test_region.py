from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tfbundle.bundle import region
from tfbundle.bundle.region import read_box, read_region

shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)
steps = st.sampled_from([-7, -3, -2, -1, 1, 2, 3, 7])
bounds = st.one_of(st.none(), st.integers(-9, 9))
slices = st.builds(slice, bounds, bounds, st.one_of(st.none(), steps))


@st.composite
def shapes_and_indices(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    shape = draw(shapes)
    count = draw(st.integers(0, len(shape)))
    given_axes = shape[:count]
    where: list[Any] = [
        draw(st.one_of(slices, st.integers(-size, size - 1)) if size else slices) for size in given_axes
    ]
    if draw(st.booleans()):
        where.insert(draw(st.integers(0, len(where))), ...)
        # the axes after an ellipsis are counted from the end: take only what fits any of them
        where = [index if not isinstance(index, int) else slice(index, None) for index in where]
    if len(where) == 1 and draw(st.booleans()):
        return shape, where[0]
    return shape, tuple(where)


def numbered(shape: tuple[int, ...], dtype: str = "<i4") -> NDArray[Any]:
    return np.arange(1, math.prod(shape) + 1).astype(dtype).reshape(shape)


class Source:
    """An array as it lies in a file; remembers what was read of it."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.data = array.tobytes()
        self.reads: list[tuple[int, int]] = []

    def read_into(self, offset: int, buffer: memoryview) -> None:
        assert 0 <= offset <= offset + len(buffer) <= len(self.data)
        self.reads.append((offset, len(buffer)))
        buffer[:] = self.data[offset : offset + len(buffer)]


def read(array: NDArray[Any], where: Any) -> NDArray[Any]:
    return read_region(Source(array).read_into, array.shape, array.dtype, where)


@given(shapes_and_indices(), st.sampled_from([1, 4, 12, 40, 100, 8 << 20]), st.sampled_from(["<i4", "<f8", "u1"]))
def test_reads_what_numpy_picks(shape_and_where: tuple[tuple[int, ...], Any], chunk_nbytes: int, dtype: str) -> None:
    shape, where = shape_and_where
    array = numbered(shape, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region, "CHUNK_NBYTES", chunk_nbytes)
        found = read(array, where)
    expected = np.asarray(array[where])
    assert found.dtype == array.dtype
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)
    assert found.flags.c_contiguous
    assert found.flags.writeable


@pytest.mark.parametrize(
    "where", [(), ..., (...,), slice(None), (slice(None), 1), (..., 1), (1, ...), (-1, -1), np.int64(1)]
)
def test_forms_of_an_index(where: Any) -> None:
    array = numbered((3, 4))
    found = read(array, where)
    assert found.shape == array[where].shape
    assert np.array_equal(found, array[where])


def test_scalar() -> None:
    array = np.array(7, "<i8")
    assert read(array, ()) == 7
    assert read(array, ...) == 7
    assert read(array, ()).shape == ()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ((0, 0, 0), "too many indices"),
        ((..., 0, 0, 0), "too many indices"),
        ((..., ...), "single ellipsis"),
        (3, "index 3 is out of bounds for a dimension of size 3"),
        (-4, "index -4 is out of bounds"),
        ((0, 4), "index 4 is out of bounds for a dimension of size 4"),
    ],
)
def test_indices_out_of_range(where: Any, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        read(numbered((3, 4)), where)
    with pytest.raises(IndexError):
        numbered((3, 4))[where]


@pytest.mark.parametrize("where", [None, 1.0, "a", [0, 1], True, np.array([0, 1]), (0, None)])
def test_other_kinds_of_index(where: Any) -> None:
    with pytest.raises(TypeError, match="only integers, slices"):
        read(numbered((3, 4)), where)


def test_step_zero() -> None:
    with pytest.raises(ValueError, match="step cannot be zero"):
        read(numbered((3,)), slice(None, None, 0))


def test_only_the_rows_asked_for_are_read() -> None:
    source = Source(numbered((100, 10)))
    read_region(source.read_into, (100, 10), np.dtype("<i4"), slice(40, 42))
    assert source.reads == [(1600, 80)]


def test_nothing_is_read_for_an_empty_part() -> None:
    source = Source(numbered((100, 10)))
    assert read_region(source.read_into, (100, 10), np.dtype("<i4"), slice(5, 5)).shape == (0, 10)
    assert source.reads == []


def test_pieces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "CHUNK_NBYTES", 400)
    source = Source(numbered((100, 10)))
    read_region(source.read_into, (100, 10), np.dtype("<i4"), slice(None))
    assert max(nbytes for _, nbytes in source.reads) <= 400
    assert sum(nbytes for _, nbytes in source.reads) == 4000


def test_row_larger_than_a_piece_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "CHUNK_NBYTES", 64)
    array = numbered((3, 10, 10))
    source = Source(array)
    found = read_region(source.read_into, array.shape, array.dtype, (1, slice(2, 4), slice(0, 10, 3)))
    assert np.array_equal(found, array[1, 2:4, 0:10:3])
    assert all(400 <= offset < 800 for offset, _ in source.reads)


def test_wide_steps_skip_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "CHUNK_NBYTES", 40)
    source = Source(numbered((1000, 10)))
    read_region(source.read_into, (1000, 10), np.dtype("<i4"), slice(0, None, 500))
    assert source.reads == [(0, 40), (20000, 40)]


def test_box() -> None:
    array = numbered((4, 5, 6))
    out = np.zeros((2, 3, 4), np.int32)
    read_box(Source(array).read_into, array.shape, (1, 2, 0), out)
    assert np.array_equal(out, array[1:3, 2:5, :4])


def test_nothing_is_read_for_an_empty_box() -> None:
    source = Source(numbered((4, 5)))
    read_box(source.read_into, (4, 5), (4, 0), np.zeros((0, 5), np.int32))
    assert source.reads == []
