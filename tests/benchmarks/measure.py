"""What a process takes: seconds, processor seconds, memory.

The process that measures has to stay small. Linux counts the memory of a child from before its ``exec`` too, when it
still was that of its parent, so a parent with numpy in it would hide what a child needs. Whatever needs numpy runs in a
process of its own; the peak of a child that is smaller still is not told.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.family import FamilyWatch

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_CHUNK_NBYTES = 1 << 20
_MARGIN_NBYTES = 1 << 20
_SPARE_NBYTES = 1 << 29
_TOUCH = """
import mmap, sys
memory = mmap.mmap(-1, int(sys.argv[1]))
pages = memoryview(memory)[::mmap.PAGESIZE]
pages[:] = bytes(len(pages))
"""


@dataclass(frozen=True)
class Usage:
    """What one run took.

    Attributes:
        wall_s: seconds from start to end.
        cpu_s: processor seconds, user and system.
        peak_nbytes: the most memory that was resident, that of its children included; None where that cannot be told.
        inner_s: seconds of the part that counts, where the run told them.
    """

    wall_s: float
    cpu_s: float
    peak_nbytes: int | None = None
    inner_s: float | None = None

    @property
    def seconds(self) -> float:
        """What is compared."""
        return self.wall_s if self.inner_s is None else self.inner_s


class ProcessError(Exception):
    """A process that should have been measured failed."""


def run_process(command: Sequence[str], environment: Mapping[str, str], output: str, errors: str) -> Usage:
    """Run a command, its output and errors going to files, and wait for its end.

    Raises:
        ProcessError: it failed; the message has the end of what it complained.
    """
    actions = [_open_for_writing(1, output), _open_for_writing(2, errors)]
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], list(command), environment, file_actions=actions)
    watch = FamilyWatch(pid)
    watch.start()
    status, usage = _wait(pid)
    wall = time.perf_counter() - start
    family_nbytes = watch.stop()
    if code := os.waitstatus_to_exitcode(status):
        with open(errors, encoding="utf-8", errors="replace") as file:
            raise ProcessError(f"{' '.join(command)}: exit status {code}\n{file.read()[-2000:]}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, family_nbytes or _peak_nbytes(usage))


def _peak_nbytes(usage: resource.struct_rusage) -> int | None:
    """Return the child's peak, None where it may be the parent's."""
    peak = usage.ru_maxrss * _RSS_UNIT
    return peak if peak > _own_peak_nbytes() + _MARGIN_NBYTES else None


def _own_peak_nbytes() -> int:
    """Return the peak of this program: on Linux without that of the one that started it, which ``getrusage`` counts."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def _open_for_writing(descriptor: int, path: str) -> tuple[int, int, str, int, int]:
    return os.POSIX_SPAWN_OPEN, descriptor, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600


def _wait(pid: int) -> tuple[int, resource.struct_rusage]:
    """Wait for a child; where that is interrupted, end the child too."""
    try:
        _, status, usage = os.wait4(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        raise
    return status, usage


def warm(paths: Iterable[str]) -> None:
    """Read files, so that the page cache holds them."""
    buffer = bytearray(_CHUNK_NBYTES)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def claim_memory(nbytes: int) -> None:
    """Touch free memory, as much as there is or as is wanted, and give it back.

    A virtual machine may hand free memory back to its host within seconds, and pays for every page when it takes it
    again: several times the cost of a copy, and it falls on whoever comes after a pause. So memory is made ready before
    each run, for all contenders alike.
    """
    nbytes = min(nbytes, _free_nbytes() - _SPARE_NBYTES)
    if nbytes > 0:
        subprocess.run([sys.executable, "-c", _TOUCH, str(nbytes)], check=True)


def _free_nbytes() -> int:
    """Return how much memory is neither in use nor a cache (Linux; elsewhere 0)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemFree:"))
    except OSError:
        return 0
