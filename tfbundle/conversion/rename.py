"""New names for tensors, and what follows from names in the object graph of a TF2 checkpoint."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping

from tfbundle.format.patterns import REGEX_MARK


def rename_names(names: Collection[str], rules: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the new name of each name that gets another one.

    Args:
        names: all names.
        rules: (from, to) pairs as in ``Selection.rename``, applied in order.

    Raises:
        ValueError: a rule matches no name, two tensors would get the same name, or a name would be empty.

    Example:
        >>> rename_names({"old/w", "old/b", "step"}, [("old/", "new/")]) == {"old/w": "new/w", "old/b": "new/b"}
        True
    """
    current = {name: name for name in names}
    for old, new in rules:
        changed = {name: _apply(old, new, present) for name, present in current.items()}
        if changed == current:
            close = difflib.get_close_matches(old, current.values(), 3, 0.4) if len(current) <= 10_000 else []
            hint = f"; close names: {', '.join(close)}" if close else ""
            raise ValueError(f"--rename {old}={new} matches none of the {len(current)} tensors{hint}")
        current = changed
    _check_unique(current)
    return {name: new for name, new in current.items() if new != name}


def _apply(old: str, new: str, name: str) -> str:
    if old.startswith(REGEX_MARK):
        try:
            return re.sub(old.removeprefix(REGEX_MARK), new, name)
        except (re.error, IndexError) as error:
            raise ValueError(f"--rename {old}={new}: {error}") from error
    return new + name.removeprefix(old) if name.startswith(old) else name


def _check_unique(names: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for old, new in names.items():
        if not new:
            raise ValueError(f"--rename leaves no name for {old}")
        if new in taken:
            raise ValueError(f"--rename gives {taken[new]} and {old} the same name {new}")
        taken[new] = old
