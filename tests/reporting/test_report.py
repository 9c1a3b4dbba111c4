from __future__ import annotations

import json
import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from tests.support.handmade import HandmadeTensor, floats, integers, strings
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.choosing.decisions import OPTIMIZER_STATE, Action, Decision, Decisions
from tfbundle.format.entries import BundleHeader
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import OBJECT_GRAPH_KEY
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.reporting.notes import conversion_notes
from tfbundle.reporting.report import CastReport, TensorReport, TensorReports
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Edits, Plan
from tfbundle.streaming.planning import plan_conversion

RESTORE_NOTE = "TensorFlow never casts on restore: variables that read the float16 tensors must be float16"


def plan_of(tensors: dict[HandmadeTensor, tuple[Action, str]], edits: Edits = Edits()) -> Plan:
    """Plan what becomes of tensors, given in key order."""
    rows, end = {}, 0
    for tensor in tensors:
        rows[tensor.name] = tensor.placed(end)
        end += len(tensor.payload)
    decisions = Decisions.of(Decision(*decision, 19 if decision[0] == "cast" else 0) for decision in tensors.values())
    return plan_conversion(BundleIndex(BundleHeader(1), rows), [end], decisions, edits=edits)


def table(*rows: Mapping[str, float]) -> StatsTable:
    stats = StatsTable(len(rows))
    for number, row in enumerate(rows):
        for field, value in row.items():
            getattr(stats, field)[number] = value
    return stats


def test_reports_of_a_cast_and_a_dropped_tensor() -> None:
    plan = plan_of(
        {strings("s", [b"abc"]): ("drop", "--drop s"), floats(b"w\xff", np.ones((3, 2))): ("cast", "float32")},
        Edits({b"w\xff": b"v"}),
    )
    reports = TensorReports(plan, table({}, {"elements": 6, "largest": 2.0}))
    nbytes = len(strings("s", [b"abc"]).payload)
    expected = [
        TensorReport("s", "", "drop", "--drop s", (1,), "string", "", nbytes, 0),
        TensorReport(
            "w\udcff", "v", "cast", "float32", (3, 2), "float32", "float16", 24, 12, stats=CastStats(6, largest=2.0)
        ),
    ]
    assert list(reports) == list(reports[:]) == [reports[-2], reports[-1]] == expected
    assert reports.num_renamed == 1
    with pytest.raises(IndexError):
        reports[2]


def make_report(stats: StatsTable | None) -> CastReport:
    plan = plan_of(
        {
            floats("a", [1, 2]): ("cast", "float32"),
            floats("a/Adam", [1, 2]): ("keep", OPTIMIZER_STATE),
            floats("b", [1]): ("cast", "float32"),
            floats("c", [1, 2]): ("keep", "--keep c"),
            integers("step", [1]): ("copy", "int64"),
        }
    )
    return CastReport("from", "to", stats is None, 36, 30, TensorReports(plan, stats))


def test_sums() -> None:
    report = make_report(
        table({"elements": 2, "overflow": 1, "largest": 7e4}, {}, {"elements": 1, "underflow": 1, "largest": 1}, {}, {})
    )
    assert report.totals == CastStats(3, overflow=1, underflow=1, largest=7e4)
    assert report.optimizer_nbytes == 8
    assert report.tensors.sum_nbytes("cast") == 6
    assert report.count_reasons("keep") == {OPTIMIZER_STATE: 1, "--keep c": 1}
    assert [tensor.name for tensor in report.select("cast")] == ["a", "b"]
    assert [tensor.stats is None for tensor in report.tensors] == [False, True, False, True, True]
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["totals"]["overflow"] == 1
    assert plain["tensors"][0]["stats"]["largest"] == 7e4
    assert plain["tensors"][4]["stats"] is None
    assert [plain[key] for key in ("source", "target", "dry_run", "source_nbytes", "target_nbytes", "notes")] == [
        "from", "to", False, 36, 30, [],
    ]  # fmt: skip
    assert list(pickle.loads(pickle.dumps(report)).tensors) == list(report.tensors)


def test_dry_run_has_no_statistics() -> None:
    report = make_report(None)
    assert report.totals == CastStats()
    assert [tensor.stats for tensor in report.tensors] == [None] * 5
    assert report.tensors.find_affected() == []


def test_affected_tensors_come_worst_first() -> None:
    rows = [{"subnormal": 9}, {}, {"overflow": 1}, {"underflow": 2, "subnormal": 1}, {"underflow": 2, "subnormal": 5}]
    assert make_report(table(*rows)).tensors.find_affected() == [2, 4, 3, 0]


@pytest.mark.parametrize(
    ("action", "reason", "phrases"),
    [
        ("keep", "--keep w", []),
        ("cast", "float32", [RESTORE_NOTE]),
        ("keep", OPTIMIZER_STATE, ["optimizer state stays float32"]),
        ("drop", OPTIMIZER_STATE, []),
    ],
)
def test_notes(action: Action, reason: str, phrases: list[str]) -> None:
    found = conversion_notes(plan_of({floats("w", [1]): (action, reason)}), "float16")
    assert len(found) == len(phrases)
    assert all(phrase in note for phrase, note in zip(phrases, found, strict=True))


@pytest.mark.parametrize(("slices", "phrase"), [("join", "--slices keep"), ("keep", "--slices join")])
def test_note_and_report_of_a_partitioned_tensor(slices: str, phrase: str) -> None:
    part = bytes_field(7, bytes_field(1, varint_field(1, 0) + varint_field(2, 2)))
    other = bytes_field(7, bytes_field(1, varint_field(1, 2) + varint_field(2, 1)))
    rows = {
        encode_slice_key(b"w", ((0, 2),)): entry_proto(1, shape_proto(2), 8, 1, 0),
        encode_slice_key(b"w", ((2, 1),)): entry_proto(1, shape_proto(1), 4, 1, 8),
        b"w": entry_proto(1, shape_proto(3), 0) + part + other,
    }
    layout = Layout(slices=slices)  # type: ignore[arg-type]
    plan = plan_conversion(
        BundleIndex(BundleHeader(1), rows), [12], Decisions.of([Decision("cast", "float32", 19)]), layout
    )
    restore, note = conversion_notes(plan, "float16")
    assert (restore.startswith(RESTORE_NOTE), phrase in note) == (True, True)
    (report,) = TensorReports(plan, None)
    expected = TensorReport("w", "w", "cast", "float32", (3,), "float32", "float16", 12, 6, 2, slices == "join")
    assert report == expected


def test_note_and_report_of_an_object_graph_that_was_rewritten() -> None:
    graph = strings(OBJECT_GRAPH_KEY, [b"abc"])
    kept = plan_of({graph: ("copy", "string")})
    assert conversion_notes(kept, "float16") == []
    plan = plan_of({graph: ("copy", "string")}, Edits(payloads={OBJECT_GRAPH_KEY: b"12345"}))
    assert ["rewritten" in note for note in conversion_notes(plan, "float16")] == [True]
    assert [(report.edited, report.target_nbytes) for report in TensorReports(plan, None)] == [(True, 5)]
