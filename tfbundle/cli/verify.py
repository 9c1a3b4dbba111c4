"""``tfbundle verify SRC``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import escape, format_nbytes, plural, print_json
from tfbundle.cli.status import DAMAGED, DONE

if TYPE_CHECKING:
    from tfbundle.audit.verify import VerifyReport
    from tfbundle.bundle.soundness import Damage

_DESCRIPTION = """\
Read every tensor and compare it with its checksum. Goes on after the first damaged tensor, and
guesses the cause where most of them are. Exit status 1 if any tensor is damaged, 4 if the index
itself is."""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "verify",
        parents=[common],
        help="check every tensor against its checksum",
        description=_DESCRIPTION,
        epilog="example:\n  tfbundle verify model.ckpt-1000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to check")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing; the exit status tells")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify, and print the verdict."""
    from tfbundle.audit.verify import verify

    report = verify(options.source)
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        print_verdict(report)
    return DONE if report.ok else DAMAGED


def print_verdict(report: VerifyReport) -> None:
    """Print a verdict for people."""
    size = f"{plural(report.num_tensors, 'tensor')}, {plural(report.num_shards, 'shard')}"
    if report.ok:
        print(f"{escape(report.prefix)}: sound: {size}, {format_nbytes(report.nbytes)} read, every checksum matches")
        return
    print(f"{escape(report.prefix)}: damaged: {len(report.damages):,} of {size}")
    for damage in report.damages:
        print(f"  {damage_line(damage)}")
    if report.hint:
        print(f"likely cause: {escape(report.hint)}")


def damage_line(damage: Damage) -> str:
    """Return what is wrong as one line that names the tensor, which errors about missing files do not."""
    is_slice = damage.tensor.startswith("\0")  # whose key means nothing to people
    is_named = is_slice or f"tensor {damage.tensor!r}" in damage.message
    return escape(damage.message if is_named else f"tensor {damage.tensor!r}: {damage.message}")
