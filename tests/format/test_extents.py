from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.errors import FormatError, TruncatedError
from tfbundle.format.entries import BundleHeader
from tfbundle.format.extents import (
    check_places,
    check_sum,
    cut_runs,
    describe_overlap,
    find_overlaps,
    iter_row_windows,
    sort_by_place,
)
from tfbundle.format.index import BundleIndex

Place = tuple[int, int, int]
"""shard, offset, bytes."""

PLACES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 12)), max_size=12)


def make_index(places: list[Place]) -> BundleIndex:
    rows = {
        b"%03d" % number: entry_proto(4, shape_proto(nbytes), nbytes, 1, offset, shard)
        for number, (shard, offset, nbytes) in enumerate(places)
    }
    return BundleIndex(BundleHeader(3), rows)


@given(PLACES)
def test_order_of_places(places: list[Place]) -> None:
    order = sort_by_place(make_index(places).columns).tolist()
    assert sorted(order) == list(range(len(places)))
    assert [places[row] for row in order] == sorted(places)


@given(PLACES)
def test_overlaps_are_found_as_by_comparing_all_pairs(places: list[Place]) -> None:
    columns = make_index(places).columns
    found = list(find_overlaps(columns, sort_by_place(columns)))

    def share(first: Place, second: Place) -> bool:
        return first[0] == second[0] and max(first[1], second[1]) < min(first[1] + first[2], second[1] + second[2])

    late = {
        max((places[a], a), (places[b], b))[1]
        for a in range(len(places))
        for b in range(a)
        if share(places[a], places[b])
    }
    assert {second for _, second in found} == late
    assert all(share(places[first], places[second]) for first, second in found)


def test_a_row_within_a_large_one_is_found_behind_a_small_one() -> None:
    columns = make_index([(0, 0, 12), (0, 1, 2), (0, 5, 2), (0, 12, 3)]).columns
    assert list(find_overlaps(columns, sort_by_place(columns))) == [(0, 1), (0, 2)]
    columns = make_index([(0, 0, 12), (0, 6, 6), (0, 8, 2)]).columns  # of two that reach as far, it is the first
    assert list(find_overlaps(columns, sort_by_place(columns))) == [(0, 1), (0, 2)]


@given(PLACES, st.lists(st.integers(0, 60), min_size=1, max_size=3))
def test_places_are_checked_one_by_one(places: list[Place], shard_nbytes: list[int]) -> None:
    index = make_index(places)
    order = sort_by_place(index.columns)
    outside = [
        row
        for row in order.tolist()
        if places[row][0] >= len(shard_nbytes)
        or (places[row][2] and sum(places[row][1:]) > shard_nbytes[places[row][0]])
    ]
    overlaps = list(find_overlaps(index.columns, order))
    if not outside and not overlaps:
        check_places(index, order, shard_nbytes)
        return
    with pytest.raises(FormatError) as caught:
        check_places(index, order, shard_nbytes)
    if outside:
        assert caught.value.part == f"tensor '{outside[0]:03d}'"
        assert isinstance(caught.value, TruncatedError) == (places[outside[0]][0] < len(shard_nbytes))
    else:
        assert caught.value.reason == describe_overlap(index, *overlaps[0])


def refusal(index: BundleIndex, shard_nbytes: list[int]) -> FormatError:
    with pytest.raises(FormatError) as caught:
        check_places(index, sort_by_place(index.columns), shard_nbytes)
    return caught.value


def test_payloads_up_to_the_last_byte() -> None:
    index = make_index([(1, 4, 6), (0, 2, 8), (1, 99, 0)])
    check_places(index, sort_by_place(index.columns), [10, 10])


def test_payload_outside_its_shard() -> None:
    error = refusal(make_index([(0, 0, 10), (1, 3, 8)]), [10, 10])
    assert isinstance(error, TruncatedError)
    assert str(error) == (
        "tensor '001': Read less bytes than requested: payload ends at 11, shard 1 at 10: a partial copy, "
        "or a shard of another checkpoint"
    )
    assert error.path == ""


