"""Options that say what tensors are called in the result, and what they mean in Python."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfbundle.choosing.naming import Naming

NAMING_HELP = """\
A tensor that --map lists gets the name it says. All others lose --strip-prefix, then --rename
applies, in the order given, and last --add-prefix."""


def add_naming_options(group: Any) -> None:
    """Add the options that ``Naming`` has."""
    group.add_argument(
        "--rename",
        metavar="FROM=TO",
        action="append",
        default=[],
        type=parse_pair,
        help="give names that begin with FROM the beginning TO instead; after re:, FROM is a regular expression, and "
        "TO may refer to its groups (repeatable, in order)",
    )
    group.add_argument(
        "--strip-prefix",
        metavar="PREFIX",
        action="append",
        default=[],
        help="take this off the names that begin with it (repeatable)",
    )
    group.add_argument("--add-prefix", metavar="PREFIX", default="", help="put this in front of every name")
    group.add_argument(
        "--map",
        metavar="FILE.json",
        help='write the tensors that this file lists, under the names it gives them: {"saved name": "new name", ...}',
    )
    group.add_argument(
        "--map-rest",
        choices=("drop", "keep"),
        default="drop",
        help="what to do with tensors that --map does not list: drop them, or keep them",
    )
    group.add_argument(
        "--on-collision",
        choices=("error", "replace"),
        default="error",
        help="what to do if a tensor gets the name of another one: error refuses; replace leaves the other one out",
    )


def read_naming(options: argparse.Namespace) -> Naming:
    """Return the names that the options ask for.

    Raises:
        ValueError: the file that ``--map`` names is missing, or no map of names.
    """
    from tfbundle.choosing.naming import Naming

    if options.map is None and options.map_rest != "drop":
        raise ValueError("--map-rest says what becomes of tensors that --map does not list; there is no --map")
    names = None
    if options.map is not None:
        from tfbundle.cli.name_map import read_name_map

        names = read_name_map(options.map)
    return Naming(
        tuple(options.rename),
        tuple(options.strip_prefix),
        options.add_prefix,
        names,
        options.map_rest,
        options.on_collision,
    )


def parse_pair(text: str, expected: str = "FROM=TO") -> tuple[str, str]:
    """Parse ``FROM=TO``; FROM has no equals sign.

    Args:
        text: what was given.
        expected: what to call such a pair when it is none.

    Raises:
        ArgumentTypeError: it is no such pair.
    """
    left, mark, right = text.partition("=")
    if not mark or not left:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {expected}")
    return left, right
