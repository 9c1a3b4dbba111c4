"""How much memory commands hold, and commands that may hold no more than so much."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import environment
from tests.support.requirements import missing_fault

_LIMIT_FILES = {"/sys/fs/cgroup/memory": ("memory.limit_in_bytes", "memory.max_usage_in_bytes")}
_LIMIT_FILES["/sys/fs/cgroup"] = ("memory.max", "memory.peak")  # of version 2


def start(*arguments: str | Path, group: Path | None = None, most_nbytes: int | None = None) -> subprocess.Popen[str]:
    """Start ``tfbundle``, in a control group if one is given, or with an address space of at most so many bytes."""
    command = [sys.executable, "-m", "tfbundle", *map(str, arguments)]
    if group is not None:
        command = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"), *command]
    if most_nbytes is not None:
        command = ["sh", "-c", 'ulimit -v "$0" && exec "$@"', str(most_nbytes // 1024), *command]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment())


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a command; it must succeed without a word."""
    _, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, errors
    assert not errors


def peak_of_tree(process: subprocess.Popen[str]) -> int:
    """Wait for a command; return the most memory that it and its children held together, seen every few ms.

    Pages that several of them share are counted once: the sum of their proportional set sizes.
    """
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_proportional_nbytes, [process.pid, *_children(process.pid)])))
        time.sleep(0.02)
    finish(process)
    return peak


def _children(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def _proportional_nbytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


@contextlib.contextmanager
def limited_group(nbytes: int) -> Iterator[Path]:
    """Give a control group whose processes may hold that much memory, their page cache included."""
    for parent, (limit, _) in _LIMIT_FILES.items():
        group = Path(parent) / f"tfbundle-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(nbytes))
        except OSError:
            group.rmdir()
            continue
        try:
            yield group
        finally:
            _remove(group)
        return
    missing_fault("no control group for memory can be made")


def peak_of_group(group: Path) -> int:
    """Return the most memory that a group ever held, where the kernel tells."""
    found = [int((group / peak).read_text()) for _, peak in _LIMIT_FILES.values() if (group / peak).exists()]
    return found[0] if found else 0


def _remove(group: Path) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):  # processes that were just killed are still in it
            return group.rmdir()
        time.sleep(0.05)
    raise AssertionError(f"{group} cannot be removed")
