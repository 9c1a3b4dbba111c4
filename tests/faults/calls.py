"""Seeing every call of ``os`` that touches files, in this process: to count them, to note them, to stop at one.

The package calls the operating system by way of the module ``os`` alone, but where directories of SavedModels change
places; so that replacing these functions finds every call, without root and without ptrace.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WRITING = (
    "open",
    "close",
    "pwrite",
    "ftruncate",
    "posix_fallocate",
    "fsync",
    "rename",
    "replace",
    "unlink",
    "link",
    "mkdir",
    "rmdir",
)
"""What changes files, and what makes changes durable."""

Arguments = tuple[Any, ...]
Before = Callable[[str, Arguments], None]
After = Callable[[str, Arguments, Any], None]


def _nothing(*_: Any) -> None:
    """Do nothing."""


@contextmanager
def watching(before: Before = _nothing, after: After = _nothing, names: tuple[str, ...] = WRITING) -> Iterator[None]:
    """Call ``before`` with name and arguments of each call, and ``after`` with the result, too, where it succeeds.

    Calls that these make themselves are not seen.
    """
    originals = {name: getattr(os, name) for name in names}
    inside = False

    def wrap(name: str) -> Callable[..., Any]:
        original = originals[name]

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal inside
            if inside:
                return original(*arguments, **options)
            try:
                inside = True
                before(name, arguments)
            finally:
                inside = False
            result = original(*arguments, **options)
            after(name, arguments, result)
            return result

        return call

    for name in names:
        setattr(os, name, wrap(name))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


class Countdown:
    """Does something before the call of a given number, counted from 0."""

    def __init__(self, number: int, action: Callable[[str], None]) -> None:
        self._number = number
        self._action = action
        self.seen = 0

    def __call__(self, name: str, _arguments: Arguments) -> None:
        if self.seen == self._number:
            self.seen += 1  # so that what the action does is not counted again
            self._action(name)
        else:
            self.seen += 1
