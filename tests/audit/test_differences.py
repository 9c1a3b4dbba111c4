from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tfbundle.audit.closeness import Extreme, Tolerance
from tfbundle.audit.differences import DiffOptions, DiffReport, DtypeDiff, ShapeDiff, ValueDiff

VALUE = ValueDiff("v", 4, 1, 2, 0, (0, 1), Extreme(2.0, (0, 1)), Extreme(0.5, (1, 1)))
SAME = DiffReport("a", "b", Tolerance(), DiffOptions(), 3, 0, (), (), (), (), (), ())


@pytest.mark.parametrize(
    ("report", "equal"),
    [
        (SAME, True),
        (replace(SAME, close=(VALUE,)), True),
        (replace(SAME, only_left=("x",)), False),
        (replace(SAME, only_right=("x",)), False),
        (replace(SAME, shapes=(ShapeDiff("s", (1,), (2,)),)), False),
        (replace(SAME, values=(VALUE,)), False),
        (replace(SAME, dtypes=(DtypeDiff("d", "float32", "float16", True),)), False),
        (replace(SAME, dtypes=(DtypeDiff("d", "float32", "float16", True),), options=DiffOptions(True)), True),
        (replace(SAME, dtypes=(DtypeDiff("d", "float32", "string", False),), options=DiffOptions(True)), False),
    ],
)
def test_what_counts(report: DiffReport, equal: bool) -> None:
    assert report.equal == equal
    assert report.to_dict()["equal"] == equal


def test_plain_data() -> None:
    plain = json.loads(json.dumps(replace(SAME, values=(VALUE,), tolerance=Tolerance(0.5)).to_dict()))
    assert plain["tolerance"] == {"rtol": 0.5, "atol": 0.0, "bits": False}
    assert plain["values"][0]["largest_relative"] == {"value": 0.5, "where": [1, 1]}
    assert plain["values"][0]["first"] == [0, 1]
