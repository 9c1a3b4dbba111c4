"""Having steps done: here, one after the other, or by an executor, whose results are taken as they come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from tfbundle.streaming.pipeline import StepContext, StepResult
from tfbundle.streaming.steps import AnyStep, Batch, Task

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

Results = Generator[tuple[Task, StepResult], None, None]
"""Tasks and what came of them; to be closed."""

_Task = TypeVar("_Task", AnyStep, Batch)

_PATIENCE_SECONDS = 60.0  # for steps that have begun when a run is given up; they take a second


def run_steps(
    do: Callable[[StepContext, _Task], StepResult],
    context: StepContext,
    steps: Iterable[_Task],
    executor: Executor | None,
    num_workers: int,
    *,
    is_borrowed: bool = False,
) -> Results:
    """Do all steps of a plan and yield their results as they come.

    When the iterator is closed before its end, a borrowed executor forgets steps that have not begun, and those that
    have are waited for, where it tells them apart. One of our own does that when it is shut down: only its own thread
    may cancel steps safely while workers die.

    Args:
        do: does one.
        context: where the files are.
        steps: what to do.
        executor: does the steps; None to do them here, one after the other.
        num_workers: how many steps to keep waiting at a time, twice over.
        is_borrowed: whether the executor lives on.
    """
    if executor is None:
        for step in steps:
            yield step, do(context, step)
        return
    done: SimpleQueue[Future[StepResult]] = SimpleQueue()
    waiting: dict[Future[StepResult], Task] = {}
    try:
        for step in steps:
            future = executor.submit(do, context.narrow(step), step)
            waiting[future] = step
            future.add_done_callback(done.put)
            if len(waiting) >= 2 * num_workers:
                yield _take(done, waiting)
        while waiting:
            yield _take(done, waiting)
    finally:
        if is_borrowed:
            _give_up(waiting)


def _take(done: SimpleQueue[Future[StepResult]], waiting: dict[Future[StepResult], Task]) -> tuple[Task, StepResult]:
    future = done.get()
    return waiting.pop(future), future.result()


def _give_up(futures: Collection[Future[StepResult]]) -> None:
    """Let steps that nobody waits for any more not begin, or end."""
    if futures:
        from concurrent.futures import wait

        wait([future for future in futures if not future.cancel()], _PATIENCE_SECONDS)
