"""Ways through the object graph of a TF2 checkpoint: by which paths a value can be reached.

A key names one path to its value, the one that TensorFlow found first; others lead there as well. A path is written as
in keys: local names with ``/`` between them, in which ``.`` is doubled and ``/`` is ``.S``.

Source: TensorFlow ``python/checkpoint/trackable_view.py`` and ``python/trackable/trackable_utils.py``
(``escape_local_name``, ``checkpoint_key``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tfbundle.format.object_graph import TrackableObject

ATTRIBUTES = "/.ATTRIBUTES/"
VALUE_ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"
"""The end of a variable's key, which users leave out."""
MAX_PATHS_LENGTH = 1 << 24
"""Characters of all paths together that are always found; see ``nearest_paths``."""
_MAX_REPETITION = 4
_USUAL_LENGTH = 100


def find_keys(graph: Sequence[TrackableObject], path: str) -> tuple[str, ...]:
    """Return the keys of the values of the object at a path; none where there is no such object.

    Example:
        >>> graph = TrackableObject((("w", 1),), (), ()), TrackableObject((), ("w/.ATTRIBUTES/VARIABLE_VALUE",), ())
        >>> find_keys(graph, "w")
        ('w/.ATTRIBUTES/VARIABLE_VALUE',)
    """
    if not graph:
        return ()
    number = 0
    for part in path.split("/"):
        found = next((child for name, child in graph[number].children if _escape(name) == part), None)
        if found is None:
            return ()
        number = found
    return graph[number].checkpoint_keys


def nearest_paths(graph: Sequence[TrackableObject], avoid: Collection[int]) -> dict[int, str]:
    """Return the shortest path to each object that can be reached without entering some others; the root has none.

    Nor have the farthest objects where all paths together would be more than ``MAX_PATHS_LENGTH``, more than usual and
    many times as long as the names they are made of, as in a chain of very many objects.

    Args:
        graph: the objects; node 0 is the root.
        avoid: numbers of the objects that no path may lead through or to.

    Example:
        >>> leaf = TrackableObject((), (), ())
        >>> nearest_paths([TrackableObject((("a", 1), ("b.c", 2)), (), ()), leaf, leaf], avoid={1})
        {2: 'b..c'}
    """
    paths = {0: ""} if graph else {}
    layer = list(paths)
    names_length = sum(len(name) for node in graph for name, _ in node.children)
    room = MAX_PATHS_LENGTH + _USUAL_LENGTH * len(graph) + _MAX_REPETITION * names_length
    while layer:
        following = []
        for number in layer:
            start = f"{paths[number]}/" if number else ""
            for name, child in graph[number].children:
                if child not in paths and child not in avoid and room > 0:
                    paths[child] = start + _escape(name)
                    following.append(child)
                    room -= len(paths[child])
        layer = following
    paths.pop(0, None)
    return paths


def _escape(name: str) -> str:
    return name.replace(".", "..").replace("/", ".S")
