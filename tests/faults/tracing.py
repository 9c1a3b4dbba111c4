"""Commands under strace, which fails or kills them at a call of choice."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from tests.support.processes import TOP, environment

CALLS = (
    "?openat,?open,?creat,?read,?pread64,?preadv,?preadv2,?write,?pwrite64,?pwritev,?pwritev2,?ftruncate,"
    "?truncate,?fallocate,?fsync,?fdatasync,?sync_file_range,?fadvise64,?rename,?renameat,?renameat2,?link,"
    "?linkat,?symlink,?symlinkat,?unlink,?unlinkat,?mkdir,?mkdirat,?rmdir,?close,?flock,?statfs,?fstatfs,"
    "?newfstatat,?fstat,?lstat,?stat,?statx,?getdents64,?readlink,?readlinkat,?access,?faccessat,?faccessat2,"
    "?fchmod,?chmod,?utimensat,?copy_file_range,?sendfile"
)
"""Those by which a program can learn of files or change them."""

_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_LONGEST_SECONDS = 60.0


class Call(NamedTuple):
    """A call that touched a file.

    Attributes:
        process: how many processes had come up before the one that made it.
        name: of the call.
        number: the how manyth call of that name in its process, from 1.
        text: the call as strace shows it.
    """

    process: int
    name: str
    number: int
    text: str

    @property
    def creates(self) -> bool:
        """Whether it makes a file."""
        return "O_CREAT" in self.text


@dataclass(frozen=True)
class Finished:
    """What came of a command.

    Attributes:
        status: its exit status; the negative number of the signal that ended it.
        output: what it printed.
        errors: what it printed on standard error.
        trace: what strace wrote.
        survivors: processes of its own that outlived it, by number.
    """

    status: int
    output: str
    errors: str
    trace: str = ""
    survivors: tuple[int, ...] = ()

    @property
    def was_hit(self) -> bool:
        """Whether a fault was injected."""
        return "(INJECTED" in self.trace or "--- SIG" in self.trace or "+++ killed" in self.trace

    def calls(self, below: Path) -> list[Call]:
        """Return the calls that touched files of a directory, in order."""
        numbers: Counter[tuple[str, str]] = Counter()
        processes: dict[str, int] = {}
        found = []
        for line in self.trace.splitlines():
            if match := _LINE.match(line):
                pid, name, text = match.groups()
                processes.setdefault(pid, len(processes))
                numbers[pid, name] += 1
                if f"{below}" in text:
                    found.append(Call(processes[pid], name, numbers[pid, name], f"{name}({text}"))
        return found


@dataclass(frozen=True)
class Setting:
    """Where and how a command runs.

    Attributes:
        directory: the current one.
        step_nbytes: makes steps of a plan that small, so that several workers have something to do.
        num_files: how many descriptors it may have; any number where 0.
        meanwhile: is called with the process id while the command runs.
        seconds: after which it is killed.
    """

    directory: str = "/"
    step_nbytes: int = 0
    num_files: int = 0
    meanwhile: Callable[[int], None] = lambda pid: None
    seconds: float = _LONGEST_SECONDS


class Launcher:
    """Runs commands in processes forked off one that has imported everything. For one thread."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tfbundle-faults-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TOP,
            env=environment(OPENBLAS_NUM_THREADS="1"),
        )

    def __enter__(self) -> Launcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._process:
            _pipe(self._process.stdin).close()
        self._folder.cleanup()

    def run(self, arguments: Sequence[str], setting: Setting = Setting()) -> Finished:
        """Run ``tfbundle`` with these arguments."""
        with self._started(arguments, setting) as pid:
            return self._finish(pid, setting)

    def trace(
        self,
        arguments: Sequence[str],
        inject: Sequence[str] = (),
        setting: Setting = Setting(),
        *,
        with_paths: bool = False,
    ) -> Finished:
        """Run it under strace.

        Args:
            arguments: those of ``tfbundle``.
            inject: faults, each as strace's option ``inject`` takes it.
            setting: where and how it runs.
            with_paths: tell the paths of descriptors.
        """
        with self._started(arguments, setting) as pid, self._strace(pid, inject, with_paths=with_paths) as log:
            finished = self._finish(pid, setting)
        return Finished(finished.status, finished.output, finished.errors, log.read_text(), finished.survivors)

    @contextlib.contextmanager
    def _started(self, arguments: Sequence[str], setting: Setting) -> Iterator[int]:
        request = {
            "arguments": list(arguments),
            "output": self._path("output"),
            "errors": self._path("errors"),
            "directory": setting.directory,
            "step_nbytes": setting.step_nbytes,
            "num_files": setting.num_files,
        }
        self._write(json.dumps(request))
        pid = int(self._read())
        try:
            yield pid
        finally:
            for name in ("output", "errors"):
                Path(self._path(name)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _strace(self, pid: int, inject: Sequence[str], *, with_paths: bool) -> Iterator[Path]:
        log = Path(self._path("trace"))
        names = sorted({fault.split(":")[0] for fault in inject}) or [CALLS]
        command = ["strace", "-f", "-s", "0", "-o", str(log), "-p", str(pid), f"--trace={','.join(names)}"]
        options = [*(["-y"] if with_paths else []), *(word for fault in inject for word in ("-e", f"inject={fault}"))]
        with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
            attached = _pipe(process.stderr).readline()
            assert "attached" in attached, attached
            yield log
            try:
                process.wait(_LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def _finish(self, pid: int, setting: Setting) -> Finished:
        """Let a command begin, and wait until it is done; one that takes too long is killed."""
        watchdog = threading.Timer(setting.seconds, os.killpg, (pid, signal.SIGKILL))
        watchdog.start()
        self._write("")
        setting.meanwhile(pid)
        status = int(self._read())
        watchdog.cancel()
        output, errors = (Path(self._path(name)).read_text() for name in ("output", "errors"))
        survivors = _survivors(pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        return Finished(status, output, errors, survivors=survivors)

    def _path(self, name: str) -> str:
        return f"{self._folder.name}/{name}"

    def _write(self, line: str) -> None:
        pipe = _pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()

    def _read(self) -> str:
        return _pipe(self._process.stdout).readline()


def _survivors(group: int) -> tuple[int, ...]:
    """Return what is left of a process group after a while, in which its members notice that they are orphans."""
    last = time.monotonic() + 5
    while (found := group_members(group)) and time.monotonic() < last:
        time.sleep(0.02)
    return tuple(found)


def group_members(group: int) -> list[int]:
    """Return the processes of a process group that are there, zombies left out."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(status.parent.name))
    return found


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
