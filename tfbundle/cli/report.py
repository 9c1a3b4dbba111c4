"""A conversion's report, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfbundle.cli.output import escape, format_nbytes, plural, print_table

if TYPE_CHECKING:
    from tfbundle.conversion.decisions import Action
    from tfbundle.conversion.report import CastReport, TensorReport

_MOST_ROWS = 10


def print_summary(report: CastReport) -> None:
    """Print a report for people."""
    percent = 100 * report.target_nbytes / max(1, report.source_nbytes)
    sizes = f"{format_nbytes(report.source_nbytes)} -> {format_nbytes(report.target_nbytes)} ({percent:.0f} %)"
    print(f"{_heading(report)}: {sizes}")
    print_table([(f"  {label}", text) for label, text in _action_lines(report)])
    if report.tensors.has_stats and report.count_reasons("cast"):
        _print_numbers(report)
    for note in report.notes:
        print(f"note: {escape(note)}")


def _heading(report: CastReport) -> str:
    if not report.target:
        return f"{escape(report.source)} would become"
    return f"{'would write' if report.dry_run else 'wrote'} {escape(report.target)}"


def _action_lines(report: CastReport) -> list[tuple[str, str]]:
    tensors = report.tensors
    lines = [
        ("cast", f"{plural(count, 'tensor')} {source} -> {target}, {format_nbytes(nbytes)}")
        for (source, target), (count, nbytes) in tensors.group_casts().items()
    ] or [("cast", "nothing")]
    labels: tuple[tuple[Action, str, str], ...] = (
        ("keep", "kept", ", ".join(tensors.list_dtypes("keep"))),
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
