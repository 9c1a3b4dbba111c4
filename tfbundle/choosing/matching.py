"""Which tensors a pattern means, by whatever they are known by."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tfbundle.choosing.closest import hint_closest
from tfbundle.choosing.names import TensorNames, known_names
from tfbundle.choosing.presets import PRESETS, find_preset
from tfbundle.format.patterns import REGEX_MARK, compile_pattern


def match_names(patterns: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Return the names that match, each with the first pattern that does.

    Args:
        patterns: as in ``Selection``.
        names: of all tensors; ``TensorNames`` are matched by whatever they are known by.

    Raises:
        ValueError: a pattern matches no name, which is most often a slip; the message has close names. A preset may
            match none.

    Example:
        >>> match_names(["norm", "*/kernel"], ["bn/gamma", "fc/bias", "fc/kernel"])
        {'bn/gamma': 'norm', 'fc/kernel': '*/kernel'}
    """
    known = known_names(names)
    found: dict[str, str] = {}
    for pattern in patterns:
        for name in find_preset(pattern, known) if pattern in PRESETS else _match_one(pattern, known):
            found.setdefault(name, pattern)
    return found


def _match_one(pattern: str, names: TensorNames) -> list[str]:
    expression = compile_pattern(pattern)
    if matches := [name for name in names if any(map(expression.search, names.forms(name)))]:
        return matches
    if at := names.find(pattern):
        return [at.name]
    if matches := [name for name, own_name in names.own_names.items() if expression.search(own_name)]:
        return matches
    hint = hint_closest(pattern.removeprefix(REGEX_MARK), names.iter_short())
    raise ValueError(f"pattern {pattern!r} matches none of the {len(names)} tensors{hint}")
