"""The names by which the tensors of a checkpoint are known: keys, keys without their ending, and object paths."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from tfbundle.conversion.optimizer import find_optimizers
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name
from tfbundle.format.object_graph import TrackableObject
from tfbundle.format.object_paths import ATTRIBUTES, VALUE_ENDING, find_keys, nearest_paths

OBJECT_GRAPH = key_to_name(OBJECT_GRAPH_KEY)
SAVE_COUNTER = f"save_counter{VALUE_ENDING}"


class Found(NamedTuple):
    """A tensor that was asked for.

    Attributes:
        name: its name in the checkpoint.
        place: its key or the path by which it was asked for, with the ending of its key.
    """

    name: str
    place: str


class TensorNames(Collection[str]):
    """The names in a checkpoint, and what else its tensors may be called.

    In a TF2 checkpoint, the ending ``/.ATTRIBUTES/VARIABLE_VALUE`` may be left out, and any path through the object
    graph names the value it leads to. Keras 3 stores weights under the path of the optimizer that trains them: these
    are known by their path in the model too, the shortest that leads through no optimizer.

    Args:
        names: in the order of the checkpoint.
        graph: objects of a TF2 checkpoint; empty for others.

    Example:
        >>> TensorNames([f"a/w{VALUE_ENDING}"]).find("a/w").name
        'a/w/.ATTRIBUTES/VARIABLE_VALUE'
    """

    def __init__(self, names: Collection[str], graph: Sequence[TrackableObject] = ()) -> None:
        self._names = names
        self.graph = graph

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    @property
    def is_object_based(self) -> bool:
        """Whether there is an object graph."""
        return OBJECT_GRAPH in self

    @property
    def bookkeeping(self) -> frozenset[str]:
        """What TensorFlow stores for itself in a TF2 checkpoint, and misses when it restores objects."""
        return frozenset({OBJECT_GRAPH, SAVE_COUNTER}) if self.is_object_based else frozenset()

    @cached_property
    def model_paths(self) -> dict[str, str]:
        """Path in the model, with the key's ending, of each tensor that is named after an optimizer's path."""
        optimizers = find_optimizers(self.graph)
        if not optimizers:
            return {}
        through = tuple(f"{path}/" for path in self._optimizer_paths(optimizers))
        found = {}
        for number, path in nearest_paths(self.graph, avoid=optimizers).items():
            for key in self.graph[number].checkpoint_keys:
                if key.startswith(through) and ATTRIBUTES in key and key in self:
                    found[key] = path + key[key.index(ATTRIBUTES) :]
        return found

    def _optimizer_paths(self, optimizers: Collection[int]) -> list[str]:
        paths = nearest_paths(self.graph, avoid=())
        return [paths[number] for number in optimizers if number in paths]

    def forms(self, name: str) -> list[str]:
        """Return what a pattern may match for one tensor, its name first."""
        full = [name, self.model_paths[name]] if name in self.model_paths else [name]
        return full + [form.removesuffix(VALUE_ENDING) for form in full if form.endswith(VALUE_ENDING)]

    def iter_short(self) -> Iterator[str]:
        """Yield every name as users write it, for comparison with what they wrote."""
        for name in self:
            yield self.model_paths.get(name, name).removesuffix(VALUE_ENDING)

    def find(self, text: str) -> Found | None:
        """Return the tensor that a text names, None if there is none.

        The text is a name, a key without its ending, or a path through the object graph.
        """
        for name in (text, text + VALUE_ENDING):
            if name in self:
                return Found(name, name)
        path = text.partition(ATTRIBUTES)[0]
        for key in find_keys(self.graph, path):
            place = path + key[key.find(ATTRIBUTES) :] if ATTRIBUTES in key else path
            if key in self and place in (text, text + VALUE_ENDING):
                return Found(key, place)
        return None


def known_names(names: Collection[str]) -> TensorNames:
    """Return names as they are known, without any graph unless they come with one."""
    return names if isinstance(names, TensorNames) else TensorNames(names)
