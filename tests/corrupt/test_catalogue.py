"""Every verb over every hostile checkpoint: the right values or one line that says what is wrong; soon, in little room.

``pytest -m campaign`` also asks TensorFlow, and tells how often it dies.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.corrupt.cases import BOTH, Case, Value
from tests.corrupt.catalogue import FAMILIES, all_cases, run_cases
from tests.support.judge import CRASH, ERROR, HANG, judge_theirs

MAX_NBYTES = 50_000_000
"""Memory that a verb may take beyond what the process has, pages of files included."""


def test_there_are_enough() -> None:
    names = [str(case) for case in all_cases()]
    assert len(set(names)) == len(names) >= 500
    assert {case.family for case in all_cases()} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_t4_family(tmp_path: Path, family: str) -> None:
    check_family(tmp_path, family, thorough=False)


@pytest.mark.campaign
@pytest.mark.parametrize("family", FAMILIES)
def test_t4_family_in_every_way(tmp_path: Path, family: str) -> None:
    check_family(tmp_path, family, thorough=True)


def check_family(tmp_path: Path, family: str, *, thorough: bool) -> None:
    cases = [case for case in all_cases() if case.family == family]
    problems = []
    answered = 0
    for case, results in run_cases(cases, tmp_path, thorough=thorough):
        problems += [f"{case}: {problem}" for problem in find_problems(case, results)]
        answered += 1
        for directory in tmp_path.iterdir():
            shutil.rmtree(directory)
    assert answered == len(cases)
    assert not problems, "\n".join(problems)


def find_problems(case: Case, results: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the answers of the verbs."""
    if "died" in results:
        yield f"the process died: {results['died']}"
        return
    read = results["read"].get("found", {"values": {}, "errors": {}})
    if read["values"] != expected(case.values):
        yield f"reads {read['values']} instead of {expected(case.values)}; {results['read'].get('refused')}"
    for name, error in read["errors"].items():
        if "/m" not in error or (name == "t" and case.told not in error):
            yield f"the error of {name} does not tell where: {error}"
    for verb, result in results.items():
        yield from (f"{verb}: {problem}" for problem in find_problem(case, result))
        values = result.get("output", {}).get("found", {}).get("values")
        true = expected({**BOTH, **case.values})
        if "output" in result and (values is None or any(value != true.get(name) for name, value in values.items())):
            yield f"{verb}: wrote {result['output']}"


def find_problem(case: Case, result: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the answer of one verb."""
    if "foreign" in result:
        yield result["foreign"]
    if "refused" in result and ("\n" in result["refused"] or "/m" not in result["refused"]):
        yield f"no line that tells where: {result['refused'][:300]!r}"
    if result.get("left"):
        yield f"left behind {result['left']}"
    if result.get("found", {}).get("unprintable"):
        yield f"printed {result['found']['unprintable']}"
    if result["seconds"] > case.seconds:
        yield f"took {result['seconds']:.2f} seconds"
    if result["nbytes"] > MAX_NBYTES:
        yield f"took {result['nbytes']} bytes"


def expected(values: Any) -> dict[str, Any]:
    """Return values in the form in which they are answered."""

    def plain(value: Value) -> str | list[str]:
        return value.hex() if isinstance(value, bytes) else [item.hex() for item in value]

    return {name: plain(value) for name, value in values.items()}


@pytest.mark.campaign
@pytest.mark.parametrize("how", ["RestoreV2", "CheckpointReader"])
def test_t4_what_tensorflow_makes_of_it(tmp_path: Path, how: Any) -> None:
    """Tell how often TensorFlow refuses, reads, dies or does not come back, where we answer in a second."""
    alike = [case for case in all_cases() if case.tensors == ("t", "v") and not case.path]
    cases = [case for case in alike if "erabyte" not in case.name]
    prefixes = [case.write(str(tmp_path / str(number) / "m")) for number, case in enumerate(cases)]
    requests = [("t", 1), ("v", 1)]
    counts: Counter[str] = Counter()
    for case, verdicts in zip(cases, judge_theirs(prefixes, requests, tmp_path, how), strict=True):
        worst = next((word for word in (CRASH, HANG, ERROR) if word in verdicts), "read")
        counts[worst] += 1
        if worst in (CRASH, HANG):
            print(worst, case)
    print(how, len(cases), dict(counts))
    assert counts[CRASH]
