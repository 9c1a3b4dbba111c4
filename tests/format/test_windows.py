from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.format.slices import Box, whole_box
from tfbundle.format.windows import fill_part, iter_windows, row_axis, unravel

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


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2)), max_size=4),
)
def test_part_goes_to_its_place(extents: list[tuple[int, int, int, int]]) -> None:
    """Of each dimension: where the window starts, the part's size, and how much there is before and behind it."""
    window = Box(tuple(start for start, *_ in extents), tuple(a + size + b for _, size, a, b in extents))
    part = Box(tuple(start + a for start, _, a, _ in extents), tuple(size for _, size, _, _ in extents))
    values = np.arange(1, part.num_elements + 1)
    elements = np.zeros(window.num_elements, int)
    fill_part(elements, window, values, part)
    expected = np.zeros(window.sizes, int)
    expected[part.within(window)] = values.reshape(part.sizes)
    assert elements.tolist() == expected.reshape(-1).tolist()


def test_part_of_more_dimensions_than_numpy_has() -> None:
    ones = (1,) * 98
    elements = np.zeros(6, int)
    fill_part(elements, Box((0,) * 100, (2, *ones, 3)), np.array([5, 6]), Box((1, *[0] * 98, 1), (1, *ones, 2)))
    assert elements.tolist() == [0, 0, 0, 0, 5, 6]
