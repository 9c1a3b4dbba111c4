"""Patterns on tensor names: shell globs in which ``*`` also matches ``/``, or regular expressions after ``re:``.

A regular expression may match anywhere in a name. ``choosing.matching`` says what else a tensor may be called.
"""

from __future__ import annotations

import fnmatch
import re

REGEX_MARK = "re:"


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
