"""Options that say which tensors are cast, kept and dropped, and what they mean in Python."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tfbundle.cli.options import parse_given

if TYPE_CHECKING:
    from tfbundle.choosing.select import Selection

PATTERN_HELP = """\
A pattern PAT is a shell glob in which * also matches /, or a regular expression after `re:`
which may match anywhere in the name, or one of these words: batchnorm, norm (all kinds of
normalization layers), embedding (their tables). A TF2 key may be given without its closing
/.ATTRIBUTES/VARIABLE_VALUE. A pattern that matches nothing is an error, but not a word. --drop
goes first, then --select, --optimizer drop, --rule, --keep, --only, and last --optimizer keep."""


def add_selection_options(group: Any) -> None:
    """Add the options that ``Selection`` has."""
    add_choice_options(group)
    group.add_argument(
        "--like",
        metavar="TEMPLATE",
        type=parse_given,
        help="write exactly the tensors that a checkpoint holds, or that a .meta graph or saved_model.pb restores, "
        "each in the dtype it has there; names, after renaming, and shapes must be equal",
    )


def add_choice_options(group: Any) -> None:
    """Add the options that ``Selection`` has, but for the template."""
    patterns = (
        ("--keep", "leave these in their dtype (repeatable)"),
        ("--only", "cast only these (repeatable)"),
        ("--drop", "leave these out of the result (repeatable)"),
        ("--select", "leave all others out of the result (repeatable)"),
    )
    for option, text in patterns:
        group.add_argument(option, metavar="PAT", action="append", default=[], help=text)
    group.add_argument(
        "--optimizer",
        choices=("keep", "cast", "drop"),
        default="keep",
        help="what to do with optimizer state such as Adam's moments: keep it from a cast that loses something, since "
        "float16 turns small second moments into zero; cast it like any tensor; or drop it",
    )


def read_selection(options: argparse.Namespace) -> Selection:
    """Return the selection that the options ask for."""
    from tfbundle.choosing.select import Selection

    return Selection(
        tuple(options.keep),
        tuple(options.only),
        tuple(options.drop),
        options.optimizer,
        tuple(options.select),
        options.like or "",
        getattr(options, "strip_training", False),
        tuple(getattr(options, "outputs", ())),
    )
