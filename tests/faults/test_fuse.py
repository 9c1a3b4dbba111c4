"""A file system that fails: short and lying, full, or in error at any of its operations."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.faults.namespaces import run_isolated
from tests.support.requirements import needs_device, needs_module

ERRORS = {
    "getattr": ("EIO",),
    "open": ("EIO", "EMFILE", "EACCES"),
    "read": ("EIO",),
    "create": ("EIO", "ENOSPC", "EDQUOT", "EROFS"),
    "mkdir": ("EIO", "ENOSPC"),
    "truncate": ("EIO", "ENOSPC", "EFBIG"),
    "fallocate": ("ENOSPC", "EIO", "EDQUOT"),
    "write": ("EIO", "ENOSPC", "EDQUOT"),
    "flush": ("EIO", "ENOSPC"),
    "fsync": ("EIO", "ENOSPC"),
    "fsyncdir": ("EIO",),
    "rename": ("EIO", "done", "undone"),
    "link": ("EIO", "EPERM", "EMLINK"),
    "unlink": ("EIO",),
    "opendir": ("EIO", "EMFILE"),
    "readdir": ("EIO",),
    "statfs": ("EIO", "ENOSYS"),
}
"""What each operation can fail with."""

HARMLESS: dict[str, dict[str, Any]] = {
    "short writes": {"operation": "write", "how": "short", "repeated": True},
    "a short write": {"operation": "write", "how": "short", "number": 3},
    "short reads": {"operation": "read", "how": "short", "repeated": True},
    "a short read": {"operation": "read", "how": "short", "number": 20},
    "interrupted reads": {"operation": "read", "how": "EINTR", "number": 20},
    "no size of the disk": {"operation": "statfs", "how": "zeros", "repeated": True},
    "no statfs": {"operation": "statfs", "how": "ENOSYS", "repeated": True},
    "no sync of directories": {"operation": "fsyncdir", "how": "EINVAL", "repeated": True},
    "no claim of room": {"operation": "fallocate", "how": "EOPNOTSUPP", "repeated": True},
    "kept by the kernel": {"operation": "", "how": "", "direct": False},
}
"""What a file system may do, and the command must succeed all the same."""

LIES: dict[str, dict[str, Any]] = {
    "the source ends before": {"operation": "read", "how": "nothing", "path": "left.data", "repeated": True},
    "the index ends before": {"operation": "read", "how": "nothing", "path": "left.index", "repeated": True},
    "the source is smaller": {"operation": "getattr", "how": "smaller", "path": "left.data", "repeated": True},
    "the index is smaller": {"operation": "getattr", "how": "smaller", "path": "left.index", "repeated": True},
    "the index is bigger": {"operation": "getattr", "how": "bigger", "path": "left.index", "repeated": True},
    "the source is younger": {"operation": "getattr", "how": "later", "path": "left.data", "repeated": True},
    "short reads that the kernel fills with zeros": {
        "operation": "read",
        "how": "short",
        "path": "left.data",
        "repeated": True,
        "direct": False,
    },
    "writes of nothing": {"operation": "write", "how": "nothing", "repeated": True},
}
"""Where the command must fail, or succeed in full."""

COMMANDS = ["halve", "force", "merge", "merge-link-force", "set"]

Outcome = tuple[str, dict[str, Any], int, str, str, dict[str, int]]


def try_all(cases: list[tuple[str, dict[str, Any]]], directory: Path) -> list[Outcome]:
    needs_device("/dev/fuse")
    needs_module("fuse")
    path = directory / "cases"
    path.write_text(json.dumps(cases))
    return [tuple(line) for line in run_isolated("tests.faults.faulty", directory, path, timeout=3600)]


def faults_of(name: str, directory: Path, share: int) -> list[tuple[str, dict[str, Any]]]:
    """Return faults in every ``share``-th call of each operation of a scene; in every call with every error for 1."""
    ((*_, calls),) = try_all([(name, {"operation": "", "how": ""})], directory)
    found: list[tuple[str, dict[str, Any]]] = []
    for operation, errors in ERRORS.items():
        numbers = range(calls.get(operation, 0))
        chosen = sorted({*numbers[: 1 if numbers else 0], *numbers[share - 1 :: share], *numbers[-1:]})
        for turn, number in enumerate(chosen):
            kinds = errors if share == 1 else (errors[turn % len(errors)],)
            found.extend((name, {"operation": operation, "how": how, "number": number}) for how in kinds)
    return found


def problem(outcome: Outcome) -> str:
    """Return what is wrong with an outcome, if anything."""
    _, fault, status, errors, state, _ = outcome
    if state.startswith("WRONG"):
        return state
    if "Traceback" in errors or errors.count("\n") > 1 or (errors and not errors.startswith("tfbundle: ")):
        return f"not one line: {errors[-300:]}"
    if status == 0:
        return "" if state == "new" else f"success, but {state}"
    if status not in (3, 4, 7) or not errors:
        return f"status {status}, {errors!r}"
    leaves = fault["operation"] == "unlink" or state.startswith("staged")
    return "" if leaves or " left" not in state else f"temporary files are left: {state}"


def check(outcomes: list[Outcome]) -> None:
    print(Counter((name, "done" if status == 0 else "failed", state) for name, _, status, _, state, _ in outcomes))
    wrong = [(name, fault, found) for name, fault, *rest in outcomes if (found := problem((name, fault, *rest)))]  # type: ignore[arg-type]
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_anywhere_ends_in_one_line_with_nothing_lost(name: str, tmp_path: Path) -> None:
    check(try_all(faults_of(name, tmp_path, 20), tmp_path))


@pytest.mark.campaign
@pytest.mark.parametrize("name", COMMANDS)
def test_every_error_in_every_call_ends_in_one_line_with_nothing_lost(name: str, tmp_path: Path) -> None:
    outcomes = try_all(faults_of(name, tmp_path, 1), tmp_path)
    check(outcomes)
    assert len(outcomes) >= 100


def test_what_is_odd_but_allowed_does_no_harm(tmp_path: Path) -> None:
    cases = [(name, fault) for fault in HARMLESS.values() for name in ("halve", "force", "merge")]
    outcomes = try_all(cases, tmp_path)
    check(outcomes)
    assert [outcome for outcome in outcomes if outcome[2] != 0] == []


def test_lies_are_found_out(tmp_path: Path) -> None:
    outcomes = try_all([(name, fault) for fault in LIES.values() for name in ("halve", "force", "merge")], tmp_path)
    check(outcomes)


@pytest.mark.parametrize("how", ["ENOSYS", "EPERM", "EOPNOTSUPP", "EXDEV"])
def test_without_hard_links_set_copies_and_merge_says_so(how: str, tmp_path: Path) -> None:
    fault = {"operation": "link", "how": how, "repeated": True}
    changed, merged = try_all([("set", fault), ("merge-link", fault)], tmp_path)
    check([changed, merged])
    assert changed[2] == 0
    assert merged[2] == 7
