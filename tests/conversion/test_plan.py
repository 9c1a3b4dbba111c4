from __future__ import annotations

import pickle
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.handmade import FLOAT16, FLOAT32, INT64, STRING, WIDTHS
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.conversion.layout import Layout
from tfbundle.conversion.plan import Plan, Step
from tfbundle.conversion.planning import plan_halve
from tfbundle.conversion.select import Action, Decision
from tfbundle.errors import FormatError, TruncatedError
from tfbundle.format.entries import BIG, LITTLE, BundleHeader
from tfbundle.format.index import BundleIndex

Placement = tuple[int, int, int, int]
"""dtype, elements (bytes of a string payload), shard, gap before."""

PLACEMENTS = st.tuples(
    st.sampled_from([FLOAT32, INT64, STRING, FLOAT16]), st.integers(0, 40), st.integers(0, 2), st.integers(0, 9)
)
ACTIONS: st.SearchStrategy[Action] = st.sampled_from(["cast", "keep", "drop"])


def make_index(placements: list[Placement]) -> tuple[BundleIndex, list[int]]:
    """Return an index with one entry a placement, and the sizes of three shards."""
    ends = [0, 0, 0]
    rows = {}
    for number, (dtype, elements, shard, gap) in enumerate(placements):
        nbytes = WIDTHS[dtype] * elements if dtype in WIDTHS else elements + 4
        shape = shape_proto(elements) if dtype in WIDTHS else shape_proto()
        rows[key(number)] = entry_proto(dtype, shape, nbytes, 1, ends[shard] + gap, shard)
        ends[shard] += gap + nbytes
    return BundleIndex(BundleHeader(3), dict(sorted(rows.items()))), ends


def key(number: int) -> bytes:
    """A key whose order is not that of the payloads."""
    return f"{number * 7919 % 1000:03d}/{number}".encode()


def decisions_for(index: BundleIndex, actions: list[Action]) -> dict[str, Decision]:
    """Give each tensor an action that suits its dtype."""
    found = {}
    for number, name in enumerate(index):
        action = actions[number % len(actions)]
        if index[name].dtype != FLOAT32 and action in ("cast", "keep"):
            action = "copy"
        found[name.decode()] = Decision(action, "test")
    return found


@given(st.lists(PLACEMENTS, max_size=12), st.lists(ACTIONS, min_size=1, max_size=5), st.integers(1, 20))
def test_plan_covers_every_byte_once(placements: list[Placement], actions: list[Action], step: int) -> None:
    index, shard_nbytes = make_index(placements)
    decisions = decisions_for(index, actions)
    plan = plan_halve(index, shard_nbytes, decisions, step_nbytes=4 * step)

    read: dict[int, list[int]] = defaultdict(list)
    written: dict[int, list[int]] = defaultdict(list)
    for work in plan.steps:
        assert isinstance(work, Step)
        assert work.parts
        for part in work.parts:
            source, target = plan.sources[part.source].entry, plan.targets[part.target].entry
            assert (source.shard_id, target.shard_id) == (work.source_shard, work.target_shard)
            cast = decisions[plan.targets[part.target].key.decode()].action == "cast"
            assert part.transform.cast == cast
            assert source.dtype != STRING or part.nbytes == source.size
            assert part.source_offset - source.offset == (part.target_offset - target.offset) * (2 if cast else 1)
            read[part.source] += range(part.source_offset, part.source_offset + part.nbytes)
            written[work.target_shard] += range(part.target_offset, part.target_offset + part.target_nbytes)

    kept = {name for name, decision in decisions.items() if decision.action != "drop"}
    assert {row.key.decode() for row in plan.targets} == kept
    assert {name.decode() for name in plan.tensors} == decisions.keys()
    for number, row in enumerate(plan.sources):
        expected = range(row.entry.offset, row.entry.offset + row.entry.size) if row.key.decode() in kept else ()
        assert sorted(read[number]) == list(expected)
    for shard, nbytes in enumerate(plan.shard_nbytes):
        assert sorted(written[shard]) == list(range(nbytes))


@given(st.lists(PLACEMENTS, max_size=12), st.lists(ACTIONS, min_size=1, max_size=5), st.integers(1, 20))
def test_steps_are_small_and_in_order(placements: list[Placement], actions: list[Action], step: int) -> None:
    index, shard_nbytes = make_index(placements)
    plan = plan_halve(index, shard_nbytes, decisions_for(index, actions), step_nbytes=4 * step)
    place = (-1, -1)
    for work in plan.steps:
        assert isinstance(work, Step)
        assert work.nbytes <= 4 * step or len(work.parts) == 1
        for part in work.parts:
            assert part.nbytes <= 4 * step or plan.sources[part.source].entry.dtype == STRING
            assert (work.source_shard, part.source_offset) > place
            place = (work.source_shard, part.source_offset)
    assert sum(work.nbytes for work in plan.steps) == plan.source_nbytes


