"""The names by which the tensors of a checkpoint are known: keys, keys without their ending, and object paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tfbundle.choosing.optimizer import find_optimizers
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import STRING, dtype_name
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name
from tfbundle.format.object_graph import TrackableObject, decode_object_graph
from tfbundle.format.object_paths import ATTRIBUTES, VALUE_ENDING, find_keys, nearest_paths

if TYPE_CHECKING:
    from tfbundle.bundle.reader import BundleReader

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
    are known by their path in the model too, the shortest that leads through no optimizer. Variables of a model also
    have names of their own, such as ``dense/kernel``, which need not be unique.

    Args:
        names: in the order of the checkpoint.
        graph: objects of a TF2 checkpoint; empty for others.

    Example:
        >>> TensorNames([f"a/w{VALUE_ENDING}"]).find("a/w").name
        'a/w/.ATTRIBUTES/VARIABLE_VALUE'
    """

    def __init__(self, names: Collection[str], graph: Sequence[TrackableObject] = ()) -> None:
        self._names = dict.fromkeys(names) if isinstance(names, Sequence) else names  # to be searched
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

    @cached_property
    def bookkeeping(self) -> frozenset[str]:
        """What TensorFlow stores for itself in a TF2 checkpoint, and misses when it restores objects."""
        return frozenset({OBJECT_GRAPH, SAVE_COUNTER}) if self.is_object_based else frozenset()

    @cached_property
    def model_paths(self) -> dict[str, str]:
        """Path in the model, with the key's ending, of each tensor that is named after an optimizer's path."""
        paths = nearest_paths(self.graph, avoid=())
        through = tuple(f"{paths[number]}/" for number in self._optimizers if number in paths)
        found = {}
        for number, path in self._model.items() if through else ():
            for key in self.graph[number].checkpoint_keys:
                if key.startswith(through) and ATTRIBUTES in key and key in self:
                    found[key] = path + key[key.index(ATTRIBUTES) :]
        return found

    @cached_property
    def own_names(self) -> dict[str, str]:
        """Own name of each variable of a model, by its name in the checkpoint."""
        nodes = [self.graph[number] for number in self._model]
        pairs = (pair for node in nodes for pair in zip(node.checkpoint_keys, node.full_names, strict=False))
        return {key: own_name for key, own_name in pairs if own_name and key in self}

    @cached_property
    def _optimizers(self) -> set[int]:
        return find_optimizers(self.graph)

    @cached_property
    def _model(self) -> dict[int, str]:
        """Path to each object that can be reached without an optimizer."""
        return nearest_paths(self.graph, avoid=self._optimizers)

    @cached_property
    def _by_own_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name, own_name in self.own_names.items():
            found[own_name].append(name)
        return found

    def forms(self, name: str) -> list[str]:
        """Return what a pattern may match for one tensor, its name first; its own name is not among them."""
        full = [name, self.model_paths[name]] if name in self.model_paths else [name]
        return full + [form.removesuffix(VALUE_ENDING) for form in full if form.endswith(VALUE_ENDING)]

    def iter_short(self) -> Iterator[str]:
        """Yield what users may call each tensor, for comparison with what they wrote."""
        for name in self:
            yield self.model_paths.get(name, name).removesuffix(VALUE_ENDING)
        yield from self._by_own_name

    def find(self, text: str) -> Found | None:
        """Return the tensor that a text names, None if there is none.

        The text is a name, a key without its ending, a path through the object graph, or a variable's own name if no
        other one has it.
        """
        for name in (text, text + VALUE_ENDING):
            if name in self:
                return Found(name, name)
        path = text.partition(ATTRIBUTES)[0]
        for key in find_keys(self.graph, path):
            place = path + key[key.find(ATTRIBUTES) :] if ATTRIBUTES in key else path
            if key in self and place in (text, text + VALUE_ENDING):
                return Found(key, place)
        named = self._by_own_name.get(text, ())
        return Found(named[0], self.model_paths.get(named[0], named[0])) if len(named) == 1 else None


def known_names(names: Collection[str]) -> TensorNames:
    """Return names as they are known, without any graph unless they come with one."""
    return names if isinstance(names, TensorNames) else TensorNames(names)


def read_names(bundle: BundleReader) -> TensorNames:
    """Return the names of the tensors of a bundle, with its object graph.

    Raises:
        FormatError: the object graph is damaged, or is no string.
        BundleNotFoundError: the data file that holds it is missing.
    """
    if OBJECT_GRAPH not in bundle:
        return TensorNames(bundle)
    entry = bundle.entry(OBJECT_GRAPH)
    if entry.dtype != STRING.number or entry.num_elements != 1:
        found = f"{dtype_name(entry.dtype)} {list(entry.shape)}"
        raise FormatError(f"no object graph: {found}, expected one string", bundle.prefix, f"tensor {OBJECT_GRAPH!r}")
    try:
        return TensorNames(bundle, decode_object_graph(bundle[OBJECT_GRAPH].item()))
    except FormatError as error:
        raise error.add_path(bundle.prefix, f"tensor {OBJECT_GRAPH!r}") from error
