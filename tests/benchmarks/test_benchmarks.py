"""The benchmarks run, at a size at which they tell nothing, and compute what they say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.benchmarks import route_astype, suite
from tests.benchmarks.__main__ import main
from tests.benchmarks.contenders import LOOKUP_NAME, Contender
from tests.benchmarks.figures import (
    BytesPerEntry,
    Key,
    MemoryAbove,
    MicrosecondsPerEntry,
    Outcome,
    Peak,
    PerByteRatio,
    Ratio,
    best_of,
    median_difference,
    median_ratio,
)
from tests.benchmarks.inputs import BUILDERS, build, tiny_name
from tests.benchmarks.limits import LIMITS, Limit
from tests.benchmarks.measure import ProcessError, Usage, run_process
from tests.benchmarks.report import align, scenario_lines
from tests.benchmarks.scenarios import SCENARIOS
from tests.benchmarks.sizes import FULL, INPUTS, MIB, QUICK, TINY
from tests.support.processes import environment, run_script
from tfbundle.audit.verify import verify
from tfbundle.conversion.halve import halve

A, B = ("left", "a"), ("right", "b")


# All of it.


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_runs(scenario: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    folder = tmp_path / "work"
    folder.mkdir()
    arguments = ["--only", scenario.name, "--rounds", "1", "--json", str(report), "--dir", str(folder)]
    assert main(arguments, TINY, optional=False) == 0
    printed = capsys.readouterr().out
    assert f"\n{scenario.name}: {scenario.about}\n" in printed
    assert "FAILED" not in printed
    needs_tensorflow = any(contender.needs == "tensorflow" for _, contender in scenario.runs)
    assert ("\nskipped: whatever needs tensorflow, which cannot be imported\n" in printed) == needs_tensorflow
    assert not list(folder.iterdir())
    _check_json(json.loads(report.read_text()), scenario)


def _check_json(found: Any, scenario: Any) -> None:
    assert {"cpu", "cores", "ram_nbytes", "kernel", "python", "numpy"} <= found["machine"].keys()
    (result,) = found["scenarios"]
    assert (found["scale"], result["name"], result["failures"]) == ("tiny", scenario.name, [])
    names = {(run["input"], run["contender"]) for run in result["runs"]}
    assert names >= {(name, one.name) for name, one in scenario.runs if not one.needs}
    for run in result["runs"]:
        assert run["rounds"] == [0]
        assert [len(run[field]) for field in ("wall_s", "cpu_s", "peak_nbytes", "inner_s")] == [1] * 4
        assert run["wall_s"][0] > 0
    assert [figure["what"] for figure in result["figures"]] == [
        limit.what for limit in LIMITS if limit.scenario == scenario.name
    ]


def test_scenario_without_room_on_the_disk_is_skipped_visibly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disk(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(free=255 * MIB))
    assert main(["--only", "eight", "--dir", str(tmp_path)], TINY, optional=False) == 0
    assert "\nskipped: eight needs 6 MiB more on the disk\n" in capsys.readouterr().out


def test_failure_of_a_contender_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Usage:
        raise ProcessError("cp: exit status 1")

    monkeypatch.setattr(suite, "run_process", fail)
    assert main(["--only", "startup", "--rounds", "1", "--dir", str(tmp_path)], TINY, optional=False) == 1
    assert "\nFAILED: cp: exit status 1\n" in capsys.readouterr().out


# Inputs and routes.


@pytest.mark.parametrize("name", BUILDERS)
def test_inputs_are_sound_and_of_the_promised_size(name: str, tmp_path: Path) -> None:
    size = INPUTS[name].scaled(TINY)
    found = build(name, str(tmp_path / "model"), size.nbytes, size.tensors)
    report = verify(tmp_path / "model")
    assert report.ok
    assert found["nbytes"] == (tmp_path / "model.data-00000-of-00001").stat().st_size
    if name != "million":
        assert 0.95 * size.nbytes <= found["nbytes"] <= size.nbytes + 8


@pytest.mark.parametrize("name", ["mixed", "adam", "one", "many", "million"])
def test_plain_route_makes_the_same_files(name: str, tmp_path: Path) -> None:
    source = str(tmp_path / "source")
    size = INPUTS[name].scaled(TINY)
    build(name, source, size.nbytes, size.tensors)
    halve(source, tmp_path / "ours")
    route_astype.halve(source, str(tmp_path / "plain"))
    for suffix in (".index", ".data-00000-of-00001"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"plain{suffix}").read_bytes()


def test_name_that_is_looked_up_is_one_of_the_million() -> None:
    assert tiny_name(0).decode() == LOOKUP_NAME


def test_names_of_the_million_differ() -> None:
    names = {tiny_name(number) for number in range(0, 1_000_000, 997)}
    assert len(names) == 1004
    assert all(40 <= len(name) <= 70 for name in names)


# Rounds.


def test_every_contender_is_first_in_turn() -> None:
    runs = [("x", Contender(name, ())) for name in "abc"]
    orders = [[contender.name for _, contender in suite.rotate(runs, number)] for number in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_rounds_at_a_scale() -> None:
    assert [SCENARIOS[0].rounds_at(scale) for scale in (FULL, QUICK, TINY)] == [15, 8, 1]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.scenario}: {limit.what}")
def test_figures_are_computed_from_what_runs(limit: Limit) -> None:
    (scenario,) = (scenario for scenario in SCENARIOS if scenario.name == limit.scenario)
    outcome = Outcome(inputs={name: {"nbytes": 1, "entries": 1} for name in scenario.inputs})
    for name, contender in scenario.runs:
        outcome.note((name, contender.name), 0, Usage(1.0, 1.0, MIB))
    if not scenario.module:
        assert limit.figure.value(outcome) is not None


# Statistics.


def outcome_of(left: list[Usage], right: list[Usage]) -> Outcome:
    outcome = Outcome(inputs={"left": {"nbytes": 400, "entries": 1000}, "right": {"nbytes": 100, "entries": 10}})
    for key, usages in ((A, left), (B, right)):
        for number, usage in enumerate(usages):
            outcome.note(key, number, usage)
    return outcome


def seconds(*values: float) -> list[Usage]:
    return [Usage(value, 0.0) for value in values]


def peaks(*values: int | None) -> list[Usage]:
    return [Usage(1.0, 0.0, value) for value in values]


def test_median_of_ratios_is_no_ratio_of_medians() -> None:
    over, under = {0: 10.0, 1: 4.0, 2: 1.0}, {0: 2.0, 1: 1.0, 2: 1.0}
    assert median_ratio(over, under) == 4.0
    over, under = {0: 1.0, 1: 10.0, 2: 100.0}, {0: 100.0, 1: 1.0, 2: 10.0}
    assert median_ratio(over, under) == 10.0  # the medians are equal


def test_only_common_rounds_count() -> None:
    assert median_ratio({0: 6.0, 5: 1.0}, {0: 2.0, 1: 1.0}) == 3.0
    assert median_ratio({0: 6.0}, {1: 2.0}) is None
    assert median_difference({0: 6.0, 1: 9.0}, {0: 2.0}) == 4.0
    assert median_difference({}, {0: 2.0}) is None


def test_best_of_several_is_found_in_each_round() -> None:
    assert best_of([{0: 3.0, 1: 4.0}, {0: 5.0, 1: 2.0}, {}]) == {0: 3.0, 1: 2.0}


def test_seconds_that_a_run_told_replace_those_of_its_process() -> None:
    outcome = outcome_of([Usage(9.0, 9.0, None, inner_s=3.0)], seconds(1.0))
    assert Ratio((A,), B).value(outcome) == 3.0


def test_ratios() -> None:
    outcome = outcome_of(seconds(8.0, 4.0, 6.0), seconds(2.0, 2.0, 2.0))
    assert Ratio((A,), B).value(outcome) == 3.0
    assert Ratio((A, B), B).value(outcome) == 1.0
    assert PerByteRatio(A, B).value(outcome) == 0.75
    assert MicrosecondsPerEntry(A, B).value(outcome) == pytest.approx(4000.0)


def test_memory() -> None:
    outcome = outcome_of(peaks(41 * MIB, 43 * MIB, 99 * MIB), peaks(30 * MIB, 30 * MIB, None))
    assert MemoryAbove(A, B).value(outcome) == pytest.approx(12 - 1000 * 512 / MIB)
    assert BytesPerEntry(A, B).value(outcome) == pytest.approx(12 * MIB / 1000)
    assert Peak(B).value(outcome) == pytest.approx(30 * MIB / 1e6)


@pytest.mark.parametrize(
    "make", [lambda a, b: Ratio((a,), b), PerByteRatio, MemoryAbove, MicrosecondsPerEntry, BytesPerEntry]
)
def test_what_did_not_run_has_no_figure(make: Callable[[Key, Key], Any]) -> None:
    assert make(A, B).value(outcome_of([], peaks(1))) is None
    assert make(A, B).value(outcome_of(peaks(1), [])) is None


@pytest.mark.parametrize(
    ("at_most", "at_least", "value", "verdict"),
    [
        (2.3, None, 2.3, "ok"),
        (2.3, None, 2.31, "TOO MUCH"),
        (None, 6.5, 6.5, "ok"),
        (None, 6.5, 6.4, "TOO LITTLE"),
        (None, None, 1.0, ""),
        (2.3, None, None, "not measured"),
    ],
)
def test_verdicts(at_most: float | None, at_least: float | None, value: float | None, verdict: str) -> None:
    limit = Limit("mixed", "", Peak(A), at_most=at_most, at_least=at_least, aim=1.0)
    assert limit.judge(value) == verdict


def test_report_of_nothing() -> None:
    (scenario,) = (scenario for scenario in SCENARIOS if scenario.name == "partitioned")
    assert scenario_lines(scenario, Outcome(skipped=["no room"]))[1:] == ["skipped: no room"]
    assert align([], left=()) == []


# Measuring.


def test_failing_process_is_an_error_with_what_it_complained(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo because >&2; exit 3"]
    with pytest.raises(ProcessError, match=r"exit status 3\nbecause"):
        run_process(command, environment(), "/dev/null", str(tmp_path / "errors"))


_MEASURE = """
import sys
from tests.benchmarks.measure import run_process
from tests.support.processes import environment
for nbytes in (1, 96 << 20):
    script = f"import time; memory = bytearray({nbytes}) * 1; time.sleep(0.05)"
    usage = run_process([sys.executable, "-c", script], environment(), "/dev/null", sys.argv[1])
    print(usage.peak_nbytes or 0, usage.wall_s)
"""


def test_usage_of_a_process(tmp_path: Path) -> None:
    small, small_s, large, _ = map(float, run_script(_MEASURE, tmp_path / "errors").split())
    assert small == 0  # may be that of the parent
    assert 96 * MIB < large < 300 * MIB
    assert small_s >= 0.05
