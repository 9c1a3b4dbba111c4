"""Times what an executor takes for a task, and what two worker processes of Dask gain over one.

Runs as ``python -m tests.benchmarks.worker_costs ROUNDS ELEMENTS`` and prints samples as JSON. Tasks are steps whose
worker does nothing; the gain is that of ``halve``, with source and target in the page cache.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import numpy as np

import tfbundle
from tests.benchmarks.contenders import DASK_TASK, HERE_1, ON_1, ON_2, PROCESS_TASK, THREAD_TASK
from tests.benchmarks.inputs import build
from tests.benchmarks.measure import claim_memory
from tests.benchmarks.sampling import Sample, sample, tell
from tests.benchmarks.sizes import KIB, MIB
from tfbundle.storage.local import LocalStorage
from tfbundle.streaming.dispatch import run_steps
from tfbundle.streaming.pipeline import StepContext, StepResult
from tfbundle.streaming.steps import AnyStep, Run, Step, Transform
from tfbundle.streaming.workspace import Treatment

_TENSORS_OF_A_STEP = 8


def do_nothing(context: StepContext, step: AnyStep) -> StepResult:
    """Return what a step returns, roughly, without having done it."""
    return StepResult([], [], [], ())


def run_tasks(executor: Executor, tasks: int) -> None:
    """Have so many steps done that are nothing."""
    sizes = np.full(_TENSORS_OF_A_STEP, 8 * MIB)
    step = Step(0, 0, (Run(np.arange(_TENSORS_OF_A_STEP), sizes, 0, 0, Transform()),))
    context = StepContext(LocalStorage(), {0: "/data/source"}, {0: "/data/target"}, Treatment())
    for _ in run_steps(do_nothing, context, [step] * tasks, executor, 2):
        pass


def halve(prefix: str, target: str, options: tfbundle.RunOptions) -> Callable[[], object]:
    """Return a call that halves a checkpoint."""
    return lambda: tfbundle.halve(prefix, target, options=options)


def run(rounds: int, elements: int) -> list[Sample]:
    """Return all samples: of seconds for a task, and of seconds for a checkpoint."""
    distributed: Any = import_module("distributed")
    tasks, nbytes = max(4, elements // 1024), elements * 4 * KIB
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        processes = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
        threads = stack.enter_context(ThreadPoolExecutor(2))
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder
        )
        client = stack.enter_context(distributed.Client(stack.enter_context(cluster)))
        both = client.get_executor()
        one = client.get_executor(workers=[next(iter(client.nthreads()))])
        pools = {THREAD_TASK: threads, PROCESS_TASK: stack.enter_context(processes), DASK_TASK: both}
        calls = {name: lambda pool=pool: run_tasks(pool, tasks) for name, pool in pools.items()}
        samples = sample(calls, tasks, rounds, "a task")
        prefix, target = os.path.join(folder, "model"), os.path.join(folder, "half")
        build("many", prefix, nbytes, 100)
        claim_memory(nbytes)
        runs = {
            HERE_1: tfbundle.RunOptions("replace", jobs=1),
            ON_1: tfbundle.RunOptions("replace", executor=one),
            ON_2: tfbundle.RunOptions("replace", executor=both),
        }
        samples += sample(
            {name: halve(prefix, target, options) for name, options in runs.items()}, 1, rounds, "a checkpoint"
        )
        return samples


if __name__ == "__main__":
    tell(run(int(sys.argv[1]), int(sys.argv[2])))
