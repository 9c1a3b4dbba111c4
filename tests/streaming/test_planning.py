"""Which partitioned tensors are joined, and where they go; ``test_plan`` has all other rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.choosing.decisions import Action, Decision, Decisions
from tfbundle.errors import FormatError
from tfbundle.format.entries import BIG, LITTLE, BundleHeader
from tfbundle.format.index import BundleIndex
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.planning import plan_conversion


def plan_of(
    action: Action, dtype: int, slices: Any = "join", spans: tuple[tuple[int, int], ...] = ((0, 2), (2, 1))
) -> Plan:
    """A float32 tensor of three elements in slices, the first of which lies last, and a plain one between them."""
    rows, parts, end = {b"v": entry_proto(1, shape_proto(1), 4, 1, 0)}, b"", 4
    for start, size in reversed(spans):
        rows[encode_slice_key(b"w", ((start, size),))] = entry_proto(1, shape_proto(size), 4 * size, 1, end)
        parts += bytes_field(7, bytes_field(1, varint_field(1, start) + varint_field(2, size)))
        end += 4 * size
    rows[b"w"] = entry_proto(1, shape_proto(3), 0) + parts
    decisions = Decisions.of([Decision("copy", "float32"), Decision(action, "test", dtype)])
    index = BundleIndex(BundleHeader(1, BIG), dict(sorted(rows.items())))
    return plan_conversion(index, [end], decisions, Layout(slices))


@pytest.mark.parametrize(
    ("action", "dtype", "slices", "joined", "nbytes"),
    [
        ("cast", 19, "join", True, 4 + 6),  # float16
        ("cast", 19, "keep", False, 4 + 6),
        ("cast", 14, "join", False, 4 + 6),  # bfloat16, which TensorFlow can put together
        ("cast", 2, "join", False, 4 + 24),
        ("keep", 0, "join", False, 4 + 12),
        ("drop", 0, "join", False, 4),
        ("cast", 14, "plain", True, 4 + 6),
        ("copy", 0, "plain", True, 4 + 12),
        ("drop", 0, "plain", False, 4),
    ],
)
def test_what_is_joined(action: Action, dtype: int, slices: str, joined: bool, nbytes: int) -> None:
    plan = plan_of(action, dtype, slices)
    assert bool(plan.joined) is joined
    assert plan.shard_nbytes == (nbytes,)
    assert plan.header.endianness == LITTLE
    order = plan.targets.order
    placed = [(int(plan.targets.offset[row]), int(plan.targets.size[row])) for row in order if plan.targets.size[row]]
    assert [offset for offset, _ in placed] == [sum(size for _, size in placed[:at]) for at in range(len(placed))]
    assert sum(size for _, size in placed) == nbytes


@pytest.mark.parametrize("spans", [((0, 2),), ((0, 1), (2, 1))])
def test_slices_that_do_not_make_up_the_tensor(spans: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(FormatError, match=r"tensor 'w': .*--slices keep would convert it as it is"):
        plan_of("cast", 19, spans=spans)
    for plan in (plan_of("cast", 19, "keep", spans), plan_of("drop", 0, "join", spans)):
        assert not plan.joined
