from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tfbundle.casting.stats import CastStats
from tfbundle.conversion.plan import Plan, SourceRow, TargetRow, TensorPlan
from tfbundle.conversion.report import RESTORE_NOTE, HalveReport, TensorReport, conversion_notes, report_tensors
from tfbundle.conversion.select import OPTIMIZER_STATE, Action, Decision
from tfbundle.format.entries import BundleEntry, BundleHeader

FLOAT32, FLOAT16, STRING = 1, 19, 7


def tensor(name: str, action: Action, reason: str = "why", nbytes: int = 8) -> TensorReport:
    return TensorReport(name, name, action, reason, (2,), "float32", "float16", nbytes, nbytes // 2)


def test_reports_of_a_cast_and_a_dropped_tensor() -> None:
    source = BundleEntry(FLOAT32, (3, 2), 0, 100, 24, 1)
    target = BundleEntry(FLOAT16, (3, 2), 0, 50, 12)
    text = BundleEntry(STRING, (), 0, 124, 24, 1)
    stats = CastStats(6, largest=2.0)
    plan = Plan(
        BundleHeader(),
        (SourceRow(b"w\xff", source, "w"), SourceRow(b"s", text, "s")),
        (TargetRow(b"v", target, b"w\xff", (0,), (), cast=True),),
        {
            b"w\xff": TensorPlan(source, 24, Decision("cast", "float32")),
            b"s": TensorPlan(text, 24, Decision("drop", "--drop s")),
        },
        {b"w\xff": b"v"},
        (),
        (12,),
    )
    assert report_tensors(plan, {b"w\xff": stats}) == (
        TensorReport("s", "", "drop", "--drop s", (), "string", "", 24, 0),
        TensorReport("w\udcff", "v", "cast", "float32", (3, 2), "float32", "float16", 24, 12, stats=stats),
    )


def test_sums() -> None:
    tensors = (
        replace(tensor("a", "cast", nbytes=8), stats=CastStats(2, overflow=1, largest=7e4)),
        replace(tensor("b", "cast", nbytes=4), stats=CastStats(1, underflow=1, largest=1)),
        tensor("a/Adam", "keep", OPTIMIZER_STATE, 6),
        tensor("c", "keep", "--keep c", 8),
        tensor("step", "copy", "int64"),
    )
    report = HalveReport("from", "to", dry_run=False, source_nbytes=34, target_nbytes=20, tensors=tensors)
    assert report.totals == CastStats(3, overflow=1, underflow=1, largest=7e4)
    assert report.optimizer_nbytes == 3
    assert report.count_reasons("keep") == {OPTIMIZER_STATE: 1, "--keep c": 1}
    assert [entry.name for entry in report.select("cast")] == ["a", "b"]
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["totals"]["overflow"] == 1
    assert plain["tensors"][0]["stats"]["largest"] == 7e4
    assert plain["tensors"][4]["stats"] is None
    assert [plain[key] for key in ("source", "target", "dry_run", "source_nbytes", "target_nbytes", "notes")] == [
        "from", "to", False, 34, 20, [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "phrases"),
    [
        ({"action": "keep"}, []),
        ({"action": "cast"}, [RESTORE_NOTE]),
        ({"action": "keep", "reason": OPTIMIZER_STATE}, ["optimizer state stays float32"]),
        ({"action": "cast", "num_slices": 2, "joined": True}, [RESTORE_NOTE, "--slices keep"]),
        ({"action": "cast", "num_slices": 2}, [RESTORE_NOTE, "--slices join"]),
        ({"action": "copy", "name": "_CHECKPOINTABLE_OBJECT_GRAPH"}, []),
        (
            {"action": "copy", "name": "_CHECKPOINTABLE_OBJECT_GRAPH", "edited": True},
            ["the object graph was rewritten"],
        ),
    ],
)
def test_notes(changes: dict[str, Any], phrases: list[str]) -> None:
    found = conversion_notes([tensor("other", "copy"), replace(tensor("w", "keep"), **changes)])
    assert len(found) == len(phrases)
    assert all(phrase in note for phrase, note in zip(phrases, found, strict=True))
