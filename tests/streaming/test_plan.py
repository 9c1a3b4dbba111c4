from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.handmade import FLOAT16, FLOAT32, INT64, STRING, WIDTHS
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.choosing.decisions import Action, Decision, Decisions
from tfbundle.errors import FormatError, TruncatedError
from tfbundle.format.entries import BIG, LITTLE, BundleEntry, BundleHeader
from tfbundle.format.index import BundleIndex
from tfbundle.streaming import steps
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.planning import plan_conversion
from tfbundle.streaming.steps import AnyStep, Step, iter_steps

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


def decisions_for(index: BundleIndex, actions: list[Action]) -> Decisions:
    """Give each tensor an action that suits its dtype."""
    found = []
    for number, name in enumerate(index):
        action = actions[number % len(actions)]
        if index[name].dtype != FLOAT32 and action in ("cast", "keep"):
            action = "copy"
        found.append(Decision(action, "test", FLOAT16 if action == "cast" else 0))
    return Decisions.of(found)


def entries_of(plan: Plan) -> list[BundleEntry]:
    return [plan.index[name] for name in plan.index]


ROWS_OF_A_STEP = st.sampled_from([1, 2, 5, 1 << 14])


def cut_into_steps(plan: Plan, most_rows: int) -> list[AnyStep]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "_MOST_ROWS", most_rows)
        return list(iter_steps(plan))


@given(st.lists(PLACEMENTS, max_size=12), st.lists(ACTIONS, min_size=1, max_size=5), st.integers(1, 20), ROWS_OF_A_STEP)
def test_steps_cover_every_byte_once(
    placements: list[Placement], actions: list[Action], step: int, most_rows: int
) -> None:
    index, shard_nbytes = make_index(placements)
    decisions = decisions_for(index, actions)
    plan = plan_conversion(index, shard_nbytes, decisions, step_nbytes=16 * step)
    sources, targets = entries_of(plan), plan.targets

    read: dict[int, list[int]] = defaultdict(list)
    written: dict[int, list[int]] = defaultdict(list)
    for work in cut_into_steps(plan, most_rows):
        assert isinstance(work, Step)
        assert work.runs
        for run in work.runs:
            source_at, target_at = run.source_offset, run.target_offset
            for row, nbytes in zip(run.rows.tolist(), run.sizes.tolist(), strict=True):
                source = sources[row]
                assert (source.shard_id, targets.shard_id[row]) == (work.source_shard, work.target_shard)
                assert (run.transform.cast is not None) == plan.is_cast[row] == (decisions[row].action == "cast")
                assert source.dtype != STRING or nbytes == source.size
                shrink = 2 if run.transform.cast else 1
                assert source_at - source.offset == (target_at - targets.offset[row]) * shrink
                read[row] += range(source_at, source_at + nbytes)
                written[work.target_shard] += range(target_at, target_at + nbytes // shrink)
                source_at += nbytes
                target_at += nbytes // shrink

    kept = [row for row, decision in enumerate(decisions) if decision.action != "drop"]
    assert sorted(targets.order.tolist()) == kept
    for row, source in enumerate(sources):
        assert sorted(read[row]) == list(range(source.offset, source.offset + source.size) if row in kept else ())
    for shard, nbytes in enumerate(plan.shard_nbytes):
        assert sorted(written[shard]) == list(range(nbytes))
    assert plan.source_nbytes == sum(sources[row].size for row in kept)


@given(st.lists(PLACEMENTS, max_size=12), st.lists(ACTIONS, min_size=1, max_size=5), st.integers(1, 20), ROWS_OF_A_STEP)
def test_steps_are_small_and_in_order(
    placements: list[Placement], actions: list[Action], step: int, most_rows: int
) -> None:
    index, shard_nbytes = make_index(placements)
    plan = plan_conversion(index, shard_nbytes, decisions_for(index, actions), step_nbytes=16 * step)
    sources = entries_of(plan)
    place = (-1, -1)
    for work in cut_into_steps(plan, most_rows):
        assert isinstance(work, Step)
        assert sum(len(run.rows) for run in work.runs) <= most_rows
        assert work.nbytes <= 16 * step or len(work.runs) == 1
        for run in work.runs:
            assert run.nbytes <= 16 * step or sources[int(run.rows[0])].dtype == STRING
            assert (run.sizes > 0).all()
            assert (work.source_shard, run.source_offset) > place
            place = (work.source_shard, run.source_offset)
    assert sum(work.nbytes for work in iter_steps(plan)) == plan.source_nbytes


@given(st.lists(PLACEMENTS, max_size=12), st.lists(ACTIONS, min_size=1, max_size=5))
def test_targets_are_packed_in_the_order_of_the_source(placements: list[Placement], actions: list[Action]) -> None:
    index, shard_nbytes = make_index(placements)
    decisions = decisions_for(index, actions)
    plan = plan_conversion(index, shard_nbytes, decisions)
    sources, targets = entries_of(plan), plan.targets
    ends = [0, 0, 0]
    for row in targets.order.tolist():
        half = decisions[row].action == "cast"
        assert targets.offset[row] == ends[targets.shard_id[row]]
        assert targets.shard_id[row] == sources[row].shard_id
        assert targets.size[row] == (sources[row].size // 2 if half else sources[row].size)
        ends[targets.shard_id[row]] += int(targets.size[row])
    assert list(plan.shard_nbytes) == ends
    order = [(sources[row].shard_id, sources[row].offset) for row in targets.order.tolist()]
    assert order == sorted(order)


def test_neighbours_of_one_kind_go_together() -> None:
    rows = {b"a": four_floats(0), b"b": four_floats(16), b"c": four_floats(40), b"d": entry_proto(INT64, b"", 8, 1, 56)}
    decisions = Decisions.of([Decision("cast", "test", FLOAT16)] * 3 + [Decision("copy", "test")])
    (step,) = iter_steps(plan_conversion(BundleIndex(BundleHeader(1), rows), [64], decisions))
    assert isinstance(step, Step)
    assert [run.rows.tolist() for run in step.runs] == [[0, 1], [2], [3]]


def plan_rows(rows: dict[bytes, bytes], shard_nbytes: list[int], header: BundleHeader | None = None) -> Plan:
    index = BundleIndex(header or BundleHeader(len(shard_nbytes)), rows)
    return plan_conversion(index, shard_nbytes, Decisions.of([Decision("copy", "test")] * len(rows)))


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
    assert (plan.shard_nbytes, list(iter_steps(plan))) == ((0,), [])


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
    (step,) = iter_steps(plan)
    assert isinstance(step, Step)
    assert [run.transform.swap for run in step.runs] == [4]


@pytest.mark.parametrize(
    ("layout", "shards"), [(Layout(shards=3), [0, 1, 2]), (Layout(max_shard_nbytes=40), [0, 0, 1])]
)
def test_other_shards(layout: Layout, shards: list[int]) -> None:
    index = BundleIndex(BundleHeader(1), {name: four_floats(16 * n) for n, name in enumerate((b"a", b"b", b"c"))})
    plan = plan_conversion(index, [48], Decisions.of([Decision("copy", "test")] * 3), layout)
    assert plan.targets.shard_id.tolist() == shards
    assert plan.header.num_shards == len(plan.shard_nbytes) == shards[-1] + 1


def test_damaged_entry() -> None:
    entry = entry_proto(FLOAT32, shape_proto(4), 15, 1)
    with pytest.raises(
        FormatError, match=r"tensor 'a': Invalid size in bundle entry: stored size 15; expected size 16"
    ):
        plan_rows({b"a": entry}, [16])
