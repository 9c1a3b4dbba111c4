"""The object tree of a TF2 checkpoint, drawn for ``tfbundle ls --tree``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import escape

if TYPE_CHECKING:
    from tfbundle.bundle.reader import BundleReader
    from tfbundle.format.object_graph import TrackableObject


_MAX_INDENT = 100  # so that a long chain of objects does not make lines longer and longer


def read_tree(bundle: BundleReader) -> Sequence[TrackableObject]:
    """Return the object graph of a checkpoint.

    Raises:
        UnsupportedError: it has none.
        FormatError: it is damaged, or is no string.
    """
    from tfbundle.choosing.names import OBJECT_GRAPH, read_names
    from tfbundle.errors import UnsupportedError

    if OBJECT_GRAPH not in bundle:
        missing = f"not object-based (saved with TF2): it is missing the key {OBJECT_GRAPH!r}"
        raise UnsupportedError(missing, bundle.prefix)
    return read_names(bundle).graph


def iter_tree_lines(bundle: BundleReader, graph: Sequence[TrackableObject]) -> Iterator[str]:
    """Yield the lines of the tree; an object that can be reached in several ways is drawn at the first, nearest one."""
    slots = _slots_by_variable(graph)
    places = _nearest_places(graph)
    yield "(root)"
    drawn = {0}
    waiting = [(number, name, 1, 0) for name, number in reversed(graph[0].children)] if graph else []
    while waiting:
        number, name, depth, parent = waiting.pop()
        indent = "  " * min(depth, _MAX_INDENT)
        if number in drawn or places[number] != (parent, name):
            yield f"{indent}{escape(name)} -> object {number}"
            continue
        drawn.add(number)
        values = ", ".join(_describe(bundle, key) for key in graph[number].checkpoint_keys)
        label = f"{indent}{escape(name)} (object {number})"
        yield f"{label}: {values}" if values else label
        for slot_name, slot in slots.get(number, ()):
            described = ", ".join(_describe(bundle, key) for key in graph[slot].checkpoint_keys)
            yield f"{indent}  slot {escape(slot_name)} (object {slot}): {described}"
        children = reversed(graph[number].children)
        waiting += [(child, child_name, depth + 1, number) for child_name, child in children]


def tree_to_plain(bundle: BundleReader, graph: Sequence[TrackableObject]) -> list[dict[str, Any]]:
    """Return the object graph as plain data, a dictionary for each object."""
    return [
        {
            "object": number,
            "children": [{"name": name, "object": child} for name, child in node.children],
            "values": [{"key": key, "stored": key in bundle} for key in node.checkpoint_keys],
            "slots": [slot._asdict() for slot in node.slot_variables],
        }
        for number, node in enumerate(graph)
    ]


def _nearest_places(graph: Sequence[TrackableObject]) -> dict[int, tuple[int, str]]:
    """Return, for each object, the parent and the name by which the shortest way leads to it."""
    places: dict[int, tuple[int, str]] = {0: (-1, "")}
    layer = [0] if graph else []
    while layer:
        following = []
        for number in layer:
            for name, child in graph[number].children:
                if child not in places:
                    places[child] = (number, name)
                    following.append(child)
        layer = following
    return places


def _slots_by_variable(graph: Sequence[TrackableObject]) -> dict[int, list[tuple[str, int]]]:
    slots: dict[int, list[tuple[str, int]]] = {}
    for node in graph:
        for slot in node.slot_variables:
            slots.setdefault(slot.variable, []).append((slot.slot_name, slot.slot))
    return slots


def _describe(bundle: BundleReader, key: str) -> str:
    if key not in bundle:
        return f"{escape(key)} (not stored)"
    info = bundle.entries[key]
    return f"{info.dtype} [{','.join(map(str, info.shape))}]  {escape(key)}"
