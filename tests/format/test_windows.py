from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.format.slices import Box, whole_box
from tfbundle.format.windows import iter_windows, row_axis, unravel

shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)


@given(shapes, st.integers(1, 30))
def test_windows_make_up_the_tensor_in_order(shape: tuple[int, ...], most: int) -> None:
    elements = np.arange(math.prod(shape)).reshape(shape)
    windows = list(iter_windows(shape, most))
    assert all(0 < window.num_elements <= most for window in windows)
    found = [elements[window.within(whole_box(shape))].reshape(-1) for window in windows]
    assert np.concatenate([np.zeros(0, int), *found]).tolist() == elements.reshape(-1).tolist()


@given(shapes.filter(math.prod).filter(len), st.integers(1, 30), st.data())
def test_windows_of_some_rows(shape: tuple[int, ...], most: int, data: st.DataObject) -> None:
    cut = row_axis(shape, most) + 1
    rows = np.arange(math.prod(shape)).reshape(math.prod(shape[:cut]), -1)
    first = data.draw(st.integers(0, len(rows)))
    last = data.draw(st.integers(first, len(rows)))
    elements = rows.reshape(shape)
    windows = list(iter_windows(shape, most, (first, last)))
    assert all(0 < window.num_elements <= most for window in windows)
    found = [elements[window.within(whole_box(shape))].reshape(-1) for window in windows]
    assert np.concatenate([np.zeros(0, int), *found]).tolist() == rows[first:last].reshape(-1).tolist()


@pytest.mark.parametrize(
    ("shape", "most", "axis"),
    [
        ((), 1, 0),
        ((5,), 1, 0),
        ((5, 4), 4, 0),
        ((5, 4), 3, 1),
        ((5, 4, 3), 3, 1),
        ((5, 4, 3), 2, 2),
        ((5, 4, 3), 12, 0),
    ],
)
def test_rows_are_as_large_as_may_be(shape: tuple[int, ...], most: int, axis: int) -> None:
    assert row_axis(shape, most) == axis


def test_few_windows() -> None:
    assert len(list(iter_windows((1000, 1000), 10_000))) == 100
    assert list(iter_windows((), 4)) == [Box((), ())]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), max_size=3), st.data())
def test_unravel(extents: list[tuple[int, int]], data: st.DataObject) -> None:
    starts, sizes = tuple(start for start, _ in extents), tuple(size for _, size in extents)
    number = data.draw(st.integers(0, math.prod(sizes) - 1))
    expected = np.unravel_index(number, sizes) if sizes else ()
    assert unravel(Box(starts, sizes), number) == tuple(
        start + int(at) for start, at in zip(starts, expected, strict=True)
    )
