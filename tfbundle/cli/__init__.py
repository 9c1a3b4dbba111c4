"""The command line: one module a verb, with ``add_parser`` and ``run``; ``main`` turns errors into exit statuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tfbundle.cli.process import Interrupted, allow_many_files, ignore_signals, interruptible
from tfbundle.cli.streams import complain, give_up_streams, prepare_streams, print_traceback


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: without the program's name; those of the process by default.

    Example:
        >>> main(["ls", "no/such/checkpoint"])
        3
    """
    from tfbundle.cli.status import INTERRUPTED

    with interruptible():
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        except Interrupted as interrupt:
            return interrupt.status
        except KeyboardInterrupt:
            return INTERRUPTED


def run_process() -> None:
    """Run the command that the process was started for, and end it."""
    sys.excepthook = print_traceback
    allow_many_files()
    status = main()
    ignore_signals()
    sys.exit(status)


def _run(arguments: Sequence[str]) -> int:
    from tfbundle.cli.parser import parse_options
    from tfbundle.cli.status import PIPE_CLOSED, USAGE, explain_error, status_of

    prepare_streams()
    options = parse_options(arguments)
    if not getattr(options, "hosts_script", False):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # or numpy starts threads that nothing here needs
    try:
        status: int = options.run(options)
        sys.stdout.flush()
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
    return status