@given(st.lists(PLACEMENTS, max_size=12), st.lists(ACTIONS, min_size=1, max_size=5))
def test_targets_are_packed_in_the_order_of_the_source(placements: list[Placement], actions: list[Action]) -> None:
    index, shard_nbytes = make_index(placements)
    plan = plan_halve(index, shard_nbytes, decisions_for(index, actions))
    ends = [0, 0, 0]
    for row in plan.targets:
        source, target = plan.sources[row.sources[0]].entry, row.entry
        half = plan.tensors[row.key].decision.action == "cast"
        assert target.offset == ends[target.shard_id]
        assert (target.shard_id, target.shape) == (source.shard_id, source.shape)
        assert target.size == (source.size // 2 if half else source.size)
        assert target.dtype == (FLOAT16 if half else source.dtype)
        ends[target.shard_id] += target.size
    assert list(plan.shard_nbytes) == ends
    sources = [plan.sources[row.sources[0]].entry for row in plan.targets]
    order = [(source.shard_id, source.offset) for source in sources]
    assert order == sorted(order)


@given(st.lists(PLACEMENTS, max_size=6), st.integers(1, 9))
def test_plan_pickles(placements: list[Placement], step: int) -> None:
    index, shard_nbytes = make_index(placements)
    plan = plan_halve(index, shard_nbytes, decisions_for(index, ["cast", "drop"]), step_nbytes=4 * step)
    assert pickle.loads(pickle.dumps(plan)) == plan


def plan_rows(rows: dict[bytes, bytes], shard_nbytes: list[int], header: BundleHeader | None = None) -> Plan:
    index = BundleIndex(header or BundleHeader(len(shard_nbytes)), rows)
    decisions = {name.decode(): Decision("copy", "test") for name in rows}
    return plan_halve(index, shard_nbytes, decisions)


def four_floats(offset: int, shard: int = 0) -> bytes:
    return entry_proto(FLOAT32, shape_proto(4), 16, 1, offset, shard)


def test_tensors_side_by_side() -> None:
    assert plan_rows({b"a": four_floats(0), b"b": four_floats(16)}, [32]).shard_nbytes == (32,)


@pytest.mark.parametrize("offset", [0, 1, 15])
def test_overlap(offset: int) -> None:
    with pytest.raises(FormatError, match=r"tensor 'b'.*within that of tensor 'a', 16 bytes from 0 on"):
        plan_rows({b"a": four_floats(0), b"b": four_floats(offset)}, [64])


def test_no_overlap_of_different_shards_or_without_bytes() -> None:
    empty = entry_proto(FLOAT32, shape_proto(0), 0, 1, 8)
    plan = plan_rows({b"a": four_floats(0), b"b": four_floats(0, shard=1), b"c": empty}, [16, 16])
    assert plan.shard_nbytes == (16, 16)


@pytest.mark.parametrize("nbytes", [0, 15, 31])
def test_payload_beyond_its_shard(nbytes: int) -> None:
    message = rf"tensor 'a': Read less bytes than requested: payload ends at 32, shard 0 at {nbytes}"
    with pytest.raises(TruncatedError, match=message):
        plan_rows({b"a": four_floats(16)}, [nbytes])


def test_tensor_without_bytes_may_lie_anywhere() -> None:
    plan = plan_rows({b"a": entry_proto(FLOAT32, shape_proto(0), 0, 1, 1 << 40)}, [0])
    assert (plan.shard_nbytes, plan.steps) == ((0,), ())


def test_shard_that_does_not_exist() -> None:
    with pytest.raises(FormatError, match="tensor 'a': lies in shard 2 of 2"):
        plan_rows({b"a": four_floats(0, shard=2)}, [16, 16])


def test_slice_without_an_entry() -> None:
    extent = varint_field(1, 0) + varint_field(2, 2)
    entry = entry_proto(FLOAT32, shape_proto(4), 0) + bytes_field(7, bytes_field(1, extent))
    with pytest.raises(FormatError, match=r"tensor 'a': Key .* not found in checkpoint: slice 0,2 has no entry"):
        plan_rows({b"a": entry}, [0])


def test_big_endian_bundle_becomes_little_endian() -> None:
    plan = plan_rows({b"a": four_floats(0)}, [16], BundleHeader(1, BIG))
    assert plan.header.endianness == LITTLE
    (step,) = plan.steps
    assert isinstance(step, Step)
    assert [part.transform.swap for part in step.parts] == [4]


@pytest.mark.parametrize(
    ("layout", "shards"), [(Layout(shards=3), [0, 1, 2]), (Layout(max_shard_nbytes=40), [0, 0, 1])]
)
def test_other_shards(layout: Layout, shards: list[int]) -> None:
    index = BundleIndex(BundleHeader(1), {name: four_floats(16 * n) for n, name in enumerate((b"a", b"b", b"c"))})
    decisions = {name: Decision("copy", "test") for name in "abc"}
    plan = plan_halve(index, [48], decisions, layout)
    assert [row.entry.shard_id for row in plan.targets] == shards
    assert plan.header.num_shards == len(plan.shard_nbytes) == shards[-1] + 1


def test_damaged_entry() -> None:
    entry = entry_proto(FLOAT32, shape_proto(4), 15, 1)
    with pytest.raises(
        FormatError, match=r"tensor 'a': Invalid size in bundle entry: stored size 15; expected size 16"
    ):
        plan_rows({b"a": entry}, [16])
