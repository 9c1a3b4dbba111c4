"""A conversion's report, for people."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tfbundle.cli.output import escape, format_nbytes, plural, print_json, print_table

if TYPE_CHECKING:
    from tfbundle.choosing.decisions import Action
    from tfbundle.reporting.graph_report import GraphReport
    from tfbundle.reporting.report import CastReport, TensorReport

_MOST_ROWS = 10


def check_place(options: argparse.Namespace) -> None:
    """Check that the report can be written where the options want it, before anything else is done.

    Raises:
        BundleExistsError, OSError: it cannot.
    """
    if options.report:
        from tfbundle.reporting import page

        page.check_place(options.report)


def tell(report: CastReport, options: argparse.Namespace) -> None:
    """Print and write a report in the form that the options ask for."""
    if options.report:
        report.write_page(options.report)
    if options.json:
        print_json(report.to_dict())
    elif not options.quiet:
        print_summary(report)
        if options.report:
            print(f"report: {escape(options.report)}")


def print_summary(report: CastReport, nothing_cast: str = "nothing") -> None:
    """Print a report for people; ``nothing_cast`` says that nothing was cast, if it is to be said."""
    percent = 100 * report.target_nbytes / max(1, report.source_nbytes)
    sizes = f"{format_nbytes(report.source_nbytes)} -> {format_nbytes(report.target_nbytes)} ({percent:.0f} %)"
    print(f"{_heading(report)}: {sizes}")
    print_table([(f"  {label}", text) for label, text in _action_lines(report, nothing_cast)])
    if report.tensors.has_stats and report.count_reasons("cast"):
        _print_numbers(report)
    for note in report.notes:
        print(f"note: {escape(note)}")


def _heading(report: CastReport) -> str:
    if not report.target:
        return f"{escape(report.source)} would become"
    return f"{'would write' if report.dry_run else 'wrote'} {escape(report.target)}"


def _action_lines(report: CastReport, nothing_cast: str) -> list[tuple[str, str]]:
    tensors = report.tensors
    lines = [
        ("cast", f"{plural(count, 'tensor')} {source} -> {target}, {format_nbytes(nbytes)}")
        for (source, target), (count, nbytes) in tensors.group_casts().items()
    ] or ([("cast", nothing_cast)] if nothing_cast else [])
    labels: tuple[tuple[Action, str, str], ...] = (
        ("keep", "kept", ", ".join(tensors.list_dtypes("keep"))),
        ("copy", "copied", ""),
        ("drop", "dropped", ""),
    )
    for action, label, what in labels:
        if reasons := report.count_reasons(action):
            why = ", ".join(f"{escape(reason)} ({count})" for reason, count in reasons.most_common())
            lines.append((label, f"{plural(reasons.total(), 'tensor')} {what}".rstrip() + f": {why}"))
    if tensors.num_renamed:
        lines.append(("renamed", plural(tensors.num_renamed, "tensor")))
    if report.graph:
        lines.append(("graph", _describe_graph(report.graph)))
    if report.optimizer_nbytes:
        size = format_nbytes(report.optimizer_nbytes)
        lines.append(("", f"optimizer state takes {size}; --optimizer drop or cast would change that"))
    return lines


def _describe_graph(graph: GraphReport) -> str:
    counts = ((graph.num_casts, "cast"), (graph.num_functions, "function"))
    changes = [f"{plural(count, what)} added" for count, what in counts if count]
    changes += [f"{plural(graph.num_removed, 'node')} removed"] if graph.num_removed else []
    sizes = f"{format_nbytes(graph.source_nbytes)} -> {format_nbytes(graph.target_nbytes)}"
    return f"{sizes}: {', '.join(changes) or 'as it was'}"


def _print_numbers(report: CastReport) -> None:
    totals = report.totals
    print(
        f"  numbers: {totals.elements:,} cast, largest magnitude {totals.largest:.6g}; {totals.overflow:,} overflowed, "
        f"{totals.underflow:,} became zero, {totals.subnormal:,} lost precision as subnormals"
    )
    if totals.inf or totals.nan:
        infinities = "1 infinity" if totals.inf == 1 else f"{totals.inf:,} infinities"
        print(f"  there before the cast: {infinities}, {totals.nan:,} NaN")
    if totals.deviation:
        found = totals.deviation
        print(f"  errors: at most {found.max_absolute:.3g}, {found.max_relative:.3g} relative; RMS {found.rms:.3g}")
    worst = report.tensors.find_affected()
    if not worst:
        return
    errors = _ERROR_HEADS if totals.deviation else ()
    head = ("    overflow", "to zero", "subnormal", "of", "largest", *errors, "tensor")
    rows = [_number_row(report.tensors[at]) for at in worst[:_MOST_ROWS]]
    print_table([head, *rows], right=range(len(head) - 1))
    if len(worst) > _MOST_ROWS:
        print(f"    and {plural(len(worst) - _MOST_ROWS, 'more tensor')}; --json lists them all")


_ERROR_HEADS = ("max error", "relative", "RMS")


def _number_row(tensor: TensorReport) -> tuple[str, ...]:
    stats = tensor.stats
    if stats is None:
        raise ValueError("no numbers of a tensor that was not cast")
    counts = (stats.overflow, stats.underflow, stats.subnormal, stats.elements)
    found = stats.deviation
    errors = () if found is None else (found.max_absolute, found.max_relative, found.rms)
    numbers = (f"{stats.largest:.6g}", *(f"{error:.3g}" for error in errors))
    return (*(f"{count:,}" for count in counts), *numbers, escape(tensor.name))
