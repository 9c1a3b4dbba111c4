"""``tfbundle stats SRC``."""

from __future__ import annotations

import argparse
from typing import Any

from tfbundle.cli.cluster import on_cluster
from tfbundle.cli.options import add_report_options, add_worker_options, read_progress
from tfbundle.cli.report import check_place, tell
from tfbundle.cli.selection import PATTERN_HELP, add_selection_options, read_selection
from tfbundle.cli.treatment import add_rule_option, add_target_options, read_policy

_DESCRIPTION = """\
Tell what a cast would do to the numbers of a checkpoint, without writing anything: values that
would overflow, become zero or lose precision, and how large the errors are. Reads the tensors
that would be cast, and verifies their checksums."""

_EPILOG = f"""\
{PATTERN_HELP}

examples:
  tfbundle stats model.ckpt-1000
  tfbundle stats model.ckpt-1000 --to bfloat16 --only 're:kernel$' --json"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "stats",
        parents=[common],
        help="tell what a cast would do to the numbers",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to look at")
    add_target_options(parser.add_argument_group("dtypes"), default="float16")
    which = parser.add_argument_group("which tensors")
    add_selection_options(which)
    add_rule_option(which)
    add_worker_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--counts", action="store_true", help="count only, which takes less time; measure no errors")
    add_report_options(output)
    parser.set_defaults(run=run, on_overflow="inf")


def run(options: argparse.Namespace) -> int:
    """Look at the numbers, and print the report."""
    from tfbundle.conversion.survey import stats
    from tfbundle.streaming.run import RunOptions

    check_place(options)
    run_options = RunOptions(jobs=options.jobs, measure=not options.counts, progress=read_progress(options))
    with on_cluster(run_options, options) as run_options:
        report = stats(
            options.source, policy=read_policy(options), selection=read_selection(options), options=run_options
        )
    tell(report, options)
    return 0
