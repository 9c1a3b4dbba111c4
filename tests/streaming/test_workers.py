from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.support.handmade import HandmadeBundle, bundle_files, floats, strings
from tests.support.processes import environment, run_script
from tfbundle.streaming.workers import choose_num_workers, default_jobs, hired_workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are threads there")

# What scripts begin with: steps so small that even these checkpoints have many, each done by a worker process.
SMALL_STEPS = """
import functools, os, signal, sys, time
import tfbundle.streaming.planning as planning
import tfbundle.streaming.run as run
from tfbundle.cli import main
planning.plan_conversion = functools.partial(planning.plan_conversion, step_nbytes=64)
command = ["halve", sys.argv[1], sys.argv[2], "--jobs", sys.argv[3], "--quiet"]
"""


@pytest.fixture
def bundle() -> HandmadeBundle:
    values = np.random.default_rng(3).normal(size=1001)
    return HandmadeBundle([strings("s", [b"abc"]), floats("w", values), floats("v", values[:40])])


def start(script: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SMALL_STEPS + script, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), start_new_session=True
    )


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=60)
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize(
    ("jobs", "nbytes", "expected"), [(1, 10**9, 1), (3, 10**9, 3), (3, 0, 1), (3, 255, 1), (3, 256, 2), (8, 1000, 7)]
)
def test_small_plans_have_few_workers(jobs: int, nbytes: int, expected: int) -> None:
    assert choose_num_workers(jobs, nbytes, 64) == expected


def test_default_is_a_worker_for_each_core() -> None:
    assert default_jobs() == min(8, len(os.sched_getaffinity(0)))
    assert choose_num_workers(None, 10**12, 64) == default_jobs()


def test_one_worker_is_none() -> None:
    with hired_workers(1) as executor:
        assert executor is None


def test_threads_beside_other_threads() -> None:
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        with hired_workers(2) as executor:
            assert isinstance(executor, ThreadPoolExecutor)
            assert executor.submit(os.getpid).result() == os.getpid()
    finally:
        stop.set()
        other.join()


def test_threads_beside_those_of_a_library() -> None:
    """Which Python does not know of."""
    script = """
import ctypes, os
from tfbundle.streaming.workers import can_fork
before = can_fork()
sleep, thread = ctypes.CDLL(None).sleep, ctypes.c_ulong()
for _ in range(os.cpu_count()):
    ctypes.CDLL(None).pthread_create(ctypes.byref(thread), None, sleep, ctypes.c_void_p(5))
print(before, can_fork(), flush=True)
os._exit(0)
"""
    assert run_script(script).split() == ["True", "False"]


def test_processes_otherwise() -> None:
    script = """
import os, signal
from tfbundle.streaming.workers import hired_workers
with hired_workers(2) as executor:
    pids = {executor.submit(os.getpid).result() for _ in range(20)}
    handlers = [executor.submit(signal.getsignal, number).result() for number in (signal.SIGINT, signal.SIGTERM)]
assert handlers == [signal.SIG_IGN, signal.SIG_DFL]
assert pids and os.getpid() not in pids
print(len(pids), type(executor).__name__)
"""
    number, name = run_script(script).split()
    assert (int(number) <= 2, name) == (True, "ProcessPoolExecutor")


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_same_bytes_whatever_the_number(bundle: HandmadeBundle, tmp_path: Path, jobs: int) -> None:
    source = bundle.write(tmp_path / "source")
    process = start("sys.exit(main(command))", source, tmp_path / "half", str(jobs))
    assert finish(process) == (0, "", "")
    assert bundle_files(tmp_path / "half") == bundle.halved().files()


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("source"))


def test_error_in_a_worker_is_told_once(bundle: HandmadeBundle, tmp_path: Path) -> None:
    source = bundle.write(tmp_path / "source")
    data = Path(f"{source}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:1] + b"\xee" + data.read_bytes()[2:])  # the checksum of a string's length
    status, output, errors = finish(start("sys.exit(main(command))", source, tmp_path / "half", "2"))
    assert (status, output) == (4, "")
    assert errors.count("\n") == 1
    assert "tensor 's'" in errors
    assert "length checksum does not match" in errors
    assert left_behind(tmp_path) == []


def test_worker_that_is_killed(bundle: HandmadeBundle, tmp_path: Path) -> None:
    script = """
def die(context, step):
    os.kill(os.getpid(), signal.SIGKILL)
run.run_step = die
sys.exit(main(command))
"""
    status, output, errors = finish(start(script, bundle.write(tmp_path / "source"), tmp_path / "half", "2"))
    assert (status, output) == (7, "")
    assert "a worker process was killed" in errors
    assert errors.count("\n") == 1
    assert left_behind(tmp_path) == []


SLOW = """
do_step = run.run_step
def slow(context, step):
    time.sleep(0.05)
    return do_step(context, step)
run.run_step = slow
import tfbundle.streaming.workers as workers
fork = workers._fork_processes
def fork_and_tell(*arguments):
    executor = fork(*arguments)
    print(*executor._processes, flush=True)
    return executor
workers._fork_processes = fork_and_tell
sys.exit(main(command))
"""


INTERRUPTED_AT_ONCE = """
import os, signal, threading
import tfbundle.streaming.workers as workers
executors = []
fork = workers._fork_processes
def fork_and_interrupt(*arguments):
    executors.append(fork(*arguments))
    os.kill(os.getpid(), signal.SIGINT)
    return executors[-1]
workers._fork_processes = fork_and_interrupt
try:
    with workers.hired_workers(2):
        print("begun")
except KeyboardInterrupt:
    print("interrupted", threading.active_count(), executors[0]._shutdown_thread)
"""


def test_interrupt_as_soon_as_there_are_workers() -> None:
    """They are dismissed before the process ends: their executor's thread must not meet the end of the interpreter."""
    assert run_script(INTERRUPTED_AT_ONCE).split() == ["interrupted", "1", "True"]


def are_gone(pids: list[int]) -> bool:
    """Wait up to ten seconds for processes to end."""
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_everything_quietly(bundle: HandmadeBundle, tmp_path: Path, number: signal.Signals) -> None:
    """As from a terminal, which interrupts workers and parent alike; a kill goes to the parent alone."""
    process = start(SLOW, bundle.write(tmp_path / "source"), tmp_path / "half", "2")
    assert process.stdout is not None
    pids = list(map(int, process.stdout.readline().split()))
    time.sleep(0.2)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    status, _, errors = finish(process)
    assert (status, errors) == (128 + number, "")
    assert left_behind(tmp_path) == []
    assert are_gone(pids)


def test_workers_do_not_survive_their_parent(bundle: HandmadeBundle, tmp_path: Path) -> None:
    process = start(SLOW, bundle.write(tmp_path / "source"), tmp_path / "half", "2")
    assert process.stdout is not None
    pids = list(map(int, process.stdout.readline().split()))
    assert len(pids) == 2
    process.kill()
    finish(process)
    assert are_gone(pids)
