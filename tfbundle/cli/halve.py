"""``tfbundle halve SRC DST``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.options import add_layout_options, add_output_options, add_run_options, read_layout, read_run_options
from tfbundle.cli.output import escape, format_nbytes, plural, print_json, print_table

if TYPE_CHECKING:
    from tfbundle.conversion.decisions import Action
    from tfbundle.conversion.report import CastReport, TensorReport

_DESCRIPTION = """\
Write a copy of a checkpoint in which float32 tensors are float16. Everything else stays as it
is, byte for byte; every checksum is verified on the way; nothing is left behind if something
fails.

TensorFlow never casts on restore: the variables that read the result must be float16."""

_EPILOG = """\
A pattern PAT is a shell glob in which * also matches /, or a regular expression after `re:`
which may match anywhere in the name. A TF2 key may be given without its closing
/.ATTRIBUTES/VARIABLE_VALUE. A pattern that matches nothing is an error. --drop goes before
--optimizer drop, that before --keep, that before --only, and all before --optimizer keep.

examples:
  tfbundle halve model.ckpt-1000 half/model.ckpt-1000
  tfbundle halve saved_model/ half/ --optimizer drop --keep '*/batch_normalization*'
  tfbundle halve model.ckpt-1000 half/ --on-overflow clamp --dry-run"""

_MOST_ROWS = 10


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "halve",
        parents=[common],
        help="cast float32 tensors to float16",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="the checkpoint to convert")
    parser.add_argument("target", metavar="DST", help="where the result goes: a prefix, or a directory")
    _add_selection(parser.add_argument_group("which tensors"))
    how = parser.add_argument_group("how")
    _add_treatment(how)
    add_layout_options(how)
    add_run_options(how)
    add_output_options(parser.add_argument_group("output"))
    parser.set_defaults(run=run)


def _add_selection(group: Any) -> None:
    """Add the options that ``Selection`` has."""
    patterns = (
        ("--keep", "leave these in their dtype (repeatable)"),
        ("--only", "cast only these (repeatable)"),
        ("--drop", "leave these out of the result (repeatable)"),
    )
    for option, text in patterns:
        group.add_argument(option, metavar="PAT", action="append", default=[], help=text)
    group.add_argument(
        "--rename",
        metavar="FROM=TO",
        action="append",
        default=[],
        type=_parse_rename,
        help="give names that begin with FROM the beginning TO instead; after re:, FROM is a regular expression, and "
        "TO may refer to its groups (repeatable, in order)",
    )
    group.add_argument(
        "--optimizer",
        choices=("keep", "cast", "drop"),
        default="keep",
        help="what to do with optimizer state such as Adam's moments: keep it float32 (the default, since float16 "
        "turns small second moments into zero), cast it like any tensor, or drop it",
    )


def _add_treatment(group: Any) -> None:
    """Add the options that say what becomes of values and of slices."""
    group.add_argument(
        "--on-overflow",
        choices=("error", "inf", "clamp"),
        default="error",
        help="what to do with finite values beyond 65504: refuse (the default), store infinity as tf.cast does, or "
        "store 65504",
    )
    group.add_argument(
        "--slices",
        choices=("join", "keep"),
        default="join",
        help="what to do with partitioned tensors that are cast: make each one plain tensor (the default, since "
        "TensorFlow cannot put float16 slices together), or keep the slices for a graph with the same partitions",
    )


def run(options: argparse.Namespace) -> int:
    """Halve, and print the report."""
    from tfbundle.casting.policy import CastPolicy
    from tfbundle.conversion.halve import halve
    from tfbundle.conversion.select import Selection

    report = halve(
        options.source,
        options.target,
        selection=Selection(
            tuple(options.keep),
            tuple(options.only),
            tuple(options.drop),
            options.optimizer,
            tuple(options.rename),
        ),
        policy=CastPolicy(on_overflow=options.on_overflow),
        layout=read_layout(options),
        options=read_run_options(options),
    )
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        print_summary(report)
    return 0


def _parse_rename(text: str) -> tuple[str, str]:
    old, mark, new = text.partition("=")
    if not mark or not old:
        raise argparse.ArgumentTypeError(f"{text!r}: expected FROM=TO")
    return old, new


def print_summary(report: CastReport) -> None:
    """Print a report for people."""
    verb = "would write" if report.dry_run else "wrote"
    percent = 100 * report.target_nbytes / max(1, report.source_nbytes)
    sizes = f"{format_nbytes(report.source_nbytes)} -> {format_nbytes(report.target_nbytes)} ({percent:.0f} %)"
    print(f"{verb} {escape(report.target)}: {sizes}")
    print_table([(f"  {label}", text) for label, text in _action_lines(report)])
    if not report.dry_run and report.count_reasons("cast"):
        _print_numbers(report)
    for note in report.notes:
        print(f"note: {escape(note)}")


def _action_lines(report: CastReport) -> list[tuple[str, str]]:
    tensors = report.tensors
    num_cast = tensors.count_reasons("cast").total()
    nbytes = format_nbytes(tensors.sum_nbytes("cast"))
    lines = [("cast", f"{plural(num_cast, 'tensor')} float32 -> float16, {nbytes}" if num_cast else "nothing")]
    labels: tuple[tuple[Action, str, str], ...] = (
        ("keep", "kept", "float32"),
        ("copy", "copied", "of other dtypes"),
        ("drop", "dropped", ""),
    )
    for action, label, what in labels:
        if reasons := report.count_reasons(action):
            why = ", ".join(f"{escape(reason)} ({count})" for reason, count in reasons.most_common())
            lines.append((label, f"{plural(reasons.total(), 'tensor')} {what}".rstrip() + f": {why}"))
    if tensors.num_renamed:
        lines.append(("renamed", plural(tensors.num_renamed, "tensor")))
    if report.optimizer_nbytes:
        size = format_nbytes(report.optimizer_nbytes)
        lines.append(("", f"optimizer state takes {size}; --optimizer drop or cast would change that"))
    return lines


def _print_numbers(report: CastReport) -> None:
    totals = report.totals
    print(
        f"  numbers: {totals.elements:,} cast, largest magnitude {totals.largest:.6g}; {totals.overflow:,} overflowed, "
        f"{totals.underflow:,} became zero, {totals.subnormal:,} lost precision as subnormals"
    )
    affected = report.tensors.find_affected()
    if not affected:
        return
    head = ("    overflow", "to zero", "subnormal", "of", "largest", "tensor")
    print_table([head, *(_number_row(report.tensors[at]) for at in affected[:_MOST_ROWS])], right=(0, 1, 2, 3, 4))
    if len(affected) > _MOST_ROWS:
        print(f"    and {plural(len(affected) - _MOST_ROWS, 'more tensor')}; --json lists them all")


def _number_row(tensor: TensorReport) -> tuple[str, ...]:
    stats = tensor.stats
    if stats is None:
        return ("",) * 5 + (escape(tensor.name),)
    counts = (stats.overflow, stats.underflow, stats.subnormal, stats.elements)
    return (*(f"{count:,}" for count in counts), f"{stats.largest:.6g}", escape(tensor.name))
