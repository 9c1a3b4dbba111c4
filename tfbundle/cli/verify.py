"""``tfbundle verify SRC``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import escape, format_nbytes, plural, print_json
from tfbundle.cli.status import DAMAGED, DONE

if TYPE_CHECKING:
    from tfbundle.audit.finish import FinishReport
    from tfbundle.audit.verify import VerifyReport
    from tfbundle.bundle.soundness import Damage

_DESCRIPTION = """\
Read every tensor and compare it with its checksum. Goes on after the first damaged tensor, and
guesses the cause where most of them are. Exit status 1 if any tensor is damaged, 4 if the index
itself is. What an interrupted run left beside the checkpoint, or beside the directory of a
SavedModel, is named."""

_EPILOG = """\
examples:
  tfbundle verify model.ckpt-1000
  tfbundle verify half/ --finish"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "verify",
        parents=[common],
        help="check every tensor against its checksum",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to check")
    parser.add_argument(
        "--finish",
        action="store_true",
        help="before that, finish what an interrupted run began: publish a complete bundle, or SavedModel, that lost "
        "its place, remove what else such runs left; files of runs that still go on are left alone",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing; the exit status tells")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Finish if that is asked for, verify, and print the verdict."""
    from tfbundle.audit.verify import verify

    finished = _finish(options.source) if options.finish else None
    report = verify(finished.prefix if finished else options.source)
    if options.json:
        print_json(report.to_dict() | ({"finished": finished.to_dict()} if finished else {}))
    elif not options.quiet:
        if finished:
            _print_finished(finished)
        print_verdict(report)
    return DONE if report.ok else DAMAGED


def _finish(source: str) -> FinishReport:
    from tfbundle.audit.finish import finish

    return finish(source)


def _print_finished(report: FinishReport) -> None:
    if report.published:
        print(f"{escape(report.prefix)}: published what an interrupted run left")
    for path in report.removed:
        print(f"removed {escape(path)}")
    if not (report.published or report.removed):
        print(f"{escape(report.prefix)}: nothing to finish")


def print_verdict(report: VerifyReport) -> None:
    """Print a verdict for people."""
    size = f"{plural(report.num_tensors, 'tensor')}, {plural(report.num_shards, 'shard')}"
    if report.ok:
        print(f"{escape(report.prefix)}: sound: {size}, {format_nbytes(report.nbytes)} read, every checksum matches")
        _print_notes(report)
        return
    print(f"{escape(report.prefix)}: damaged: {len(report.damages):,} of {size}")
    for damage in report.damages:
        print(f"  {damage_line(damage)}")
    if report.hint:
        print(f"likely cause: {escape(report.hint)}")
    _print_notes(report)


def _print_notes(report: VerifyReport) -> None:
    for note in report.notes:
        print(f"note: {escape(note)}")


def damage_line(damage: Damage) -> str:
    """Return what is wrong as one line that names the tensor, which errors about missing files do not."""
    is_slice = damage.tensor.startswith("\0")  # whose key means nothing to people
    is_named = is_slice or f"tensor {damage.tensor!r}" in damage.message
    return escape(damage.message if is_named else f"tensor {damage.tensor!r}: {damage.message}")
