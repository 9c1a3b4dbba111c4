"""``tfbundle salvage SRC DST``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.cluster import on_cluster
from tfbundle.cli.options import add_layout_options, add_output_options, add_run_options, read_layout, read_run_options
from tfbundle.cli.output import escape, format_nbytes, plural, print_json
from tfbundle.cli.status import DAMAGED, DONE
from tfbundle.cli.verify import damage_line

if TYPE_CHECKING:
    from tfbundle.conversion.salvage import SalvageReport

_DESCRIPTION = """\
Write the tensors of a damaged checkpoint that are sound, byte for byte, and list the others with
the reason: bytes that do not match their checksum, data files that are too short or missing,
damaged entries or blocks of the index. A partitioned tensor is lost with any of its slices.

Exit status 0 if all was sound, 1 if something is lost and the rest was written, 4 if nothing is
left; then nothing is written."""

_EPILOG = """\
examples:
  tfbundle salvage broken/model.ckpt-1000 saved/model.ckpt-1000
  tfbundle salvage broken/ saved/ --dry-run"""

_MOST_LINES = 20


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "salvage",
        parents=[common],
        help="save what is sound of a damaged checkpoint",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("source", metavar="SRC", help="the damaged checkpoint")
    parser.add_argument("target", metavar="DST", help="where the result goes: a prefix, or a directory")
    how = parser.add_argument_group("how")
    add_layout_options(how)
    add_run_options(how, "say what would be saved; read everything, write nothing")
    add_output_options(parser.add_argument_group("output"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Salvage, and print the report."""
    from tfbundle.conversion.salvage import salvage

    with on_cluster(read_run_options(options), options) as run_options:
        report = salvage(options.source, options.target, layout=read_layout(options), options=run_options)
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        _print_report(report)
    return DONE if report.ok else DAMAGED


def _print_report(report: SalvageReport) -> None:
    verb = "would write" if report.dry_run else "wrote"
    size = f"{plural(report.num_tensors, 'tensor')}, {format_nbytes(report.nbytes)}"
    print(f"{verb} {escape(report.target)}: {size} in {plural(report.num_shards, 'shard')}")
    if report.ok:
        print("nothing is lost: every checksum of the source matches")
    for message in report.lost_blocks:
        print(f"lost: tensors of unknown names: {escape(message)}")
    if report.lost:
        print(f"lost: {plural(len(report.lost), 'tensor')}")
    for damage in report.lost[:_MOST_LINES]:
        print(f"  {damage_line(damage)}")
    if len(report.lost) > _MOST_LINES:
        print(f"  and {plural(len(report.lost) - _MOST_LINES, 'more tensor')}; --json lists them all")
    if report.hint:
        print(f"likely cause: {escape(report.hint)}")
    for note in report.notes:
        print(f"note: {escape(note)}")
