"""The command line: one module a verb, with ``add_parser`` and ``run``; ``main`` turns errors into exit statuses."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from tfbundle.cli.parser import parse_options
from tfbundle.cli.status import (
    INTERRUPTED,
    PIPE_CLOSED,
    TERMINATED,
    USAGE,
    explain_error,
    status_of,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: without the program's name; those of the process by default.

    Example:
        >>> main(["ls", "no/such/checkpoint"])
        3
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name must never fail to print
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse_options(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # or numpy starts threads that nothing here needs
    try:
        previous = signal.signal(signal.SIGTERM, _raise_exit)
    except ValueError:
        previous = None  # not in the main thread
    try:
        status: int = options.run(options)
        if sys.stdout is not None:  # closed by who started us
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_output()
        return PIPE_CLOSED
    except Exception as error:
        found = status_of(error)
        if options.debug or found is None:
            raise
        hint = f"; tfbundle {options.verb} --help tells more" if found == USAGE else ""
        print(f"tfbundle: {explain_error(error)}{hint}", file=sys.stderr)
        _give_up_output()
        return found
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
    return status


def _give_up_output() -> None:
    """Let the flush at exit succeed where standard output takes nothing any more; it has been told already."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _raise_exit(_signal: int, _frame: FrameType | None) -> None:
    """Leave by way of every ``finally``, so that temporary files are removed."""
    sys.exit(TERMINATED)
