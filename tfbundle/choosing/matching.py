"""Which tensors a pattern means, by whatever they are known by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain

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
    return match_in_any(patterns, [known_names(names)])


def match_in_any(patterns: Iterable[str], sides: Sequence[TensorNames]) -> dict[str, str]:
    """Return the names that match in any of some checkpoints, each with the first pattern that does.

    Raises:
        ValueError: a pattern matches no name in any of them, and is no preset.

    Example:
        >>> match_in_any(["a*", "b*"], [TensorNames(["a1", "a2"]), TensorNames(["a1", "b"])])
        {'a1': 'a*', 'a2': 'a*', 'b': 'b*'}
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        matches = [name for names in sides for name in _match_one(pattern, names)]
        if not matches and pattern not in PRESETS:
            shorts = dict.fromkeys(chain.from_iterable(names.iter_short() for names in sides))
            hint = hint_closest(pattern.removeprefix(REGEX_MARK), shorts)
            raise ValueError(f"pattern {pattern!r} matches none of the {len(set(chain(*sides)))} tensors{hint}")
        for name in matches:
            found.setdefault(name, pattern)
    return found


def _match_one(pattern: str, names: TensorNames) -> list[str]:
    if pattern in PRESETS:
        return find_preset(pattern, names)
    expression = compile_pattern(pattern)
    if matches := [name for name in names if any(map(expression.search, names.forms(name)))]:
        return matches
    if at := names.find(pattern):
        return [at.name]
    return [name for name, own_name in names.own_names.items() if expression.search(own_name)]
