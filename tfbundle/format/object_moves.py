"""Which objects of a TF2 checkpoint go elsewhere so that values stand at other places; as few as will do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain

ObjectPath = tuple[str, ...]
"""Local names from the root on."""


def plan_moves(wanted: Mapping[ObjectPath, ObjectPath]) -> list[tuple[ObjectPath, ObjectPath]]:
    """Return which objects go where, in time and memory linear in the length of all paths.

    Where everything below an object moves to the same new place, and nothing else does, the object itself moves.

    Args:
        wanted: where each object with values should be, by where it is; also of those that stay.

    Example:
        >>> plan_moves({("a", "w"): ("b", "w"), ("a", "v"): ("b", "v"), ("c",): ("c",)})
        [(('a',), ('b',))]
    """
    places = _Places()
    numbered = {old: (places.number(old), places.number(new)) for old, new in wanted.items()}
    below = Counter(chain.from_iterable(numbers for numbers, _ in numbered.values()))
    below_new = Counter(chain.from_iterable(numbers for _, numbers in numbered.values()))
    possible = {old: _possible_moves((old, new), numbered[old]) for old, new in wanted.items()}
    agreeing = Counter(chain.from_iterable(possible.values()))
    moves: dict[ObjectPath, ObjectPath] = {}
    for old, new in wanted.items():
        if old != new:
            place, new_place = possible[old][-1]  # the one that moves most
            together = agreeing[place, new_place] == below[place] == below_new[new_place]
            count = len(possible[old]) - 1 if together else 0
            moves[old[: len(old) - count]] = new[: len(new) - count]
    return list(moves.items())


def _possible_moves(
    paths: tuple[ObjectPath, ObjectPath], numbers: tuple[list[int], list[int]]
) -> list[tuple[int, int]]:
    """Return the moves that bring an object to its new place: of itself, and of what it is in."""
    count = _common_tail(*paths) + 1
    old, new = numbers
    return list(zip(old[: -count - 1 : -1], new[: -count - 1 : -1], strict=True))


def _common_tail(left: ObjectPath, right: ObjectPath) -> int:
    """Count the equal names at the end of two paths, leaving at least one in each."""
    most = min(len(left), len(right)) - 1
    return next((count for count in range(most) if left[-1 - count] != right[-1 - count]), most)


class _Places:
    """Numbers for places, so that all those that a long path leads through cost no more than its length."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str], int] = {}

    def number(self, path: ObjectPath) -> list[int]:
        """Return the numbers of the places that a path leads through, the last its own."""
        found = []
        place = -1
        for name in path:
            place = self._numbers.setdefault((place, name), len(self._numbers))
            found.append(place)
        return found
