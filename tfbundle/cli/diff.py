"""``tfbundle diff A B``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import escape, format_table, plural, print_json, print_lines
from tfbundle.cli.status import DIFFERENT, DONE

if TYPE_CHECKING:
    from tfbundle.audit.closeness import Extreme
    from tfbundle.audit.differences import DiffReport, ValueDiff

_DESCRIPTION = """\
Compare two checkpoints: names, dtypes, shapes and values, whatever their shards, partitions, byte
order or version. Every checksum on both sides is verified. Exit status 0 if there is no
difference, 1 if there is one.

Numbers a of A and b of B are equal where |a - b| <= atol + rtol * |b|; NaN equals NaN, and -0.0
equals 0.0. Both tolerances are 0 by default."""

_EPILOG = """\
A pattern PAT is a shell glob in which * also matches /, or a regular expression after `re:`
which may match anywhere in the name. A pattern that matches nothing is an error.

examples:
  tfbundle diff model.ckpt-1000 copy/model.ckpt-1000
  tfbundle diff model.ckpt-900 model.ckpt-1000 --only '*/kernel' --all
  tfbundle diff model.ckpt-1000 half/ --ignore-dtype --rtol 1e-3 --atol 1e-7"""

_MOST_LINES = 20

_Line = tuple[str, ...]


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "diff",
        parents=[common],
        help="compare two checkpoints",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("left", metavar="A", help="the one checkpoint")
    parser.add_argument("right", metavar="B", help="the other one")
    what = parser.add_argument_group("what counts")
    what.add_argument("--rtol", metavar="R", type=float, default=0.0, help="tolerance relative to the number in B")
    what.add_argument("--atol", metavar="T", type=float, default=0.0, help="absolute tolerance")
    what.add_argument("--only", metavar="PAT", action="append", default=[], help="compare only these (repeatable)")
    what.add_argument(
        "--ignore-dtype", action="store_true", help="another dtype alone is no difference, where both are of numbers"
    )
    what.add_argument("--bits", action="store_true", help="numbers are equal only if their bits are")
    what.add_argument(
        "--quick",
        action="store_true",
        help="trust the checksums in the indexes: read only tensors where these differ or say nothing",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--all", action="store_true", help=f"list every difference, not {_MOST_LINES} of each kind")
    output.add_argument("--json", action="store_true", help="print the full report as JSON")
    output.add_argument("--quiet", action="store_true", help="print nothing; the exit status tells")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, and print the report."""
    from tfbundle.audit.diff import diff
    from tfbundle.audit.differences import DiffOptions

    report = diff(
        options.left,
        options.right,
        rtol=options.rtol,
        atol=options.atol,
        only=tuple(options.only),
        options=DiffOptions(options.ignore_dtype, options.bits, options.quick),
    )
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        print_lines(_iter_lines(report, everything=options.all))
    return DONE if report.equal else DIFFERENT


def _iter_lines(report: DiffReport, *, everything: bool) -> Iterable[str]:
    groups: tuple[tuple[str, Sequence[_Line]], ...] = (
        ("only in A", [(escape(name),) for name in report.only_left]),
        ("only in B", [(escape(name),) for name in report.only_right]),
        ("another dtype", [(item.left, "->", item.right, escape(item.name)) for item in report.dtypes]),
        ("another shape", [(_shape(item.left), "->", _shape(item.right), escape(item.name)) for item in report.shapes]),
        ("other values", [*map(_value_line, report.values)]),
        ("near enough, but not the same", [*map(_value_line, report.close)]),
    )
    details = (_iter_group(title, rows, everything=everything) for title, rows in groups if rows)
    return chain([_verdict(report)], chain.from_iterable(details))


def _verdict(report: DiffReport) -> str:
    names = f"{escape(report.left)} and {escape(report.right)}"
    verb = "are equal" if report.equal else "differ"
    unread = f", {report.num_unread:,} of them not read" if report.num_unread else ""
    return f"{names} {verb}: {plural(report.num_common, 'tensor')} in both{unread}"


def _iter_group(title: str, rows: Sequence[_Line], *, everything: bool) -> Iterable[str]:
    yield f"{title}: {plural(len(rows), 'tensor')}"
    shown = rows if everything else rows[:_MOST_LINES]
    yield from (f"  {line}".rstrip() for line in format_table(shown))
    if len(rows) > len(shown):
        yield f"  and {plural(len(rows) - len(shown), 'more tensor')}; --all lists them"


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _value_line(item: ValueDiff) -> _Line:
    """Say of how many elements, how far apart they are, and where."""
    count = item.num_different or item.num_close or item.num_other_bits
    largest, relative = item.largest_absolute, item.largest_relative
    if largest is not None and relative is not None:
        how = (f"by up to {_extreme(largest)}", f"relative {_extreme(relative)}")
    else:
        how = ("" if item.first is None else f"the first at {_shape(item.first)}", "")
    return (f"{count:,} of {item.num_elements:,}", *how, escape(item.name))


def _extreme(extreme: Extreme) -> str:
    return f"{extreme.value:.3g} at {_shape(extreme.where)}"
