from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.partitions import Piece, partitions
from tfbundle.errors import FormatError
from tfbundle.format.disjoint import check_disjoint
from tfbundle.format.slices import (
    Box,
    check_covered,
    format_slice,
    parse_shape_and_slice,
    resolve_slice,
    whole_box,
)

Cut = tuple[tuple[int, ...], list[Piece]]


def boxes_of(cut: Cut) -> list[Box]:
    return [resolve_slice(piece.extents, cut[0]) for piece in cut[1]]


@pytest.mark.parametrize(
    ("extents", "text"),
    [(((0, 2), (0, -1)), "0,2:-"), (((0, -1), (0, -1)), "-:-"), (((3, 1),), "3,1"), ((), "")],
)
def test_extents_print_as_in_tensorflow(extents: tuple[tuple[int, int], ...], text: str) -> None:
    assert format_slice(extents) == text


@pytest.mark.parametrize(
    ("extents", "message"),
    [
        (((0, 2),), r"Mismatching ranks: shape = \[4, 3\], slice = 0,2"),
        (((0, 5), (0, -1)), r"Extent in dimension 0 out of bounds: shape = \[4, 3\], slice = 0,5:-"),
        (((0, -1), (3, 1)), "Extent in dimension 1 out of bounds"),
        (((-1, 2), (0, -1)), "Extent in dimension 0 out of bounds"),
        (((0, -2), (0, -1)), "Extent in dimension 0 out of bounds"),
        (((2**63, 1), (0, -1)), "Extent in dimension 0 out of bounds"),
    ],
)
def test_slices_that_do_not_fit(extents: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(FormatError, match=f"^{message}"):
        resolve_slice(extents, (4, 3))


@given(partitions())
def test_pieces_of_a_partition_are_disjoint_and_cover(cut: Cut) -> None:
    boxes = boxes_of(cut)
    check_disjoint(boxes)
    check_covered(whole_box(cut[0]), boxes)


@given(partitions(), st.data())
def test_one_piece_twice_overlaps_and_one_less_leaves_a_gap(cut: Cut, data: st.DataObject) -> None:
    boxes = boxes_of(cut)
    chosen = data.draw(st.sampled_from(boxes))
    with pytest.raises(FormatError, match="Overlapping slices: existing slice"):
        check_disjoint([*boxes, chosen])
    with pytest.raises(FormatError, match="Does not have sufficient slices"):
        check_covered(whole_box(cut[0]), [box for box in boxes if box != chosen])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=3), st.data())
def test_intersection_is_that_of_numpy(one: list[tuple[int, int]], data: st.DataObject) -> None:
    other = [data.draw(st.tuples(st.integers(0, 5), st.integers(0, 4))) for _ in one]
    left, right = (Box(tuple(s for s, _ in box), tuple(n for _, n in box)) for box in (one, other))
    marks = np.zeros((10,) * len(one), int)
    for box in (left, right):
        marks[tuple(map(slice, box.starts, box.ends))] += 1
    both = left.intersect(right)
    assert (marks == 2).sum() == (both.num_elements if both else 0)
    if both:
        assert (marks[tuple(map(slice, both.starts, both.ends))] == 2).all()


def test_box_within_another() -> None:
    inner, outer = Box((3, 7), (2, 4)), Box((1, 5), (9, 9))
    assert inner.within(outer) == (slice(2, 4), slice(2, 6))
    whole = np.arange(400).reshape(20, 20)
    part = whole[inner.starts[0] : inner.ends[0], inner.starts[1] : inner.ends[1]]
    assert (whole[1:10, 5:14][inner.within(outer)] == part).all()


def test_boxes_of_different_ranks_have_nothing_to_do_with_each_other() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Box((0, 0), (2, 2)).within(Box((0,), (2,)))


@pytest.mark.parametrize(
    "boxes",
    [
        [Box((), ()), Box((), ())],
        [Box((0, 0), (2, 2)), Box((0, 5), (2, 0)), Box((1, 1), (2, 2))],  # an empty one between
        [Box((0, 0), (9, 1)), Box((1, 1), (1, 1)), Box((2, 3), (1, 1)), Box((8, 0), (1, 1))],
    ],
)
def test_overlap_behind_others(boxes: list[Box]) -> None:
    with pytest.raises(FormatError, match=r"^Overlapping slices: existing slice"):
        check_disjoint(boxes[::-1])


def test_error_names_both_slices() -> None:
    with pytest.raises(FormatError, match=r"^Overlapping slices: existing slice = 1,2:2,1, new slice = 0,2:0,3$"):
        check_disjoint([Box((1, 2), (2, 1)), Box((0, 0), (2, 3))])
    message = (
        "^Does not have sufficient slices for partitioned tensor to restore in slice_spec: 0,4:1,2: "
        "4 of 8 elements are stored$"
    )
    with pytest.raises(FormatError, match=message):
        check_covered(Box((0, 1), (4, 2)), [Box((0, 0), (2, 9))])


def test_empty_boxes_overlap_nothing() -> None:
    check_disjoint([Box((0,), (4,)), Box((2,), (0,)), Box((2,), (0,))])


@pytest.mark.parametrize(
    ("text", "shape", "extents"),
    [
        ("4 3 0,2:-", (4, 3), ((0, 2), (0, -1))),
        ("7 6,1", (7,), ((6, 1),)),
        ("0 3 -:-", (0, 3), ((0, -1), (0, -1))),
        ("9223372036854775807 9223372036854775806,1", (2**63 - 1,), ((2**63 - 2, 1),)),
        ("4 -:", (4,), ((0, -1),)),  # TensorFlow skips empty items
    ],
)
def test_parsed_shape_and_slice(text: str, shape: tuple[int, ...], extents: tuple[tuple[int, int], ...]) -> None:
    assert parse_shape_and_slice(text) == (shape, extents)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Need least two elements in shape_and_slice specification: "),
        ("0,2:-", "Need least two elements in shape_and_slice specification: 0,2:-"),
        (" ", "Non numerical dimension in shape_and_slice:  "),
        ("4 x 0,2:-", "Non numerical dimension in shape_and_slice: 4 x 0,2:-"),
        ("-4 -", "Non numerical dimension"),
        ("4_0 -", "Non numerical dimension"),
        ("\u0664 -", "Non numerical dimension"),
        ("9" * 5000 + " -", "Non numerical dimension"),
        ("4 0;2", "Expected a pair of numbers or '-' but got '0;2': string = 4 0;2"),
        ("4 0,2,1", "Expected a pair of numbers or '-' but got '0,2,1'"),
        ("4 -1,2", "Expected a pair of numbers or '-' but got '-1,2'"),
        ("4 1,0", "Expected non-negative start and positive length but got start = 1, length = 0: string = 4 1,0"),
        ("4 0,5", r"Extent in dimension 0 out of bounds: shape = \[4\], slice = 0,5"),
        ("4 3 0,2", r"Mismatching ranks: shape = \[4, 3\], slice = 0,2"),
    ],
)
def test_shapes_and_slices_of_another_form(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=f"^{message}"):
        parse_shape_and_slice(text)


@given(partitions())
def test_parsed_slices_are_those_that_were_printed(cut: Cut) -> None:
    shape, pieces = cut
    for piece in pieces:
        if shape and all(length for _, length in piece.extents):
            text = " ".join([*map(str, shape), format_slice(piece.extents)])
            assert parse_shape_and_slice(text) == (shape, piece.extents)
