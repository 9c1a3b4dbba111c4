from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.partitions import Piece, partitions
from tfbundle.choosing.castable import Cast
from tfbundle.format.slices import Box
from tfbundle.streaming import join
from tfbundle.streaming.join import Join, JoinSource, iter_windows, plan_row_ranges, reaches, row_elements

Cut = tuple[tuple[int, ...], list[Piece]]

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let windows hold 12 elements."""
    monkeypatch.setattr(join, "WINDOW_ELEMENTS", 12)


def box_of(piece: Piece) -> Box:
    return Box(tuple(p.start for p in piece.where), tuple(p.stop - p.start for p in piece.where))


def unit(shape: tuple[int, ...], rows: tuple[int, int], *boxes: Box) -> Join:
    return Join(
        0, 0, 0, shape, rows, tuple(JoinSource(number, 0, 0, box) for number, box in enumerate(boxes)), Cast(1, 19), 1
    )


@pytest.mark.usefixtures("window")
@pytest.mark.parametrize(
    ("shape", "elements"),
    [
        ((100,), 1),
        ((100, 12), 12),
        ((100, 13), 1),
        ((100, 3, 4), 12),
        ((100, 4, 4), 4),
        ((2, 100, 12), 12),
        ((2, 100, 13), 1),
        ((5, 0), 0),
    ],
)
def test_rows_fit_in_a_window(shape: tuple[int, ...], elements: int) -> None:
    assert row_elements(shape) == elements


def test_rows_of_the_real_size() -> None:
    assert row_elements((7, 256, 256)) == 256 * 256
    assert row_elements((7, 256, 257)) == 257
    assert row_elements((2, 1 << 30)) == 1


@pytest.mark.parametrize(
    ("shape", "nbytes", "ranges"),
    [
        ((5, 3), 1, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
        ((5, 3), 35, [(0, 2), (2, 4), (4, 5)]),
        ((5, 3), 36, [(0, 3), (3, 5)]),
        ((5, 3), 999, [(0, 5)]),
        ((2, 20, 3), 144, [(0, 12), (12, 24), (24, 36), (36, 40)]),
        ((2, 20), 48, [(0, 12), (12, 24), (24, 36), (36, 40)]),
        ((0, 3), 9, []),
        ((3, 0), 9, []),
    ],
)
@pytest.mark.usefixtures("window")
def test_ranges_of_rows(shape: tuple[int, ...], nbytes: int, ranges: list[tuple[int, int]]) -> None:
    assert list(plan_row_ranges(shape, nbytes // 4)) == ranges


@pytest.mark.usefixtures("window")
def test_windows_of_columns() -> None:
    """6 rows of 5 in two slices: 2 rows a window, each slice read from where the last window ended."""
    left, right = Box((0, 0), (6, 2)), Box((0, 2), (6, 3))
    assert list(iter_windows(unit((6, 5), (0, 6), left, right))) == [
        (Box((0, 0), (2, 5)), [(0, 0, Box((0, 0), (2, 2))), (1, 0, Box((0, 2), (2, 3)))]),
        (Box((2, 0), (2, 5)), [(0, 4, Box((2, 0), (2, 2))), (1, 6, Box((2, 2), (2, 3)))]),
        (Box((4, 0), (2, 5)), [(0, 8, Box((4, 0), (2, 2))), (1, 12, Box((4, 2), (2, 3)))]),
    ]


@pytest.mark.usefixtures("window")
def test_windows_of_rows_longer_than_a_window() -> None:
    """Elements 15 to 35 of 2 rows of 20: no window crosses the end of a row."""
    whole = Box((0, 0), (2, 20))
    assert [
        (box, [offset for _, offset, _ in stretches]) for box, stretches in iter_windows(unit((2, 20), (15, 35), whole))
    ] == [
        (Box((0, 15), (1, 5)), [15]),
        (Box((1, 0), (1, 12)), [20]),
        (Box((1, 12), (1, 3)), [32]),
    ]


@pytest.mark.usefixtures("window")
def test_slice_that_a_window_does_not_touch() -> None:
    first, second = Box((0, 0), (2, 6)), Box((2, 0), (2, 6))
    assert [[number for number, _, _ in found] for _, found in iter_windows(unit((4, 6), (0, 4), first, second))] == [
        [0],
        [1],
    ]


@given(partitions(4), st.integers(1, 20), st.integers(1, 200))
def test_stretches_put_together_make_the_tensor(cut: Cut, window: int, nbytes: int) -> None:
    shape, pieces = cut
    values = np.arange(math.prod(shape)).reshape(shape)
    result = np.full(shape, -1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(join, "WINDOW_ELEMENTS", window)
        flat = 0
        for rows in plan_row_ranges(shape, nbytes // 4):
            here = [piece for piece in pieces if reaches(box_of(piece), rows, shape)]
            for box, stretches in iter_windows(unit(shape, rows, *map(box_of, here))):
                assert values[tuple(map(slice, box.starts, box.ends))].reshape(-1).tolist() == list(
                    range(flat, flat + box.num_elements)
                )
                flat += box.num_elements
                for number, offset, part in stretches:
                    stored = values[here[number].where].reshape(-1)[offset : offset + part.num_elements]
                    result[tuple(map(slice, part.starts, part.ends))] = stored.reshape(part.sizes)
    assert np.array_equal(result, values)


@given(partitions(4), st.integers(1, 20), st.data())
def test_no_slice_is_forgotten(cut: Cut, window: int, data: st.DataObject) -> None:
    shape, pieces = cut
    numbers = np.arange(math.prod(shape)).reshape(shape)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(join, "WINDOW_ELEMENTS", window)
        width = row_elements(shape)
        first = data.draw(st.integers(0, numbers.size // width - 1))
        last = data.draw(st.integers(first + 1, numbers.size // width))
        for piece in pieces:
            inside = (numbers[piece.where] >= first * width) & (numbers[piece.where] < last * width)
            if inside.any():
                assert reaches(box_of(piece), (first, last), shape)


@pytest.mark.parametrize(
    ("box", "rows", "expected"),
    [
        (Box((0, 0), (2, 3)), (0, 2), True),
        (Box((0, 0), (2, 3)), (2, 4), False),
        (Box((2, 0), (2, 3)), (0, 2), False),
        (Box((2, 0), (2, 3)), (1, 3), True),
        (Box((0, 0), (0, 3)), (0, 4), False),
    ],
)
def test_slices_that_are_not_needed(box: Box, rows: tuple[int, int], expected: bool) -> None:
    assert reaches(box, rows, (4, 3)) is expected


def test_source_bytes() -> None:
    assert unit((5, 3), (1, 4)).nbytes == 36
