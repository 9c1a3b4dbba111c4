"""An executor like those on a network: what it is given and what it returns is pickled on the way."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

COORDINATOR = "coordinator"

_here = threading.local()


def machine() -> str:
    """Return on which machine the calling code runs, so to speak: every task has one of its own."""
    name: str = getattr(_here, "name", COORDINATOR)
    return name


class Elsewhere(Executor):
    """Runs tasks in threads, and pickles them, their results and their errors.

    Args:
        attempt: does a task, given as a function without arguments; once, unless it has reasons not to.

    Attributes:
        tasks: every task, pickled.
        attempts: futures of the tasks.
    """

    def __init__(self, attempt: Callable[[Callable[[], Any]], Any] = lambda task: task()) -> None:
        self.tasks: list[bytes] = []
        self.attempts: list[Future[Any]] = []
        self._attempt = attempt
        self._pool = ThreadPoolExecutor(2)
        self._numbers = itertools.count()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Have a function called."""
        self.tasks.append(pickle.dumps((function, arguments, named)))
        self.attempts.append(self._pool.submit(self._run, self.tasks[-1]))
        return self.attempts[-1]

    def _run(self, task: bytes) -> Any:
        _here.name = f"machine {next(self._numbers)}"
        try:
            return pickle.loads(pickle.dumps(self._attempt(lambda: call(task))))
        except Exception as error:
            raise pickle.loads(pickle.dumps(error)) from None
        finally:
            del _here.name

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def call(task: bytes) -> Any:
    """Do a task once more."""
    function, arguments, named = pickle.loads(task)
    return function(*arguments, **named)
