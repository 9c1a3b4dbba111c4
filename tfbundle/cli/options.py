"""Options that several verbs share, and what they mean in Python."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfbundle.bundle.target import IfExists
    from tfbundle.streaming.layout import Layout
    from tfbundle.streaming.progress import Progress
    from tfbundle.streaming.run import RunOptions


def add_layout_options(parser: Any) -> None:
    """Add the options that say how many data files are written."""
    parser.add_argument("--shards", metavar="N", type=int, help="write N data files (default: as many as there are)")
    parser.add_argument(
        "--max-shard-size",
        metavar="SIZE",
        type=parse_given,
        help="begin another data file where this size, in bytes or such as 2GB or 512MiB, would be exceeded; tensors "
        "are not split (default: no limit)",
    )


_DRY_RUN = "say what would be done; read no payload, write nothing"


def add_run_options(parser: Any, dry_run: str = _DRY_RUN) -> None:
    """Add the options that say how a conversion runs; ``dry_run`` is the help of that option."""
    add_worker_options(parser)
    add_write_options(parser, dry_run)


def add_write_options(parser: Any, dry_run: str = _DRY_RUN) -> None:
    """Add the options of whatever writes a bundle, with one worker or many."""
    parser.add_argument("--force", action="store_true", help="replace a bundle that is at DST already")
    parser.add_argument("--dry-run", action="store_true", help=dry_run)


def add_jobs_option(parser: Any) -> None:
    """Add the option for the number of workers."""
    parser.add_argument(
        "--jobs", metavar="N", type=int, help="number of workers (default: one for each core, 8 at most)"
    )


def add_worker_options(parser: Any) -> None:
    """Add the options that say who does the work."""
    workers = parser.add_mutually_exclusive_group()
    add_jobs_option(workers)
    workers.add_argument(
        "--dask",
        metavar="ADDRESS",
        type=parse_given,
        help="let the workers of a Dask cluster do the work: ADDRESS is that of its scheduler, such as "
        "tcp://10.0.0.1:8786; all of them find SRC and DST under the same paths",
    )


def add_output_options(parser: Any) -> None:
    """Add the options that say what is printed."""
    parser.add_argument("--json", action="store_true", help="print the full report as JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_report_options(parser: Any) -> None:
    """Add the options for what is told of the numbers."""
    add_output_options(parser)
    parser.add_argument(
        "--report",
        metavar="FILE.html",
        type=parse_given,
        help="write the report as a page for browsers, with histograms (measures, too)",
    )


def parse_given(text: str) -> str:
    """Parse what must not be empty, as a variable of a shell may be that was never set.

    Raises:
        ArgumentTypeError: it is.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a value, found nothing")
    return text


def read_layout(options: argparse.Namespace) -> Layout:
    """Return the layout that the options ask for."""
    from tfbundle.streaming.layout import Layout, parse_nbytes

    limit = parse_nbytes(options.max_shard_size) if options.max_shard_size else None
    return Layout(getattr(options, "slices", "join"), options.shards, limit, getattr(options, "graph", "rewrite"))


def read_run_options(options: argparse.Namespace) -> RunOptions:
    """Return how the options ask a conversion to run."""
    from tfbundle.streaming.run import RunOptions

    if_exists: IfExists = "replace" if options.force else "error"
    return RunOptions(
        if_exists,
        getattr(options, "jobs", None),
        options.dry_run,
        getattr(options, "measure", False) or bool(getattr(options, "report", None)),
        read_progress(options),
    )


def read_progress(options: argparse.Namespace) -> Progress:
    """Return what tells the user how far a run has come; nothing where other output is asked for."""
    from tfbundle.cli.progress import terminal_progress

    return terminal_progress(quiet=options.quiet or options.json)
