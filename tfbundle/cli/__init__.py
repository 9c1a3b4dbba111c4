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
from tfbundle.cli.streams import complain, give_up_streams, prepare_streams, print_traceback


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: without the program's name; those of the process by default.

    Example:
        >>> main(["ls", "no/such/checkpoint"])
        3
    """
    prepare_streams()
    if arguments is None:  # a process of its own
        sys.excepthook = print_traceback
        arguments = sys.argv[1:]
    options = parse_options(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # or numpy starts threads that nothing here needs
    try:
        previous = signal.signal(signal.SIGTERM, _raise_exit)
    except ValueError:
        previous = None  # not in the main thread
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        give_up_streams()
        return PIPE_CLOSED
    except Exception as error:
        found = status_of(error)
        if options.debug or found is None:
            raise
        hint = f"; tfbundle {options.verb} --help tells more" if found == USAGE else ""
        complain(f"tfbundle: {explain_error(error)}{hint}")
        return found
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
    return status


def _raise_exit(_signal: int, _frame: FrameType | None) -> None:
    """Leave by way of every ``finally``, so that temporary files are removed."""
    sys.exit(TERMINATED)
