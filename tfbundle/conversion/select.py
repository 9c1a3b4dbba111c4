"""Which tensors are cast, kept and dropped: patterns on names, and the treatment of optimizer state."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

OptimizerState = Literal["keep", "cast", "drop"]

REGEX_MARK = "re:"
_VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True)
class Selection:
    """Which float32 tensors to cast, and which tensors to leave out.

    Patterns are shell globs in which ``*`` also matches ``/``, or regular expressions after ``re:``, found anywhere in
    the name. A TF2 key may be given without its closing ``/.ATTRIBUTES/VARIABLE_VALUE``.

    Attributes:
        keep: tensors that stay in their dtype.
        only: when not empty, tensors outside it stay in their dtype.
        drop: tensors that the output leaves out.
        optimizer: ``"keep"`` leaves optimizer state float32, ``"cast"`` treats it like any tensor, ``"drop"`` leaves
            it out. Second moments of Adam are so small that float16 turns many of them into zero, which
            ruins continued training: hence the default.
        rename: (from, to) pairs, applied in order: a name that begins with ``from`` begins with ``to`` instead; after
            ``re:``, ``from`` is a regular expression and ``to`` may refer to its groups.

    Raises:
        ValueError: no such choice for ``optimizer``, or a malformed regular expression.

    Example:
        >>> Selection(keep=("*/batch_norm*",), optimizer="drop").optimizer
        'drop'
    """

    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    optimizer: OptimizerState = "keep"
    rename: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(OptimizerState):
            raise ValueError(f"optimizer is {self.optimizer!r}, expected one of {get_args(OptimizerState)}")
        for pattern in (*self.keep, *self.only, *self.drop):
            compile_pattern(pattern)
        for old, _ in self.rename:
            compile_pattern(old)


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
