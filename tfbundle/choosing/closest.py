"""Which names are closest to one that does not exist, among as many as there may be."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable

_CANDIDATES = 200
_MOST_CHARACTERS = 1000  # of a name that is compared: the time that takes grows with the square of its length


def find_closest(wanted: str, names: Iterable[str], count: int = 3, likeness: float = 0.4) -> list[str]:
    """Return names that resemble ``wanted``, the most alike first.

    Of many names, only those with the longest beginning and end in common are compared in full: 100,000 take a fifth
    of a second. Nothing resembles a name that nobody reads to its end; much longer ones resemble no other.

    Args:
        wanted: the name that does not exist.
        names: those that do.
        count: how many at most.
        likeness: how much they resemble it at least, from 0 to 1.

    Example:
        >>> find_closest("dense/kernal", ["dense/bias", "dense/kernel", "step"], 1)
        ['dense/kernel']
    """
    if len(wanted) > _MOST_CHARACTERS:
        return []
    candidates = heapq.nlargest(_CANDIDATES, names, key=lambda name: _count_common_ends(wanted, name))
    return difflib.get_close_matches(wanted, candidates, count, likeness)


def hint_closest(wanted: str, names: Iterable[str]) -> str:
    """Return the end of an error message that lists close names; empty where there are none."""
    found = find_closest(wanted, names)
    return f"; close names: {', '.join(found)}" if found else ""


def _count_common_ends(left: str, right: str) -> int:
    """Count the characters that two texts share at the beginning and at the end."""
    most = min(len(left), len(right))
    start = 0
    while start < most and left[start] == right[start]:
        start += 1
    end = 0
    while end < most - start and left[-1 - end] == right[-1 - end]:
        end += 1
    return start + end
