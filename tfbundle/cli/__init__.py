"""The command line: one module a verb, with ``add_parser`` and ``run``; ``main`` turns errors into exit statuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tfbundle.cli.process import (
    Interrupted,
    allow_many_files,
    give_up_output,
    ignore_signals,
    interruptible,
    prepare_output,
)
from tfbundle.cli.status import INTERRUPTED, PIPE_CLOSED, USAGE, explain_error, status_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: without the program's name; those of the process by default.

    Example:
        >>> main(["ls", "no/such/checkpoint"])
        3
    """
    with interruptible():
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        except Interrupted as interrupt:
            return interrupt.status
        except KeyboardInterrupt:
            return INTERRUPTED


def run_process() -> None:
    """Run the command that the process was started for, and end it."""
    allow_many_files()
    status = main()
    ignore_signals()
    sys.exit(status)


def _run(arguments: Sequence[str]) -> int:
    from tfbundle.cli.parser import parse_options

    prepare_output()
    options = parse_options(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # or numpy starts threads that nothing here needs
    try:
        status: int = options.run(options)
        if sys.stdout is not None:  # closed by who started us
            sys.stdout.flush()
    except BrokenPipeError:
        give_up_output()
        return PIPE_CLOSED
    except Exception as error:
        found = status_of(error)
        if options.debug or found is None:
            raise
        hint = f"; tfbundle {options.verb} --help tells more" if found == USAGE else ""
        print(f"tfbundle: {explain_error(error)}{hint}", file=sys.stderr)
        give_up_output()
        return found
    return status
