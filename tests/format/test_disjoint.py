from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.partitions import Piece, partitions
from tfbundle.errors import FormatError
from tfbundle.format.disjoint import MAX_COMPARISONS, check_disjoint
from tfbundle.format.slices import Box, resolve_slice, whole_box


def grid(rows: int, columns: int) -> list[Box]:
    return [Box((row, column), (1, 1)) for row in range(rows) for column in range(columns)]


def spiral(count: int, size: int = 1 << 20) -> list[Box]:
    """Cut a strip off each side in turn, so that every cut parts a single box from all others."""
    top, left, bottom, right = 0, 0, size, size
    boxes = []
    for number in range(count):
        box, edges = {
            0: (Box((top, left), (1, right - left)), (1, 0, 0, 0)),
            1: (Box((top, left), (bottom - top, 1)), (0, 1, 0, 0)),
            2: (Box((bottom - 1, left), (1, right - left)), (0, 0, 1, 0)),
            3: (Box((top, right - 1), (bottom - top, 1)), (0, 0, 0, 1)),
        }[number % 4]
        boxes.append(box)
        top, left, bottom, right = top + edges[0], left + edges[1], bottom - edges[2], right - edges[3]
    return boxes


def pinwheels(count: int) -> list[Box]:
    """Put four boxes around each other like the arms of a windmill, and around these four more, and so on."""
    boxes = []
    for ring in range(count):
        low, size = count - 1 - ring, 2 * ring + 2  # side of a ring, which overlaps the next by a corner each
        high = low + size
        boxes += [
            Box((low, low), (1, size)),
            Box((low, high), (size, 1)),
            Box((high, low + 1), (1, size)),
            Box((low + 1, low), (size, 1)),
        ]
    return boxes


def overlap_by_marking(boxes: list[Box]) -> bool:
    marks = np.zeros((12,) * len(boxes[0].starts), int)
    for box in boxes:
        marks[tuple(map(slice, box.starts, box.ends))] += 1
    return bool((marks > 1).any())


@given(st.integers(1, 3), st.data())
def test_as_if_every_element_were_marked(rank: int, data: st.DataObject) -> None:
    extent = st.tuples(st.integers(0, 6), st.integers(0, 4))
    boxes = [
        Box(tuple(start for start, _ in box), tuple(size for _, size in box))
        for box in data.draw(st.lists(st.lists(extent, min_size=rank, max_size=rank), min_size=1, max_size=40))
    ]
    if overlap_by_marking(boxes):
        with pytest.raises(FormatError, match="Overlapping slices: existing slice = "):
            check_disjoint(boxes)
    else:
        check_disjoint(boxes)


@given(partitions(), st.data())
def test_pieces_of_a_partition(cut: tuple[tuple[int, ...], list[Piece]], data: st.DataObject) -> None:
    boxes = [resolve_slice(piece.extents, cut[0]) for piece in cut[1]]
    check_disjoint(boxes)
    with pytest.raises(FormatError, match="Overlapping slices"):
        check_disjoint([*boxes, data.draw(st.sampled_from(boxes))])


@pytest.mark.parametrize(
    "boxes",
    [grid(1, 3000), grid(3000, 1), grid(60, 60), spiral(1000), pinwheels(500)],
    ids=["columns", "rows", "grid", "spiral", "pinwheels"],
)
def test_many(boxes: list[Box]) -> None:
    check_disjoint(boxes)
    middle = boxes[len(boxes) // 2]
    with pytest.raises(FormatError, match="Overlapping slices"):
        check_disjoint([*boxes, Box(middle.starts, (1, 1))])


def test_scalars_overlap() -> None:
    with pytest.raises(FormatError, match="Overlapping slices"):
        check_disjoint([whole_box(())] * 20)


def test_no_boxes_and_empty_ones() -> None:
    check_disjoint([])
    check_disjoint([Box((0,), (0,))] * 50)


@pytest.mark.parametrize("boxes", [spiral(20_000), pinwheels(10_000)], ids=["spiral", "pinwheels"])
def test_more_than_can_be_compared_are_refused(boxes: list[Box]) -> None:
    assert len(boxes) ** 2 > MAX_COMPARISONS
    with pytest.raises(FormatError, match="slices that no cuts through the tensor part; too many to compare"):
        check_disjoint(boxes)


def test_even_then_a_slice_that_is_there_twice_is_told() -> None:
    with pytest.raises(FormatError, match="Overlapping slices: existing slice = 5,2"):
        check_disjoint([Box((5,), (2,))] * 100_000)


def test_overlap_with_a_slice_that_starts_elsewhere() -> None:
    """Of slices that no cut parts."""
    message = r"^Overlapping slices: existing slice = 12,1:1,12, new slice = 12,1:12,1$"
    with pytest.raises(FormatError, match=message):
        check_disjoint([*pinwheels(6), Box((12, 12), (1, 1))])
    arm = pinwheels(6)[22]
    others = [box for box in pinwheels(6) if box != arm]
    with pytest.raises(FormatError, match=r"^Overlapping slices: existing slice = 12,1:12,1, new slice = 12,1:1,12$"):
        check_disjoint([Box((12, 12), (1, 1)), arm, *others])


@pytest.mark.parametrize("boxes", [grid(1, 20_000), grid(20_000, 1)], ids=["columns", "rows"])
def test_slices_side_by_side_need_not_be_compared(boxes: list[Box]) -> None:
    assert len(boxes) ** 2 > MAX_COMPARISONS
    check_disjoint(boxes)


def test_one_that_is_there_twice_is_told_among_more_than_can_be_compared() -> None:
    boxes = spiral(20_000)
    with pytest.raises(FormatError, match=r"^Overlapping slices: existing slice = "):
        check_disjoint([*boxes, boxes[7777]])
