"""What a fault may leave behind, and what it may not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.scenarios import Scenario
from tests.faults.tracing import Finished

Tree = dict[str, bytes | None]
"""The contents of the files of a directory by their path in it; None for directories."""

_TEMPORARY = re.compile(r"(.*?)\.tmp-[0-9]+-[0-9a-f]{8}(?:/(?P<within>[a-z]+)(?P<rest>/.*)?)?")


def read_tree(root: Path) -> Tree:
    """Return what is in a directory."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in sorted(root.rglob("*"))
    }


def place_of(path: str) -> str | None:
    """Return where a file under a temporary name is to be, or one within a directory that is complete."""
    match = _TEMPORARY.fullmatch(path)
    return match[1] + (match["rest"] or "") if match and match["within"] in (None, "new") else None


@dataclass(frozen=True)
class Reference:
    """What happens to a scenario without a fault.

    Attributes:
        scenario: which.
        before: the files before the command.
        after: the files after it.
        again: the files after it was run again, where that gives the same.
        status: its exit status.
        errors: what it printed on standard error.
    """

    scenario: Scenario
    before: Tree
    after: Tree
    again: Tree
    status: int
    errors: str

    def is_own(self, path: str) -> bool:
        """Whether a path is one that the target's files may have."""
        rest = path.removeprefix(self.scenario.target)
        return rest != path and re.fullmatch(self.scenario.own, rest) is not None

    def is_temporary(self, path: str) -> bool:
        """Whether a path is that of what is under way to be the target's, or the ``checkpoint`` file beside it."""
        match = _TEMPORARY.fullmatch(path)
        return match is not None and (self.is_own(match[1]) or match[1] == self.checkpoint)

    @property
    def index(self) -> str:
        """The path of the target's index, or whatever else appears last."""
        return self.scenario.target + self.scenario.last

    @property
    def checkpoint(self) -> str:
        """The path of the ``checkpoint`` file beside the target."""
        return str(Path(self.scenario.target).with_name("checkpoint"))

    def own(self, tree: Tree) -> Tree:
        """Return the target's files."""
        return {path: content for path, content in tree.items() if self.is_own(path)}

    def others(self, tree: Tree) -> Tree:
        """Return the files that the command has no business with."""
        taken = tuple(f"{prefix}." for prefix in self.scenario.takes_over)
        return {
            path: content
            for path, content in tree.items()
            if content is not None
            and not (self.is_own(path) or self.is_temporary(path) or path == self.checkpoint)
            and not (taken and path.startswith(taken))
        }


@dataclass
class Verdict:
    """What a fault did.

    Attributes:
        outcome: ``"old"``, ``"none"``, ``"new"`` or ``"staged"``: an old index is gone, but all files are complete, if
            under temporary names; anything else is a mixture.
        leftovers: files and directories that should not be there.
        faults: what is wrong, in words.
    """

    outcome: str
    leftovers: list[str]
    faults: list[str] = field(default_factory=list)

    def require(self, condition: object, text: str) -> None:
        """Note a fault unless a condition holds."""
        if not condition:
            self.faults.append(text)


def judge(reference: Reference, tree: Tree, finished: Finished, expected: Iterable[int]) -> Verdict:
    """Say what became of the target, and check what holds for every fault.

    Args:
        reference: what happens without it.
        tree: the files after it.
        finished: what came of the command.
        expected: the exit statuses it may have, apart from that of success.
    """
    outcome = _outcome(reference, tree)
    verdict = Verdict(outcome, list(_leftovers(reference, tree, outcome)))
    verdict.require(outcome in ("old", "none", "new", "staged"), f"the target is a mixture: {outcome}")
    verdict.require(reference.others(tree) == reference.others(reference.before), _difference(reference, tree))
    _check_taken(reference, tree, verdict)
    verdict.require("Traceback" not in finished.errors, f"traceback: {finished.errors[-500:]}")
    verdict.require(not finished.survivors, f"{len(finished.survivors)} processes outlived it")
    if finished.status == reference.status and finished.errors == reference.errors:
        final = _outcome(reference, reference.after)
        verdict.require(outcome == final, f"status {finished.status}, but the target is {outcome} instead of {final}")
        verdict.require(not verdict.leftovers, f"status {finished.status}, but left behind: {verdict.leftovers}")
        _check_checkpoint(reference, tree, verdict)
    else:
        allowed = sorted(expected)
        verdict.require(
            finished.status in allowed, f"status {finished.status}, not {allowed}: {finished.errors.strip()}"
        )
    return verdict


def _outcome(reference: Reference, tree: Tree) -> str:
    own, old, new = (reference.own(part) for part in (tree, reference.before, reference.after))
    index = reference.index
    if index not in own:
        return _outcome_without_index(reference, tree, old, new)
    if old.items() <= own.items() and own[index] == old.get(index):
        return "old"
    if new.items() <= own.items() and own[index] == new.get(index):
        return "new"
    return "index without its data"


def _outcome_without_index(reference: Reference, tree: Tree, old: Tree, new: Tree) -> str:
    if reference.index not in old:
        return "none"
    staged = {place: content for path, content in tree.items() if (place := place_of(path))}
    found = {path: staged.get(path, tree.get(path)) for path in new}
    return "staged" if found == new else "neither the old nor the new bundle"


def _leftovers(reference: Reference, tree: Tree, outcome: str) -> Iterator[str]:
    """Yield what is there and belongs neither to the outcome nor to what was there before."""
    wanted = reference.own(reference.after) if outcome == "new" else reference.own(reference.before)
    for path, content in tree.items():
        if reference.is_temporary(path) or (reference.is_own(path) and path not in wanted):
            yield path
        if content is None and path not in reference.before and outcome != "new":
            yield f"{path}/"


def _difference(reference: Reference, tree: Tree) -> str:
    before, after = reference.others(reference.before), reference.others(tree)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return f"files of others changed: {changed}"


def _check_taken(reference: Reference, tree: Tree, verdict: Verdict) -> None:
    """Check that inputs which a complete target replaces are whole until it is."""
    for prefix in reference.scenario.takes_over:
        inputs = {path: content for path, content in reference.before.items() if path.startswith(f"{prefix}.")}
        is_whole = inputs.items() <= tree.items()
        verdict.require(
            is_whole or verdict.outcome == "new", f"the input {prefix} is damaged and the target not complete"
        )


def _check_checkpoint(reference: Reference, tree: Tree, verdict: Verdict) -> None:
    found = tree.get(reference.checkpoint)
    allowed = [files.get(reference.checkpoint) for files in (reference.before, reference.after)]
    verdict.require(found in allowed, f"the checkpoint file is {found!r}")
