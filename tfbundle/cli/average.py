"""``tfbundle average A B… DST``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.options import (
    add_layout_options,
    add_output_options,
    add_write_options,
    read_layout,
    read_run_options,
)
from tfbundle.cli.output import escape, format_nbytes, plural, print_json

if TYPE_CHECKING:
    from tfbundle.blending.average import AverageReport

_DESCRIPTION = """\
Write the mean of checkpoints of one model, such as the last ones of a training run. Floats of any
width are summed in float64, divided by the number of checkpoints and rounded once to their own
dtype. Everything else (steps, strings, object graphs) is copied where all agree, and taken from
the last checkpoint where they do not, which is noted.

All must have the same names, dtypes and shapes. Every checksum is verified; nothing is left
behind if something fails."""

_EPILOG = """\
examples:
  tfbundle average model.ckpt-800 model.ckpt-900 model.ckpt-1000 mean/
  tfbundle average training/ mean/model.ckpt --last 5
  tfbundle average left.ckpt right.ckpt mean.ckpt --integers agree"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "average",
        parents=[common],
        help="the mean of several checkpoints",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "sources", metavar="SRC", nargs="+", help="the checkpoints, two or more; a directory for --last"
    )
    parser.add_argument("target", metavar="DST", help="where the result goes: a prefix, or a directory")
    parser.add_argument(
        "--last",
        metavar="N",
        type=int,
        help="average the N newest checkpoints that the `checkpoint` file of the directory SRC lists",
    )
    parser.add_argument(
        "--integers",
        choices=("last", "agree"),
        default="last",
        help="what to do where tensors that are no floats differ: last takes those of the last checkpoint; agree "
        "refuses; the object graph of a TF2 checkpoint is the last one's in any case",
    )
    add_layout_options(parser)
    add_write_options(parser)
    add_output_options(parser)
    parser.set_defaults(run=run, takes_many=True)


def run(options: argparse.Namespace) -> int:
    """Average, and print the report."""
    from tfbundle.blending.average import average

    report = average(
        options.sources,
        options.target,
        last=options.last,
        integers=options.integers,
        layout=read_layout(options),
        options=read_run_options(options),
    )
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        print_summary(report)
    return 0


def print_summary(report: AverageReport) -> None:
    """Print a report for people."""
    verb = "would write" if report.dry_run else "wrote"
    means = f"the mean of {plural(len(report.sources), 'checkpoint')}"
    print(f"{verb} {escape(report.target)}: {means}, {format_nbytes(report.nbytes)}")
    print(f"  averaged  {plural(report.num_averaged, 'tensor')}")
    num_copied = report.num_tensors - report.num_averaged
    of_them = f", {len(report.from_last):,} of them from the last since they differ" if report.from_last else ""
    print(f"  copied    {plural(num_copied, 'tensor')}{of_them}")
    for note in report.notes:
        print(f"note: {escape(note)}")
