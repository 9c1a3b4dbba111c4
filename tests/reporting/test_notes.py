from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.choosing.decisions import NOT_LIKE, OPTIMIZER_STATE, OVERFLOW, Decision, Decisions
from tfbundle.format.entries import BundleHeader
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import OBJECT_GRAPH_KEY
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.reporting.notes import conversion_notes
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Edits
from tfbundle.streaming.planning import plan_conversion

FLOAT32, FLOAT64, INT64, FLOAT16, BFLOAT16, UINT16, INT32 = 1, 2, 9, 19, 14, 17, 3
NBYTES = {FLOAT32: 4, FLOAT64: 8, INT64: 8}


@dataclass
class Rows:
    """Rows of an index, one payload after the other, and what becomes of the tensors."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    end: int = 0

    def add(self, name: str, dtype: int, decision: Decision) -> None:
        self._add(name.encode(), dtype, 1)
        self.decisions.append(decision)

    def add_slices(self, name: str, dtype: int, decision: Decision) -> None:
        """Add a tensor of three elements in two slices."""
        key, slices = name.encode(), b""
        for start, size in ((0, 2), (2, 1)):
            slices += bytes_field(7, bytes_field(1, varint_field(1, start) + varint_field(2, size)))
            self._add(encode_slice_key(key, ((start, size),)), dtype, size)
        self.rows[key] = entry_proto(dtype, shape_proto(3), 0) + slices
        self.decisions.append(decision)

    def _add(self, key: bytes, dtype: int, size: int) -> None:
        nbytes = NBYTES[dtype] * size
        self.rows[key] = entry_proto(dtype, shape_proto(size), nbytes, 1, self.end)
        self.end += nbytes

    def notes(self, to: str, *, edits: Edits = Edits(), layout: Layout = Layout()) -> list[str]:
        index = BundleIndex(BundleHeader(1), dict(sorted(self.rows.items())))
        return conversion_notes(plan_conversion(index, [self.end], Decisions.of(self.decisions), layout, edits), to)


def cast_to(dtype: int) -> Decision:
    return Decision("cast", "dtype", dtype)


def notes_of(count: int, decision: Decision, to: str = "float16", dtype: int = FLOAT32) -> list[str]:
    rows = Rows()
    for number in range(count):
        rows.add(f"t{number}", dtype, decision)
    return rows.notes(to)


def test_one_tensor_and_several_that_would_overflow() -> None:
    assert notes_of(1, Decision("keep", OVERFLOW)) == [
        "1 tensor keeps its dtype, since some of its values would overflow; to find it, the source was read twice"
    ]
    assert notes_of(2, Decision("keep", OVERFLOW)) == [
        "2 tensors keep their dtype, since some of their values would overflow; to find them, the source was read twice"
    ]


def test_what_the_template_lacks() -> None:
    assert notes_of(1, Decision("drop", NOT_LIKE)) == ["left out, since --like lacks it: t0"]
    assert notes_of(7, Decision("drop", NOT_LIKE)) == [
        "left out, since --like lacks them: t0, t1, t2, t3, t4 and 2 more"
    ]


@pytest.mark.parametrize(
    ("dtype", "to", "phrases"),
    [
        (
            FLOAT32,
            "float16",
            ["stays float32:", "keeps float32 slots", "float16 slots, as that of a pure float16 Keras"],
        ),
        (FLOAT32, "bfloat16", ["a pure bfloat16 Keras model, needs"]),
        (FLOAT64, "float32", ["stays float64:", "one that has float32 slots needs"]),
        (INT64, "int32", ["stays int64:", "keeps int64 counters", "one that has int32 counters needs"]),
    ],
)
def test_optimizer_state(dtype: int, to: str, phrases: list[str]) -> None:
    (note,) = notes_of(1, Decision("keep", OPTIMIZER_STATE), to, dtype)
    assert all(phrase in note for phrase in phrases)
    assert ("pure" in note) == ("float16" in to)


@pytest.mark.parametrize("slices", ["join", "keep"])
def test_partitioned_tensors_are_called_by_their_own_dtype(slices: Any) -> None:
    """Beside a tensor that becomes something else, and a partitioned one whose slices TensorFlow can join."""
    rows = Rows()
    rows.add("a", FLOAT32, cast_to(BFLOAT16))
    rows.add_slices("b", INT64, cast_to(INT32))
    rows.add_slices("c", FLOAT32, cast_to(FLOAT16))
    restore, note = rows.notes("bfloat16", layout=Layout(slices))
    assert "read the int32 or bfloat16 or float16 tensors" in restore
    begin = {
        "join": "1 partitioned tensor was joined: a float16 graph without partitions restores it;",
        "keep": "1 partitioned tensor keeps its slices: a float16 graph with the same partitions restores it;",
    }
    assert note.startswith(begin[slices])
    assert "int32" not in note
    rows.add_slices("d", INT64, cast_to(UINT16))
    _, note = rows.notes("bfloat16", layout=Layout(slices))
    begin = {
        "join": "2 partitioned tensors were joined: a uint16 or float16 graph without partitions restores them;",
        "keep": "2 partitioned tensors keep their slices: a uint16 or float16 graph with the same partitions restores",
    }
    assert note.startswith(begin[slices])


def test_what_was_rewritten_in_the_object_graph() -> None:
    payload = {OBJECT_GRAPH_KEY: b"12345"}

    def note(decision: Decision, edits: Edits) -> str:
        rows = Rows()
        rows.rows[OBJECT_GRAPH_KEY] = entry_proto(7, shape_proto(), 3, 1, 0)
        rows.decisions.append(Decision("copy", "string"))
        rows.end = 3
        rows.add("w", FLOAT32, decision)
        (found,) = rows.notes("float16", edits=edits)
        return found

    copy, drop = Decision("copy", "float32"), Decision("drop", "--drop w")
    begin = "the object graph is rewritten: it"
    assert note(drop, Edits({}, payload)) == f"{begin} no longer lists what was dropped"
    assert note(copy, Edits({b"w": b"v"}, payload)) == f"{begin} has the new names"
    both = f"{begin} no longer lists what was dropped, and has the new names"
    assert note(drop, Edits({OBJECT_GRAPH_KEY: OBJECT_GRAPH_KEY}, payload)) == both
