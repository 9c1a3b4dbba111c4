"""``tfbundle merge A B… DST``."""

from __future__ import annotations

import argparse
from typing import Any

from tfbundle.cli.cluster import on_cluster
from tfbundle.cli.options import add_layout_options, add_output_options, add_run_options, read_layout, read_run_options
from tfbundle.cli.output import escape, format_nbytes, plural, print_json

_DESCRIPTION = """\
Unite checkpoints that hold different tensors, or different slices of the same tensors, as
TensorFlow does at the end of a sharded save. Every checksum is verified; the inputs stay as they
are, unless --move is given. A directory with the parts of an unfinished save (…_temp/part-…)
stands for all of them."""

_EPILOG = """\
examples:
  tfbundle merge encoder.ckpt decoder.ckpt both.ckpt
  tfbundle merge model.ckpt-2000_temp model.ckpt-2000 --move"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "merge",
        parents=[common],
        help="unite checkpoints",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("sources", metavar="SRC", nargs="+", help="the checkpoints to unite")
    parser.add_argument("target", metavar="DST", help="where the result goes: a prefix, or a directory")
    files = parser.add_mutually_exclusive_group()
    files.add_argument(
        "--link", dest="files", action="store_const", const="link", help="hard-link the data files instead of copying"
    )
    files.add_argument(
        "--move",
        dest="files",
        action="store_const",
        const="move",
        help="take the data files over and remove the inputs, as TensorFlow does",
    )
    add_layout_options(parser)
    add_run_options(parser)
    add_output_options(parser)
    parser.set_defaults(run=run, files="copy", takes_many=True)


def run(options: argparse.Namespace) -> int:
    """Merge, and print the report."""
    from tfbundle.conversion.merge import merge

    with on_cluster(read_run_options(options), options) as run_options:
        report = merge(
            options.sources, options.target, files=options.files, layout=read_layout(options), options=run_options
        )
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        verb = "would write" if options.dry_run else "wrote"
        size = f"{plural(report.num_tensors, 'tensor')}, {format_nbytes(report.nbytes)}"
        origin = f"{plural(report.num_shards, 'shard')}, from {plural(len(report.sources), 'checkpoint')}"
        print(f"{verb} {escape(report.target)}: {size} in {origin}")
        for note in report.notes:
            print(f"note: {escape(note)}")
    return 0
