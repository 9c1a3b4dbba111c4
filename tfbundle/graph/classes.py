"""Things that have to be decided together."""

from __future__ import annotations

from collections.abc import Collection, Iterable


class Classes:
    """Names in classes, which grow together.

    Example:
        >>> classes = Classes()
        >>> classes.unite(["a", "b"])
        >>> classes.unite(["b", "c"])
        >>> sorted(classes.partial({"a", "d"}))
        ['a']
    """

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def unite(self, names: Iterable[str]) -> None:
        """Put names, and all that are together with one of them, into one class."""
        first, *others = names
        for other in others:
            self._parents[self._root(other)] = self._root(first)

    def _root(self, name: str) -> str:
        path = []
        while (parent := self._parents.setdefault(name, name)) != name:
            path.append(name)
            name = parent
        for each in path:
            self._parents[each] = name
        return name

    def partial(self, chosen: Collection[str]) -> set[str]:
        """Return those of ``chosen`` in whose class others are not chosen."""
        incomplete = {self._root(name) for name in list(self._parents) if name not in chosen}
        return {name for name in chosen if name in self._parents and self._root(name) in incomplete}
