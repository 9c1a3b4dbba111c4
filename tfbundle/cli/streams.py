"""Standard output and standard error, whatever they are connected to: a pipe that is closed, a full device, nothing."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from types import TracebackType
from typing import TextIO

from tfbundle.cli.output import escape

_STANDARD = (0, 1, 2)
_ERRORS_BEFORE: dict[str, str] = {}  # what each stream did about text it cannot take


def prepare_streams() -> None:
    """Let both take any text, and be there where whoever started this process has closed them.

    A file that is opened while one of the first three descriptors is free would take its place, and get what is meant
    for the terminal.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) in _STANDARD:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 for as long as the process lives
        elif hasattr(stream, "reconfigure"):
            _ERRORS_BEFORE[name] = stream.errors
            stream.reconfigure(errors="backslashreplace")  # a name must never fail to print


def restore_streams() -> None:
    """Let both treat text as they did before ``prepare_streams``, for a script that they then belong to."""
    for name, errors in _ERRORS_BEFORE.items():
        getattr(sys, name).reconfigure(errors=errors)
    _ERRORS_BEFORE.clear()


def give_up_streams() -> None:
    """Let the flush at exit succeed where a stream takes nothing any more."""
    _give_up(sys.stdout)
    _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def complain(line: str) -> None:
    """Print a line on standard error; where that takes nothing, only the exit status is left to tell."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
    give_up_streams()


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback, for ``sys.excepthook``: its message and lines of code may hold names, too."""
    for text in traceback.format_exception(kind, error, trace):
        for line in text.rstrip("\n").split("\n"):
            complain(escape(line))
