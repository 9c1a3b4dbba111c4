"""Commands that are told to end, at any of their calls and more than once; workers and parents that are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence

import pytest

from tests.faults.matrix import Bench, Fault, Tally, changes_something, judge_kill, judge_signal
from tests.faults.outcomes import judge, read_tree
from tests.faults.scenarios import SCENARIOS
from tests.faults.tracing import Call, Finished, Setting, group_members

Check = Callable[[Tally], None]

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
COMMANDS = ("halve", "merge", "halve --force, other shards", "halve --force a SavedModel")
SLOWLY = ("pwrite64:delay_enter=20000", "preadv2:delay_enter=20000")
"""Makes a command take half a second."""


def in_turn(calls: Sequence[Call], more: tuple[str, ...] = ()) -> list[Fault]:
    return [Fault(call, SIGNALS[turn % 3], more=more) for turn, call in enumerate(calls)]


@pytest.mark.parametrize("name", COMMANDS)
def test_r16_signal_at_a_call_that_changes_something(bench: Bench, check: Check, name: str) -> None:
    _, calls = bench.observe(SCENARIOS[name])
    check(bench.run_all(SCENARIOS[name], in_turn(list(filter(changes_something, calls))), judge_signal))


@pytest.mark.campaign
@pytest.mark.parametrize("name", COMMANDS)
def test_r16_every_signal_at_every_call(bench: Bench, check: Check, name: str) -> None:
    _, calls = bench.observe(SCENARIOS[name])
    check(bench.run_all(SCENARIOS[name], [Fault(call, kind) for call in calls for kind in SIGNALS], judge_signal))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("second", ["unlink:signal=SIGTERM:when=1+", "close:signal=SIGINT:when=5+"])
def test_r16_impatient_user(bench: Bench, check: Check, name: str, second: str) -> None:
    """Further signals come while the first is cleaned up after."""
    _, calls = bench.observe(SCENARIOS[name])
    chosen = [call for call in calls if changes_something(call) and call.name not in second][::4]
    check(bench.run_all(SCENARIOS[name], in_turn(chosen, (second,)), judge_signal))


@pytest.mark.parametrize("name", ["halve --jobs 2", "halve --force --jobs 2"])
@pytest.mark.parametrize("kind", SIGNALS)
def test_r16_whole_group(bench: Bench, check: Check, name: str, kind: str) -> None:
    """As a terminal does it: everybody gets the signal."""
    check(at_moments(bench, name, kind, lambda pid: os.killpg(pid, signal.Signals[kind])))


@pytest.mark.parametrize("kind", ["SIGTERM", "SIGINT"])
def test_r16_whole_group_twice(bench: Bench, check: Check, kind: str) -> None:
    def send(pid: int) -> None:
        os.killpg(pid, signal.Signals[kind])
        time.sleep(0.03)
        os.killpg(pid, signal.Signals[kind])

    check(at_moments(bench, "halve --jobs 2", kind, send))


@pytest.mark.parametrize("name", ["halve --jobs 2", "halve --force --jobs 2"])
def test_r16_parent_is_killed(bench: Bench, check: Check, name: str) -> None:
    """Nobody survives; that is checked for every command."""
    check(at_moments(bench, name, "SIGKILL", lambda pid: os.kill(pid, signal.SIGKILL)))


@pytest.mark.parametrize("number", [0, 1])
def test_worker_is_killed(bench: Bench, number: int) -> None:
    scenario = SCENARIOS["halve --jobs 2"]
    reference, _ = bench.observe(scenario)

    def kill_worker(pid: int) -> None:
        for _ in range(500):
            if len(workers := [member for member in group_members(pid) if member != pid]) == 2:
                time.sleep(0.1)
                os.kill(workers[number], signal.SIGKILL)
                return
            time.sleep(0.01)

    with bench.launcher() as launcher, bench.copy_of(bench.template(scenario)) as root:
        setting = Setting(step_nbytes=scenario.step_nbytes, meanwhile=kill_worker)
        finished = launcher.trace(scenario.command(root), SLOWLY, setting)
        verdict = judge(reference, read_tree(root), finished, [7])
    assert finished.status == 7
    assert finished.errors.startswith("tfbundle: a worker process was killed")
    assert finished.errors.count("\n") == 1
    assert (verdict.faults, verdict.leftovers, verdict.outcome) == ([], [], "none")


def at_moments(bench: Bench, name: str, kind: str, send: Callable[[int], None]) -> Tally:
    """Interrupt a slow command after more and more time."""
    scenario = SCENARIOS[name]
    reference, calls = bench.observe(scenario)
    tally = Tally(f"{name}, {kind} after a while")
    for moment in range(1, 16, 2):

        def interrupt(pid: int, moment: int = moment) -> None:
            time.sleep(moment / 20)
            with contextlib.suppress(ProcessLookupError):
                send(pid)

        fault = Fault(calls[0], kind)
        with bench.launcher() as launcher, bench.copy_of(bench.template(scenario)) as root:
            setting = Setting(step_nbytes=scenario.step_nbytes, meanwhile=interrupt)
            finished = launcher.trace(scenario.command(root), SLOWLY, setting)
            plain = Finished(
                finished.status, finished.output, finished.errors.replace(str(root), "@"), survivors=finished.survivors
            )
            verdict = (judge_kill if kind == "SIGKILL" else judge_signal)(reference, read_tree(root), plain, fault)
        tally.enter(fault, verdict)
    return tally
