"""Steps that join and write; ``test_plan`` has those that copy and cast row by row."""

from __future__ import annotations

import pytest

from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.choosing.castable import Cast
from tfbundle.choosing.decisions import Decision, Decisions
from tfbundle.format.entries import BIG, LITTLE, BundleHeader
from tfbundle.format.index import BundleIndex
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.streaming.join import Join
from tfbundle.streaming.plan import Edits, Plan
from tfbundle.streaming.planning import plan_conversion
from tfbundle.streaming.steps import Step, Structure, Write, iter_steps


def plan_of(step_nbytes: int, endianness: int = LITTLE) -> Plan:
    """A string, and a float32 tensor of [4, 2] in two slices that lie in two shards, the second part first."""
    slices = b""
    rows = {b"text": entry_proto(7, shape_proto(), 9, 1, 16)}
    for start, shard in ((0, 1), (2, 0)):
        extents = ((start, 2), (0, 2))
        parts = (bytes_field(1, varint_field(1, first) + varint_field(2, size)) for first, size in extents)
        slices += bytes_field(7, b"".join(parts))
        rows[encode_slice_key(b"w", extents)] = entry_proto(1, shape_proto(2, 2), 16, 1, 0, shard)
    rows[b"w"] = entry_proto(1, shape_proto(4, 2), 0) + slices
    decisions = Decisions.of([Decision("copy", "string"), Decision("cast", "float32", 19)])
    index = BundleIndex(BundleHeader(2, endianness), dict(sorted(rows.items())))
    return plan_conversion(index, [25, 16], decisions, edits=Edits({}, {b"text": b"abc"}), step_nbytes=step_nbytes)


@pytest.mark.parametrize(("step_nbytes", "ranges"), [(1024, [(0, 4)]), (16, [(0, 2), (2, 4)])])
def test_joins_cover_the_tensor_and_name_the_slices_they_need(step_nbytes: int, ranges: list[tuple[int, int]]) -> None:
    plan = plan_of(step_nbytes)
    joins = [step for step in iter_steps(plan) if isinstance(step, Join)]
    assert [join.rows for join in joins] == ranges
    assert sum(join.nbytes for join in joins) == 32
    assert {join.cast for join in joins} == {Cast(1, 19)}
    for join in joins:
        wanted = {2 * (row // 2) for row in range(*join.rows)}
        assert {source.box.starts[0] for source in join.sources} == wanted
        assert {source.shard_id for source in join.sources} == {1 - start // 2 for start in wanted}


def test_edited_payload_is_written_not_read() -> None:
    plan = plan_of(1024)
    steps = list(iter_steps(plan))
    (write,) = (step for step in steps if isinstance(step, Write))
    assert (write.data, write.nbytes, write.structure) == (b"abc", 0, Structure(7, 1, "text"))
    assert not any(isinstance(step, Step) for step in steps)
    assert sum(step.nbytes for step in steps) == plan.source_nbytes == 32


@pytest.mark.parametrize(("endianness", "swap"), [(LITTLE, 1), (BIG, 4)])
def test_byte_order_of_joins(endianness: int, swap: int) -> None:
    assert {step.swap for step in iter_steps(plan_of(1024, endianness)) if isinstance(step, Join)} == {swap}
