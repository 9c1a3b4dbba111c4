"""Steps done by an executor of the caller's, whose workers may be other processes or on other machines.

A worker gets a step and the paths it needs, reads and writes the shared storage itself, and returns checksums and
counts. Everything that must happen once is done here: staging, judging, publishing. A step writes the same bytes to the
same place of a file that is there already, so that it may be done again, by several workers at the same time, or by one
that everybody believes dead: while the file is staged, what it writes is right; afterwards it finds no such file, or
writes into the published one what it holds.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tfbundle.errors import BundleError
from tfbundle.streaming.blocks import BLOCK_NBYTES, BlockFile, Edge, iter_stretches
from tfbundle.streaming.dispatch import Results, run_steps
from tfbundle.streaming.pipeline import StepContext, StepResult, open_target, run_step, run_step_into
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.steps import AnyStep, Write, iter_steps

if TYPE_CHECKING:
    from concurrent.futures import Executor

LEAST_STEP_NBYTES = 64 << 20
"""Source bytes of a step: an executor on a network takes milliseconds for each."""
MOST_STEPS = 4096
"""Of a plan, about: a scheduler hands out one after the other."""
DEFAULT_NUM_WORKERS = 128
"""For how many workers enough steps wait, where nobody says how many there are."""

_STEP_UNIT = 1 << 20
_MOST_CHARACTERS = 300  # of what an executor says
_WHY_CANCELLED = "it was shut down, or lost its scheduler"


def run_steps_elsewhere(context: StepContext, plan: Plan, executor: Executor, num_workers: int | None) -> Results:
    """Do all steps of a plan and yield their results as they come; what is in memory already is written here.

    Args:
        context: where the files are.
        plan: what to do.
        executor: does the steps; it is not shut down.
        num_workers: how many workers it has; None where that is not known.

    Raises:
        OSError: the executor, or a worker, failed.
    """
    plan = replace(plan, step_nbytes=choose_step_nbytes(plan.source_nbytes))
    distant = make_absolute(context)
    writes: list[AnyStep] = []

    def iter_distant() -> Iterator[AnyStep]:
        for step in iter_steps(plan):
            if isinstance(step, Write):
                writes.append(step)
            else:
                yield step

    do = run_step if _works_here(executor) else run_step_elsewhere
    results = run_steps(do, distant, iter_distant(), executor, num_workers or DEFAULT_NUM_WORKERS, is_borrowed=True)
    with closing(blaming_executor(results)) as found:
        for step, result in found:
            _write_edges(context, step.target_shard, result.edges)
            yield step, result
    yield from run_steps(run_step, context, writes, None, 1)


def choose_step_nbytes(nbytes: int) -> int:
    """Return how many source bytes a step takes, so that there are neither too many nor too small ones.

    Example:
        >>> choose_step_nbytes(10**9) >> 20, choose_step_nbytes(10**12) >> 20
        (64, 233)
    """
    return max(LEAST_STEP_NBYTES, -(-nbytes // (MOST_STEPS * _STEP_UNIT)) * _STEP_UNIT)


def _works_here(executor: Executor) -> bool:
    """Tell whether all workers are surely on this machine, which sees what they write as they do."""
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    return isinstance(executor, (ThreadPoolExecutor, ProcessPoolExecutor))


def make_absolute(context: StepContext) -> StepContext:
    """Return the context with paths that do not depend on where a worker was started."""
    absolute = context.storage.absolute
    sources, targets = (
        {shard: absolute(path) for shard, path in paths.items()} for paths in (context.sources, context.targets)
    )
    return context._replace(sources=sources, targets=targets)


def run_step_elsewhere(context: StepContext, step: AnyStep) -> StepResult:
    """Do one step on a machine of its own: blocks that are shared with other steps are left to the coordinator.

    Raises:
        FormatError: the source is too short, or a string payload is malformed.
        OSError: reading or writing failed; the message names the machine.
    """
    with naming_machine():
        return _run_step_in_blocks(context, step) if context.targets else run_step(context, step)


def _run_step_in_blocks(context: StepContext, step: AnyStep) -> StepResult:
    with closing(open_target(context, step.target_shard)) as file:
        target = BlockFile(file, iter_stretches(step), BLOCK_NBYTES)
        result = run_step_into(target, context, step)
        target.sync()
        return result._replace(edges=tuple(target.edges))


@contextmanager
def naming_machine() -> Iterator[None]:
    """Let errors about files say whose view that is."""
    try:
        yield
    except FileNotFoundError as error:
        reason = (
            f"a worker on {socket.gethostname()} finds no such file; workers need the same directories under the same "
            "paths, on storage that all machines share"
        )
        raise OSError(errno.ENOENT, reason, error.filename) from error
    except OSError as error:
        reason = f"{error.strerror or error}, on {socket.gethostname()}"
        raise OSError(error.errno, reason, error.filename) from error


def _write_edges(context: StepContext, shard_id: int, edges: tuple[Edge, ...]) -> None:
    if edges:
        with closing(open_target(context, shard_id)) as target:
            for edge in edges:
                target.write_at(edge.offset, edge.data)


def blaming_executor(results: Results) -> Results:
    """Yield results; what no step raises is the executor's failure.

    Raises:
        ChildProcessError: such a failure.
    """
    try:
        yield from results
    except (BundleError, OSError, MemoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split()).partition(". ")[0][:_MOST_CHARACTERS] or _WHY_CANCELLED
        reason = f"the executor did not do all steps, and nothing was published: {type(error).__name__}: {said}"
        raise ChildProcessError(reason) from error
