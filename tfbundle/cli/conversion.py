"""What the verbs have in common that cast and write."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from tfbundle.cli.cluster import on_cluster
from tfbundle.cli.naming import add_naming_options, read_naming
from tfbundle.cli.options import add_layout_options, add_report_options, add_run_options, read_layout, read_run_options
from tfbundle.cli.report import check_place, tell
from tfbundle.cli.selection import add_selection_options, read_selection
from tfbundle.cli.treatment import add_overflow_option, add_rule_option, add_slices_option, read_policy

if TYPE_CHECKING:
    from tfbundle.reporting.report import CastReport


def add_conversion_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all verbs that cast and write."""
    which = parser.add_argument_group("which tensors")
    add_selection_options(which)
    add_rule_option(which)
    add_naming_options(parser.add_argument_group("under which names"))
    how = parser.add_argument_group("how")
    add_overflow_option(how)
    add_slices_option(how)
    add_layout_options(how)
    add_run_options(how)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--measure",
        action="store_true",
        help="tell errors and distributions of all that is cast, too; takes two or three times as long",
    )
    add_report_options(output)


def convert(verb: Callable[..., CastReport], options: argparse.Namespace) -> int:
    """Do what a verb that casts and writes does in Python, and print the report."""
    if options.dry_run and options.measure:
        raise ValueError(
            "--dry-run reads no payload, so that --measure has nothing to measure; tfbundle stats measures"
        )
    check_place(options)
    with on_cluster(read_run_options(options), options) as run_options:
        report = verb(
            options.source,
            options.target,
            policy=read_policy(options),
            selection=read_selection(options),
            naming=read_naming(options),
            layout=read_layout(options),
            options=run_options,
        )
    tell(report, options)
    return 0
