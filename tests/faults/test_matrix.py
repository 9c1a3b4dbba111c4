"""A command that is killed, or meets an error, at any of its calls on files."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.matrix import (
    Bench,
    Fault,
    Tally,
    a_fault_each,
    every_fault,
    judge_error,
    judge_kill,
    judge_signal,
    some_faults,
)
from tests.faults.outcomes import Reference, Tree, Verdict
from tests.faults.scenarios import SCENARIOS
from tests.faults.tracing import Finished

MAIN = ("halve", "merge", "halve --force, other shards")
IN_FULL = (*MAIN, "halve --force", "halve, refused", "halve --force a SavedModel")
OTHERS = tuple(name for name in SCENARIOS if name not in MAIN)
LEAST_POINTS = 225

Check = Callable[[Tally], None]


def judge_fault(reference: Reference, tree: Tree, finished: Finished, fault: Fault) -> Verdict:
    """Judge a kill as a kill, everything else as an error."""
    return (judge_kill if fault.kind == "SIGKILL" else judge_error)(reference, tree, finished, fault)


@pytest.mark.parametrize("name", SCENARIOS)
def test_kills_and_errors(bench: Bench, check: Check, name: str) -> None:
    _, calls = bench.observe(SCENARIOS[name])
    tally = bench.run_all(SCENARIOS[name], some_faults(calls, 1 if name in IN_FULL else 5), judge_fault)
    check(tally)
    assert not (SCENARIOS[name].is_directory and tally.outcomes["staged"]), "a directory was missing for a moment"


def test_kills_where_directories_cannot_change_places(bench: Bench, check: Check) -> None:
    """The old one moves away first: whenever that is cut short, both are there, and the new one can be published."""
    scenario = SCENARIOS["halve --force a SavedModel"]
    _, calls = bench.observe(scenario)
    (exchange,) = [call for call in calls if call.name == "renameat2"]
    num_renames = sum(call.name == "rename" for call in calls) + 1  # two in place of the exchange, and none afterwards
    kills = [f"rename:signal=SIGKILL:when={number + 1}" for number in range(num_renames)]
    tally = bench.run_all(scenario, [Fault(exchange, "EINVAL", more=(kill,)) for kill in kills], judge_kill)
    check(tally)
    assert tally.outcomes["staged"] == 1


@pytest.mark.campaign
@pytest.mark.parametrize("name", MAIN)
def test_every_kill_and_every_error(bench: Bench, check: Check, name: str) -> None:
    _, calls = bench.observe(SCENARIOS[name])
    tally = bench.run_all(SCENARIOS[name], every_fault(calls), judge_fault)
    check(tally)
    assert tally.points >= LEAST_POINTS


@pytest.mark.campaign
@pytest.mark.parametrize("name", OTHERS)
def test_an_error_at_every_call(bench: Bench, check: Check, name: str) -> None:
    """Except that a ``close`` which strace fails is not done: workers would wait for ever for the end of a pipe."""
    _, calls = bench.observe(SCENARIOS[name])
    if SCENARIOS[name].step_nbytes:
        calls = [call for call in calls if call.name != "close"]
    check(bench.run_all(SCENARIOS[name], a_fault_each(calls), judge_fault))


class TestOfTheMatrix:
    """Faults are found where they are."""

    def test_calls_are_those_of_the_command(self, bench: Bench) -> None:
        reference, calls = bench.observe(SCENARIOS["halve --force, other shards"])
        assert (reference.status, reference.errors) == (0, "")
        names = [call.name for call in calls]
        assert names.count("rename") == 5  # three data files, the index, the checkpoint file
        assert names.count("unlink") == 3  # the old index and two data files
        assert {"openat", "preadv2", "pwrite64", "fallocate", "fsync", "newfstatat"} <= set(names)

    def test_mixture_is_told(self, bench: Bench) -> None:
        reference, _ = bench.observe(SCENARIOS["halve --force, other shards"])
        own = reference.own(reference.after)
        tree = {**reference.before, "out/model.index": own["out/model.index"]}
        verdict = judge_error(reference, tree, Finished(7, "", "tfbundle: @: no\n"), _no_fault(bench))
        assert "mixture" in verdict.faults[0]

    def test_changed_source_and_leftovers_are_told(self, bench: Bench) -> None:
        reference, _ = bench.observe(SCENARIOS["halve"])
        tree = {**reference.before, "source/model.index": b"", "out/model.index.tmp-1-00000000": b""}
        verdict = judge_error(reference, tree, Finished(7, "", "tfbundle: @: no\n"), _no_fault(bench))
        assert len(verdict.faults) == 2
        assert "files of others changed: ['source/model.index']" in verdict.faults
        assert "left behind: ['out/model.index.tmp-1-00000000']" in verdict.faults

    @pytest.mark.parametrize(
        "errors", ["", "tfbundle: no path\n", "tfbundle: @\nTraceback (most recent call last)\n", "@: no\n"]
    )
    def test_messages_that_will_not_do(self, bench: Bench, errors: str) -> None:
        reference, _ = bench.observe(SCENARIOS["halve"])
        assert judge_error(reference, reference.before, Finished(7, "", errors), _no_fault(bench)).faults

    def test_success_without_a_result_is_told(self, bench: Bench) -> None:
        reference, _ = bench.observe(SCENARIOS["halve"])
        assert judge_error(reference, reference.before, Finished(0, "", ""), _no_fault(bench)).faults
        assert judge_signal(reference, reference.before, Finished(0, "", ""), _no_fault(bench, "SIGTERM")).faults


def _no_fault(bench: Bench, kind: str = "EIO") -> Fault:
    return Fault(bench.observe(SCENARIOS["halve"])[1][-1], kind)
