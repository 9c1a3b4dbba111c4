"""Patterns on tensor names: shell globs in which ``*`` also matches ``/``, or regular expressions after ``re:``.

A regular expression may match anywhere in a name. A TF2 key may be given without its closing
``/.ATTRIBUTES/VARIABLE_VALUE``.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Collection, Iterable

REGEX_MARK = "re:"
_VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression to search names for: that of a glob, or what follows ``re:``.

    Raises:
        ValueError: a malformed regular expression.

    Example:
        >>> bool(compile_pattern("conv*/kernel").search("conv_1/kernel"))
        True
    """
    if not pattern.startswith(REGEX_MARK):
        return re.compile(r"\A" + fnmatch.translate(pattern))
    try:
        return re.compile(pattern.removeprefix(REGEX_MARK))
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from error


def match_names(patterns: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Return the names that match, each with the first pattern that does.

    Raises:
        ValueError: a pattern matches no name, which is most often a slip; the message has close names.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        expression = compile_pattern(pattern)
        matches = [name for name in names if _matches(expression, name)]
        if not matches:
            close = difflib.get_close_matches(pattern, names, 3, 0.4) if len(names) <= 10_000 else []
            hint = f"; close names: {', '.join(close)}" if close else ""
            raise ValueError(f"pattern {pattern!r} matches none of the {len(names)} tensors{hint}")
        for name in matches:
            found.setdefault(name, pattern)
    return found


def _matches(expression: re.Pattern[str], name: str) -> bool:
    if expression.search(name):
        return True
    return name.endswith(_VALUE_SUFFIX) and bool(expression.search(name.removesuffix(_VALUE_SUFFIX)))
