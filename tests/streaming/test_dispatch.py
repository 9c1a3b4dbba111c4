from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.handmade import HandmadeBundle, floats
from tests.support.steps import Plain, prepare, to_plain
from tfbundle.streaming.dispatch import run_steps
from tfbundle.streaming.pipeline import StepContext, run_step
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.steps import iter_steps


def run_all(context: StepContext, plan: Plan, executor: Executor | None) -> dict[int, Plain]:
    steps = list(iter_steps(plan))
    numbers = {id(step): number for number, step in enumerate(steps)}
    results = run_steps(run_step, context, steps, executor, 2)
    return {numbers[id(step)]: to_plain(result) for step, result in results}


def test_same_results_from_an_executor(tmp_path: Path) -> None:
    context, plan = prepare(HandmadeBundle([floats("w", np.arange(100))]), tmp_path, 16)
    alone = run_all(context, plan, None)
    assert len(alone) == 25
    with ThreadPoolExecutor(2) as executor:
        assert run_all(context, plan, executor) == alone


def test_few_steps_wait_at_a_time(tmp_path: Path) -> None:
    context, plan = prepare(HandmadeBundle([floats("w", np.arange(100))]), tmp_path, 16)
    submitted = 0

    class Counting(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **named: Any) -> Any:
            nonlocal submitted
            submitted += 1
            return super().submit(*arguments, **named)

    with Counting(1) as executor:
        results = run_steps(run_step, context, iter_steps(plan), executor, 1)
        next(results)
        assert submitted <= 3
        results.close()
    assert submitted <= 3


class Hanging(Executor):
    """Does its first task at once, and no other."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        self.futures.append(Future())
        if len(self.futures) == 1:
            self.futures[0].set_result(function(*arguments, **named))
        return self.futures[-1]


@pytest.mark.parametrize("is_borrowed", [False, True])
def test_steps_of_a_borrowed_executor_are_cancelled(tmp_path: Path, is_borrowed: bool) -> None:
    """Those of one of our own when it is shut down, by its own thread, which may be failing them meanwhile."""
    context, plan = prepare(HandmadeBundle([floats("w", np.arange(100))]), tmp_path, 16)
    executor = Hanging()
    results = run_steps(run_step, context, iter_steps(plan), executor, 1, is_borrowed=is_borrowed)
    next(results)
    results.close()
    assert [future.cancelled() for future in executor.futures] == [False, is_borrowed]
