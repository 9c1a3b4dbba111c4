"""Who does the steps of a plan: this thread alone, processes, or threads.

Processes, where they can be had by fork: on two cores they take 0.51 to 0.63 times as long as one worker, threads 0.70
to 0.87 times. The cast is made of array operations of some fifty microseconds each; after every one of them a thread
has to ask for the interpreter again, and waits for whoever has it. A forked process shares what is in memory already,
so that it costs a few milliseconds, and a few MiB for its buffers.

Threads, where forking is not safe: beside other threads, whose locks the child would inherit, be they Python's or of
libraries (those of numpy's linear algebra apart, which knows about forks); in a process that may have no children; on
systems other than Linux.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor

MAX_DEFAULT_JOBS = 8
"""More are of use only where storage is faster than any one disk."""

_LEAST_STEPS = 2  # for each worker, so that starting it pays


def default_jobs() -> int:
    """Return how many workers there are by default: one for each core that this process may use, up to eight.

    Example:
        >>> 1 <= default_jobs() <= MAX_DEFAULT_JOBS
        True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_DEFAULT_JOBS)


def choose_num_workers(jobs: int | None, nbytes: int, step_nbytes: int) -> int:
    """Return how many workers a plan is worth.

    Args:
        jobs: the most there may be; None for the default.
        nbytes: source bytes of the plan.
        step_nbytes: source bytes of a step.

    Example:
        >>> [choose_num_workers(4, nbytes, 32) for nbytes in (0, 127, 128, 1000)]
        [1, 1, 2, 4]
    """
    return max(1, min(default_jobs() if jobs is None else jobs, nbytes // (_LEAST_STEPS * step_nbytes)))


@contextmanager
def hired_workers(num_workers: int) -> Iterator[Executor | None]:
    """Give an executor with that many workers; None where this thread is to do everything itself.

    When the block is left by an error or an interrupt, steps that have not begun are forgotten, and those that have
    are waited for.

    Raises:
        ChildProcessError: a worker process died.
    """
    if num_workers == 1:
        yield None
        return
    from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

    executor: Executor | None = None
    try:
        with (
            _signals_held_back() as previous
        ):  # what they raise would be lost in a fork, or before the executor is known
            executor = _fork_processes(num_workers, previous) if can_fork() else ThreadPoolExecutor(num_workers)
        yield executor
    except BrokenExecutor as error:
        raise ChildProcessError("a worker process was killed, perhaps for want of memory; try --jobs 1") from error
    finally:
        if executor is not None:
            executor.shutdown(cancel_futures=True)


def can_fork() -> bool:
    """Tell whether worker processes can be forked off here and now."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    if len(os.listdir("/proc/self/task")) > (os.cpu_count() or 1):  # numpy's own are one for each core, at most
        return False
    import multiprocessing

    return not multiprocessing.current_process().daemon


def _fork_processes(num_workers: int, held_back: set[int]) -> Executor:
    """Return forked workers; ``held_back`` are the signals that they are to hold back."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    executor = ProcessPoolExecutor(num_workers, multiprocessing.get_context("fork"), _begin_work, (held_back,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which were looked for
        executor.submit(os.getpid)  # forks now, before there are other threads
    return executor


@contextmanager
def _signals_held_back() -> Iterator[set[int]]:
    """Let signals that interrupt wait until the block is left; give those that waited already."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP, signal.SIGTERM))
    try:
        yield set(map(int, previous))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _begin_work(held_back: set[int]) -> None:
    """Make a forked process a quiet worker: it leaves interrupts to its parent, and does not survive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
    gc.disable()  # what is shared with the parent would be copied when it is looked at
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
