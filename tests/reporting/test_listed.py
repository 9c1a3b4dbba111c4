from __future__ import annotations

import numpy as np

from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.choosing.decisions import Action
from tfbundle.reporting.graph_report import GraphReport
from tfbundle.reporting.listed import ListedReports
from tfbundle.reporting.report import CastReport, TensorReport


def report(name: str, action: Action, reason: str, stats: CastStats | None = None) -> TensorReport:
    cast = action == "cast"
    nbytes = 4 if cast else 8
    return TensorReport(
        name, name, action, reason, (2,), "float32", "float16" if cast else "float32", 8, nbytes, stats=stats
    )


def listed() -> ListedReports:
    table = StatsTable(4)
    table.elements[:] = 2, 0, 2, 2
    table.subnormal[0], table.underflow[2] = 2, 1
    return ListedReports(
        [
            report("a", "cast", "float32", table[0]),
            report("b", "keep", "--keep b"),
            report("c", "cast", "float32", table[2]),
            report("d", "cast", "--rule d", table[3]),
        ],
        table,
    )


def test_sums() -> None:
    reports = listed()
    assert [each.name for each in reports.select("cast")] == ["a", "c", "d"]
    assert reports.count_reasons("cast") == {"float32": 2, "--rule d": 1}
    assert (reports.sum_nbytes("cast"), reports.sum_nbytes("cast", "float32"), reports.sum_nbytes("keep")) == (12, 8, 8)
    assert reports.group_casts() == {("float32", "float16"): (3, 12)}
    assert reports.list_dtypes("keep") == ["float32"]
    assert (reports.totals.elements, reports.has_stats, reports.num_renamed) == (6, True, 0)
    assert [reports[at].name for at in reports.find_affected()] == ["c", "a"]
    assert [each.name for each in reports[1:3]] == ["b", "c"]


def test_nothing_known_of_numbers() -> None:
    reports = ListedReports([report("a", "cast", "float32")], None)
    assert (reports.has_stats, reports.totals, reports.find_affected()) == (False, CastStats(), [])


def test_report_as_plain_data() -> None:
    graph = GraphReport("frozen", "a.pb", "b.pb", 100, 60, 3)
    found = CastReport("a.pb", "b.pb", False, 32, 20, listed(), (), graph).to_dict()
    assert found["graph"] == {
        "kind": "frozen",
        "source": "a.pb",
        "target": "b.pb",
        "source_nbytes": 100,
        "target_nbytes": 60,
        "num_casts": 3,
        "num_functions": 0,
        "num_removed": 0,
    }
    assert [each["name"] for each in found["tensors"]] == ["a", "b", "c", "d"]


def test_growth_is_told_where_it_eats_what_is_saved() -> None:
    graph = GraphReport("meta", "a", "b", 100, 300)
    assert graph.growth_note(200) == ""
    assert "grew by 200 B, more than the 199 B" in graph.growth_note(199)
    assert GraphReport("meta", "a", "b", 300, 100).growth_note(-5) == ""
    assert np.array_equal(graph.num_casts, 0)
