"""A cluster of processes on this machine: a scheduler, and workers with nannies, which start anew whoever dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.support.processes import environment

PATIENCE_SECONDS = 60


class Cluster:
    """A running cluster.

    Args:
        folder: for its files.
        variables: of the environment of its workers.

    Attributes:
        address: of the scheduler.
        folder: where every worker notes itself.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self._variables = variables
        self._scheduler_file = folder / "scheduler.json"
        self._stack = ExitStack()
        self._start("scheduler", "--scheduler-file", str(self._scheduler_file), "--host", "127.0.0.1", "--port", "0")
        wait_until(lambda: self._scheduler_file.exists() and self._scheduler_file.read_text().rstrip().endswith("}"))
        self.address: str = json.loads(self._scheduler_file.read_text())["address"]

    def add_workers(self, number: int, *before: str) -> None:
        """Start workers, in another directory than anybody else; ``before`` are words before the command."""
        expected = len(self.pids()) + number
        for _ in range(number):
            preload = str(Path(__file__).with_name("preload.py"))
            options = ["--nthreads", "1", "--local-directory", str(self.folder), "--preload", preload]
            self._start("worker", self.address, *options, before=before)
        wait_until(lambda: len(self.pids()) >= expected)

    def _start(self, *words: str, before: tuple[str, ...] = ()) -> None:
        """Start a process that is ended with the cluster."""
        log = self._stack.enter_context((self.folder / f"{words[0]}.log").open("ab"))
        command = [*before, sys.executable, "-m", "dask", *words, "--no-dashboard"]
        variables = environment(TFBUNDLE_TEST_FOLDER=str(self.folder), **self._variables)
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", env=variables)
        self._stack.callback(end, process)

    def pids(self) -> list[int]:
        """Return the processes of the workers that live, not those of their nannies."""
        pids = [int(path.suffix[1:]) for path in self.folder.glob("worker.*") if path.suffix != ".log"]
        return sorted(pid for pid in pids if is_alive(pid))

    def slow_down(self, seconds: float) -> None:
        """Let workers pause before each window that they write."""
        (self.folder / "pause.new").write_text(str(seconds))
        (self.folder / "pause.new").rename(self.folder / "pause")

    def stop(self) -> None:
        """End all processes."""
        self._stack.close()


def is_alive(pid: int) -> bool:
    """Tell whether a process runs: a dead one may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, gently at first."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(condition: object, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a function without arguments returns something true."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


@contextmanager
def running_cluster(
    folder: Path, num_workers: int, variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Cluster]:
    """Give a cluster with so many workers, of one thread each."""
    cluster = Cluster(folder, variables)
    try:
        cluster.add_workers(num_workers)
        yield cluster
    finally:
        cluster.stop()


def steps_done(folder: Path) -> int:
    """Return how many steps the workers of a cluster have begun."""
    path = folder / "steps"
    return os.path.getsize(path) if path.exists() else 0