@pytest.mark.parametrize("shard", [2, 3, 2**31 - 1])
@pytest.mark.parametrize("nbytes", [0, 1, 4])
def test_shard_that_does_not_exist(shard: int, nbytes: int) -> None:
    error = refusal(make_index([(0, 0, 10), (shard, 0, nbytes)]), [10, 99])
    assert error.args == (f"lies in shard {shard} of 2", "", "tensor '001'", None)


def test_payloads_that_share_bytes() -> None:
    error = refusal(make_index([(0, 20, 10), (0, 5, 10), (0, 9, 3)]), [100])
    assert error.args == (
        "payload starts at 9, within that of tensor '001', 10 bytes from 5 on",
        "",
        "tensor '002'",
        None,
    )


def test_whole_entry_of_a_partitioned_tensor_has_no_place() -> None:
    """Numbers that stand there may be anything, as its slices have the payloads."""
    whole = entry_proto(4, shape_proto(2), 50, 0, 70, 9) + bytes_field(7, bytes_field(1, varint_field(2, 2)))
    rows = {b"\0w": entry_proto(4, shape_proto(2), 2), b"w": whole}
    index = BundleIndex(BundleHeader(1), rows)
    check_places(index, sort_by_place(index.columns), [2])


def test_offset_near_the_largest_number() -> None:
    index = make_index([(0, 2**63 - 2, 12)])
    with pytest.raises(TruncatedError, match=f"payload ends at {2**63 + 10}, shard 0 at 100"):
        check_places(index, sort_by_place(index.columns), [100])


@given(st.lists(st.booleans(), max_size=12))
def test_runs_are_what_lies_between_cuts(cuts: list[bool]) -> None:
    runs = list(cut_runs(np.array(cuts, bool), len(cuts) + 1))
    assert [row for start, end in runs for row in range(start, end)] == list(range(len(cuts) + 1))
    assert [end - 1 for _, end in runs[:-1]] == [row for row, cut in enumerate(cuts) if cut]
    assert list(cut_runs(np.zeros(0, bool), 0)) == []


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 50))
def test_windows_hold_every_byte_once(sizes: list[int], window_nbytes: int) -> None:
    owners = [row for row, size in enumerate(sizes) for _ in range(size)]
    seen: list[int] = []
    for start, first, bounds in iter_row_windows(np.array(sizes), window_nbytes):
        assert start == len(seen)
        assert bounds[0] == 0 < bounds[-1] <= window_nbytes
        assert bounds == sorted(set(bounds))
        for number, (begin, end) in enumerate(pairwise(bounds)):
            seen += [first + number] * (end - begin)
    assert seen == owners


def test_payloads_many_times_as_large_as_their_shards() -> None:
    columns = make_index([(0, 0, 10)] * 4 + [(1, 5, 5)]).columns
    check_sum(columns, [10, 10], 3)
    message = r"^payloads of 45 bytes in data files of 20: many share bytes, which no writer makes$"
    with pytest.raises(FormatError, match=message):
        check_sum(columns, [10, 10], 2)


def test_payloads_that_nobody_reads_do_not_count() -> None:
    """They end behind their shard, or it is missing, or there is none of that number."""
    columns = make_index([(0, 0, 10), (0, 1, 10), (1, 0, 10), (2, 0, 1), (2**31 - 1, 0, 1), (0, 2**62, 10)]).columns
    check_sum(columns, [10, 0], 1)
    with pytest.raises(FormatError, match=r"^payloads of 10 bytes in data files of 10: "):
        check_sum(columns, [10, 0], 0)


def test_sum_of_sizes_that_no_integer_holds() -> None:
    columns = make_index([(0, 0, 2**62)] * 16).columns
    with pytest.raises(FormatError, match=f"^payloads of {2**66} bytes in data files of {2**62}: "):
        check_sum(columns, [2**62], 15)
    check_sum(columns, [2**62], 16)


def test_the_payload_that_reaches_farthest_is_named() -> None:
    columns = make_index([(0, 0, 9), (0, 1, 30), (0, 2, 3), (0, 31, 5), (0, 33, 1)]).columns
    assert list(find_overlaps(columns, sort_by_place(columns))) == [(0, 1), (1, 2), (3, 4)]
