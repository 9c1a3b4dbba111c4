"""The matrix: every call a command makes on files, times everything that can go wrong there."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tfbundle
from tests.faults.outcomes import Reference, Tree, Verdict, judge, place_of, read_tree
from tests.faults.scenarios import Scenario
from tests.faults.tracing import Call, Finished, Launcher, Setting
from tests.support.requirements import needs_tracing

NUM_LAUNCHERS = 2

_READING = ("EIO", "EACCES", "EMFILE", "EINTR")
_CREATING = ("ENOSPC", "EDQUOT", "EROFS", *_READING)
_WRITING = ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EINTR")
_NAMING = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO")
_ERRORS = {
    "openat": _READING,
    "pwrite64": _WRITING,
    "ftruncate": _WRITING,
    "fallocate": _WRITING,
    "fsync": ("ENOSPC", "EDQUOT", "EIO", "EINTR"),
    "close": ("ENOSPC", "EDQUOT", "EIO", "EINTR"),
    "rename": _NAMING,
    "link": _NAMING,
    "mkdir": _NAMING,
    "renameat2": (*_NAMING, "EINVAL", "ENOSYS"),
    "unlink": ("EROFS", "EACCES", "EIO"),
    "unlinkat": ("EROFS", "EACCES", "EIO"),
    "rmdir": ("EROFS", "EACCES", "EIO"),
    "flock": ("ENOLCK", "EIO", "EINTR"),
    "getdents64": ("EIO",),
}
_OTHER = ("EIO", "EACCES")
_REMOVING = ("unlink", "unlinkat", "rmdir")
_EMPTYING = ("openat", *_REMOVING)
_CHANGING = {"pwrite64", "ftruncate", "fallocate", "fsync", "rename", "renameat2", "link", "mkdir", *_REMOVING, "flock"}


@dataclass(frozen=True)
class Fault:
    """What happens at a call.

    Attributes:
        call: which.
        kind: the name of an errno or of a signal.
        lasting: whether it happens at all later calls of that name, too.
        more: further injections, as strace takes them.
    """

    call: Call
    kind: str
    lasting: bool = False
    more: tuple[str, ...] = ()

    @property
    def injections(self) -> list[str]:
        """How strace takes it."""
        what = "signal" if self.kind.startswith("SIG") else "error"
        return [f"{self.call.name}:{what}={self.kind}:when={self.call.number}{'+' * self.lasting}", *self.more]

    def __str__(self) -> str:
        lasting = " from then on" if self.lasting else ""
        more = f" and {', '.join(self.more)}" if self.more else ""
        return f"{self.kind} at {self.call.name} #{self.call.number}{lasting}{more}: {self.call.text[:250]}"


def errors_at(call: Call) -> tuple[str, ...]:
    """Return the errors that a call may meet."""
    return _CREATING if call.creates else _ERRORS.get(call.name, _OTHER)


def changes_something(call: Call) -> bool:
    """Whether a call changes files, as opposed to looking at them."""
    return call.name in _CHANGING or call.creates


def every_fault(calls: Sequence[Call]) -> list[Fault]:
    """Return a kill and every error at every call, and errors that stay at those that change something."""
    kills = [Fault(call, "SIGKILL") for call in calls]
    errors = [Fault(call, kind) for call in calls for kind in errors_at(call)]
    return [*kills, *errors, *_lasting(calls)]


def a_fault_each(calls: Sequence[Call]) -> list[Fault]:
    """Return a kill and lasting errors at calls that change something, and an error, in turn another, at every call."""
    kills = [Fault(call, "SIGKILL") for call in calls if changes_something(call)]
    return [*kills, *_errors_in_turn(calls), *_lasting(calls)]


def some_faults(calls: Sequence[Call], share: int) -> list[Fault]:
    """Return a kill and an error at every how manyth call that changes something, if any does, and at the last."""
    changing = [call for call in calls if changes_something(call)] or list(calls)
    chosen = changing[::-share][::-1]
    return [*(Fault(call, "SIGKILL") for call in chosen), *_errors_in_turn(chosen)]


def _errors_in_turn(calls: Sequence[Call]) -> list[Fault]:
    return [Fault(call, errors_at(call)[turn % len(errors_at(call))]) for turn, call in enumerate(calls)]


def _lasting(calls: Sequence[Call]) -> list[Fault]:
    return [Fault(call, errors_at(call)[0], lasting=True) for call in calls if changes_something(call)]


@dataclass
class Tally:
    """What a matrix found.

    Attributes:
        name: of the scenario.
        points: how many faults were injected.
        outcomes: how many of each outcome.
        wrong: the violations, in words.
    """

    name: str
    points: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def enter(self, fault: Fault, verdict: Verdict) -> None:
        """Count a fault."""
        self.points += 1
        self.outcomes[verdict.outcome] += 1
        self.wrong += [f"{fault}\n    {text}" for text in verdict.faults]

    def __str__(self) -> str:
        outcomes = ", ".join(f"{name} {self.outcomes[name]}" for name in sorted(self.outcomes))
        return f"{self.name}: {self.points} points: {outcomes}; violations {len(self.wrong)}"


class Bench:
    """Launchers, and a directory in memory where there is such a thing."""

    def __init__(self, launchers: Sequence[Launcher], folder: Path) -> None:
        self.folder = folder
        self._launchers: queue.SimpleQueue[Launcher] = queue.SimpleQueue()
        for launcher in launchers:
            self._launchers.put(launcher)
        self._references: dict[str, tuple[Reference, list[Call]]] = {}

    @contextmanager
    def launcher(self) -> Iterator[Launcher]:
        """Lend a launcher."""
        launcher = self._launchers.get()
        try:
            yield launcher
        finally:
            self._launchers.put(launcher)

    @contextmanager
    def copy_of(self, template: Path) -> Iterator[Path]:
        """Give a copy of a directory that goes when the block is left."""
        root = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            shutil.copytree(template, root / "x", copy_function=shutil.copyfile)
            yield root / "x"
        finally:
            shutil.rmtree(root)

    def template(self, scenario: Scenario) -> Path:
        """Return a directory as the scenario wants it."""
        root = self.folder / scenario.name.replace(" ", "_")
        if not root.exists():
            root.mkdir()
            scenario.build(root)
        return root

    def observe(self, scenario: Scenario) -> tuple[Reference, list[Call]]:
        """Return what happens without a fault, and the calls that touch files."""
        if scenario.name not in self._references:
            self._references[scenario.name] = self._observe(scenario)
        return self._references[scenario.name]

    def _observe(self, scenario: Scenario) -> tuple[Reference, list[Call]]:
        """Watch the command until it does twice the same; some things are done only once in a while."""
        reference, calls = self._watch(scenario)
        for _ in range(5):
            previous = calls
            reference, calls = self._watch(scenario)
            if scenario.step_nbytes or [call[:3] for call in calls] == [call[:3] for call in previous]:
                break
        return reference, calls

    def _watch(self, scenario: Scenario) -> tuple[Reference, list[Call]]:
        template, setting = self.template(scenario), Setting(step_nbytes=scenario.step_nbytes)
        with self.launcher() as launcher, self.copy_of(template) as root:
            before = read_tree(root)
            finished = launcher.trace(scenario.command(root), setting=setting, with_paths=True)
            after = read_tree(root)
            again = after
            if scenario.is_repeatable and not scenario.takes_over:
                assert launcher.run(scenario.repeated(root), setting).status in (0, 1)
                again = read_tree(root)
            errors = finished.errors.replace(str(root), "@")
            reference = Reference(scenario, before, after, again, finished.status, errors)
            _check_reference(reference, root)
        return reference, finished.calls(root)

    def run_all(self, scenario: Scenario, faults: Iterable[Fault], judge_one: Judge) -> Tally:
        """Try faults, several at a time."""
        reference, _ = self.observe(scenario)
        tally = Tally(scenario.name)

        def run(fault: Fault) -> tuple[Fault, Verdict]:
            return fault, self._run(reference, fault, judge_one)

        with ThreadPoolExecutor(NUM_LAUNCHERS) as executor:
            for fault, verdict in executor.map(run, faults):
                tally.enter(fault, verdict)
        return tally

    def _run(self, reference: Reference, fault: Fault, judge_one: Judge) -> Verdict:
        scenario = reference.scenario
        setting = Setting(step_nbytes=scenario.step_nbytes)
        with self.launcher() as launcher, self.copy_of(self.template(scenario)) as root:
            finished = launcher.trace(scenario.command(root), fault.injections, setting)
            tree = read_tree(root)
            plain = Finished(
                finished.status,
                finished.output,
                finished.errors.replace(str(root), "@"),
                finished.trace,
                finished.survivors,
            )
            verdict = judge_one(reference, tree, plain, fault)
            verdict.require(finished.was_hit, "the fault did not happen")
            _run_again(reference, launcher, root, verdict, tree)
        return verdict


def _check_reference(reference: Reference, root: Path) -> None:
    """Check that the command does what it should where nothing goes wrong, or there is nothing to compare with."""
    own = reference.own(reference.again)
    assert not any(map(reference.is_temporary, reference.again))
    assert reference.others(reference.again) == reference.others(reference.before)
    if reference.scenario.is_directory:
        assert tfbundle.verify(root / reference.scenario.target).ok
        assert any(path.endswith(".txt") for path in own)
        return
    if reference.scenario.last != ".index":
        assert tfbundle.import_tensors(root / reference.index, root / "read").tensors
        return
    num_shards = tfbundle.open(root / reference.scenario.target).index.header.num_shards
    prefix = reference.scenario.target
    assert own.keys() == {
        *(prefix + suffix for suffix in (".index", ".meta") if re.fullmatch(reference.scenario.own, suffix)),
        *(f"{prefix}.data-{number:05d}-of-{num_shards:05d}" for number in range(num_shards)),
    }
    assert tfbundle.verify(root / prefix).ok


Judge = Callable[[Reference, Tree, Finished, Fault], Verdict]


def judge_kill(reference: Reference, tree: Tree, finished: Finished, fault: Fault) -> Verdict:
    """A killed process leaves files that can be told from all others."""
    verdict = judge(reference, tree, finished, [-signal.SIGKILL, 7])  # 7: only a worker was killed
    verdict.require(finished.status != 7 or not verdict.leftovers, f"left behind: {verdict.leftovers}")
    return verdict


def judge_error(reference: Reference, tree: Tree, finished: Finished, fault: Fault) -> Verdict:
    """An error is told in one line and leaves nothing behind, unless the complete files of a replacement.

    Where there are workers, it also hits what they and their parent do to reach each other, which has no path.
    """
    verdict = judge(reference, tree, finished, [7])
    if finished.status == reference.status:
        return verdict
    text = finished.errors
    verdict.require(text.startswith("tfbundle: ") and text.count("\n") == 1, f"not one line: {text!r}")
    has_workers = reference.scenario.step_nbytes > 0
    verdict.require("@" in text or has_workers, f"names no path: {text!r}")
    is_told = verdict.outcome == "new" and any(state in text for state in ("is complete, but", "all in place, but"))
    needed = _EMPTYING if reference.scenario.is_directory else _REMOVING  # to remove what was made
    if verdict.outcome != "staged" and not is_told and not (fault.lasting and fault.call.name in needed):
        verdict.require(not verdict.leftovers, f"left behind: {verdict.leftovers}")
    return verdict


def judge_signal(reference: Reference, tree: Tree, finished: Finished, fault: Fault) -> Verdict:
    """A signal ends the command quietly, and nothing is left behind."""
    kinds = [fault.kind, *(word.removeprefix("signal=") for more in fault.more for word in more.split(":")[1:2])]
    verdict = judge(reference, tree, finished, [128 + signal.Signals[kind] for kind in kinds])
    verdict.require(finished.errors == "" or finished.status == reference.status, f"told: {finished.errors!r}")
    verdict.require(not verdict.leftovers, f"left behind: {verdict.leftovers}")
    verdict.require(verdict.outcome != "staged", "the replacement was not carried through")
    return verdict


def _finish(reference: Reference, launcher: Launcher, root: Path, verdict: Verdict) -> None:
    """Check that a replacement that was interrupted is named, and can be finished."""
    target = str(root / reference.scenario.target)
    named = launcher.run(["verify", target])
    verdict.require(named.status == 3 and "verify --finish" in named.errors, f"verify: {named}")
    finished = launcher.run(["verify", "--finish", target])
    found = read_tree(root)
    verdict.require(finished.status == 0, f"verify --finish: {finished}")
    verdict.require(reference.own(found) == reference.own(reference.after), "verify --finish gives something else")
    verdict.require(not any(map(reference.is_temporary, found)), "verify --finish leaves temporary files")


def _settle(reference: Reference, launcher: Launcher, root: Path, verdict: Verdict, tree: Tree) -> None:
    """Check that a directory that is complete takes its place if that is vacant, or goes like one that is not."""
    finished = launcher.run(["verify", "--finish", str(root / reference.scenario.target)])
    found = read_tree(root)
    if verdict.outcome == "none" and reference.index not in map(place_of, tree):
        verdict.require(finished.status == 3, f"verify --finish with nothing to finish: {finished}")
        verdict.require(found == tree, "verify --finish changes what is not complete")
        return
    expected = reference.after if verdict.outcome == "none" else tree
    verdict.require(finished.status == 0, f"verify --finish: {finished}")
    verdict.require(reference.own(found) == reference.own(expected), "verify --finish gives something else")
    verdict.require(not any(map(reference.is_temporary, found)), "verify --finish leaves temporary files")


def _run_again(reference: Reference, launcher: Launcher, root: Path, verdict: Verdict, tree: Tree) -> None:
    """Check that the same command now succeeds and adds nothing but its result."""
    scenario = reference.scenario
    if scenario.takes_over and verdict.outcome == "new":
        return
    if verdict.outcome == "staged" and (scenario.is_directory or scenario.last == ".index"):
        _finish(reference, launcher, root, verdict)
    elif scenario.is_directory and any(map(reference.is_temporary, tree)):
        _settle(reference, launcher, root, verdict, tree)
    finished = launcher.run(scenario.repeated(root), Setting(step_nbytes=scenario.step_nbytes))
    verdict.require(finished.status in (0, reference.status), f"the next run: {finished.status} {finished.errors!r}")
    found = read_tree(root)
    if scenario.is_repeatable:
        verdict.require(reference.own(found) == reference.own(reference.again), "the next run gives something else")
    else:
        checked = tfbundle.verify(root / scenario.target)
        verdict.require(checked.ok, f"damaged after the next run: {checked}")
    new = {path for path in found if reference.is_temporary(path)} - tree.keys()
    verdict.require(not new, f"the next run leaves {sorted(new)}")
    verdict.require(reference.others(found) == reference.others(reference.before), "the next run changes other files")


@contextmanager
def opened_bench() -> Iterator[Bench]:
    """Start the launchers."""
    needs_tracing()
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="tfbundle-faults-", dir=place) as folder:
        launchers = [stack.enter_context(Launcher()) for _ in range(NUM_LAUNCHERS)]
        yield Bench(launchers, Path(folder))
