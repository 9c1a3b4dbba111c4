"""Graphs with savers, as a ``.meta`` file and each graph of a SavedModel hold them: storing variables as float16.

Source: TensorFlow ``core/protobuf/meta_graph.proto``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from tfbundle.errors import FormatError
from tfbundle.format.object_graph import TrackableObject
from tfbundle.graph.check import check_graph
from tfbundle.graph.classes import Classes
from tfbundle.graph.library import Graph
from tfbundle.graph.node_types import FLOAT, HALF
from tfbundle.graph.objects import add_functions, can_convert, find_variables, hide_variables
from tfbundle.graph.reduce import reduce_savers
from tfbundle.graph.repair import repair_graph
from tfbundle.graph.savers import SaverNode, find_savers
from tfbundle.graph.sources import Source
from tfbundle.graph.wire import among, framed, take_apart
from tfbundle.pb import parse_message
from tfbundle.storage.stream import Stream

NOT_FLOAT = "the graph restores it as another dtype"
NO_VARIABLE = "no plain variable of the SavedModel"
NO_PART = "the graph restores other parts than are stored"
TOGETHER = "decided together with others that stay"

_GRAPH_DEF = 2  # of MetaGraphDef

HasPart = Callable[[str, str], bool]


class Rewritten(NamedTuple):
    """What was done to a graph.

    Attributes:
        num_casts: how many Casts were added.
        num_retyped: how many nodes that restore or save have other types.
        num_functions: how many functions were added.
        num_removed: how many nodes were taken out.
    """

    num_casts: int = 0
    num_retyped: int = 0
    num_functions: int = 0
    num_removed: int = 0


class Model:
    """One graph with its savers and objects.

    Args:
        source: in which a MetaGraphDef lies.
        place: where it starts and ends; the whole by default.
        objects: those of the checkpoint; empty for one of TF1.

    Attributes:
        message: the MetaGraphDef without its graph.
        graph: its graph.

    Raises:
        FormatError: the graph makes no sense, or a type in it does not fit.
    """

    def __init__(
        self, source: Source, place: tuple[int, int] | None = None, objects: Sequence[TrackableObject] = ()
    ) -> None:
        parts = take_apart("MetaGraphDef", source, [place or (0, source.nbytes)], [_GRAPH_DEF])
        if not parts.spans[_GRAPH_DEF]:
            raise FormatError("not a MetaGraphDef: no graph in it")
        self.message = parse_message("MetaGraphDef", parts.rest)
        self.graph = Graph(source, parts.spans[_GRAPH_DEF], self.message.meta_info_def.stripped_op_list.op)
        check_graph(self.graph)
        self._objects = objects

    def stream(self) -> Stream:
        """Return the MetaGraphDef as it is now."""
        rest = self.message.SerializeToString(deterministic=True)
        return among(rest, _GRAPH_DEF, framed(_GRAPH_DEF, self.graph.stream()))

    @cached_property
    def savers(self) -> list[SaverNode]:
        """The nodes that restore and save."""
        return find_savers(self.graph, self.message.saver_def.filename_tensor_name.partition(":")[0])

    @cached_property
    def _variables(self) -> dict[str, set[int]]:
        return find_variables(self.message.object_graph_def, self._objects)

    @property
    def _has_objects(self) -> bool:
        return bool(len(self.message.object_graph_def.nodes))

    def find_limits(self, names: Collection[str], has_part: HasPart) -> dict[str, str]:
        """Return those of some tensors that cannot be stored as float16, each with the reason.

        Args:
            names: of the tensors.
            has_part: tells of a name and the text that describes a part whether it is stored as such; the empty text
                stands for the whole.
        """
        limits: dict[str, str] = {}
        for saver in self.savers:
            for tensor in saver.tensors:
                for name in tensor.names:
                    if tensor.dtype != FLOAT:
                        limits.setdefault(name, NOT_FLOAT)
                    elif saver.restores and not all(has_part(name, part) for part in tensor.parts if name in names):
                        limits.setdefault(name, NO_PART)
        for name in names if self._has_objects else ():
            nodes = [self.message.object_graph_def.nodes[number] for number in self._variables.get(name, ())]
            if not nodes or not all(can_convert(name, node) for node in nodes):
                limits.setdefault(name, NO_VARIABLE)
        return {name: limits[name] for name in names if name in limits}

    def unite(self, classes: Classes) -> None:
        """Put names that have to be decided together into classes."""
        for saver in self.savers:
            for tensor in saver.tensors:
                if len(tensor.names) > 1:
                    classes.unite(tensor.names)
        by_node: dict[int, list[str]] = {}
        for name, numbers in self._variables.items():
            for number in numbers:
                by_node.setdefault(number, []).append(name)
        for names in by_node.values():
            classes.unite(names)

    @property
    def names(self) -> set[str]:
        """Names of all tensors that are restored or saved."""
        return {name for saver in self.savers for tensor in saver.tensors for name in tensor.names}

    def reduce(self, names: Collection[str]) -> Rewritten:
        """Let the graph restore and save some tensors no longer.

        Raises:
            UnsupportedError: what is restored is used otherwise.
        """
        wanted = sorted(self.names.intersection(names))
        if not wanted:
            return Rewritten()
        num_removed = reduce_savers(self.savers, wanted)
        if self._has_objects:
            hide_variables(
                self.message.object_graph_def, {at for name in wanted for at in self._variables.get(name, ())}
            )
        self.refresh()
        return Rewritten(num_removed=num_removed)

    def convert(self, names: Collection[str]) -> Rewritten:
        """Let the graph restore and save some tensors as float16; its variables stay float32.

        Raises:
            UnsupportedError: an op that nobody knows reads what is restored, or gives what is saved.
        """
        changed = _retype(self.savers, names)
        if not changed:
            return Rewritten()
        num_casts = repair_graph(self.graph.changed, changed)
        variables = {number for name in names for number in self._variables.get(name, ())} if self._has_objects else ()
        add_functions(self.graph, self.message.object_graph_def, variables)
        self.refresh()
        return Rewritten(num_casts, len(changed), 2 * len(variables))

    def refresh(self) -> None:
        """Look at the graph as it is now.

        Raises:
            FormatError: a type in it does not fit.
        """
        self.__dict__.pop("savers", None)
        check_graph(self.graph.changed)


def _retype(savers: Iterable[SaverNode], names: Collection[str]) -> set[tuple[str, str]]:
    """Let savers handle some tensors as float16; return the nodes that changed."""
    changed = set()
    for saver in savers:
        numbers = [
            number
            for number, tensor in enumerate(saver.tensors)
            if tensor.dtype == FLOAT and any(name in names for name in tensor.names)
        ]
        if numbers:
            saver.set_dtype(numbers, HALF)
            changed.add(saver.key)
    return changed


def settle(models: Iterable[Model], names: Collection[str], has_part: HasPart) -> Mapping[str, str]:
    """Return which of some tensors have to stay as they are for the sake of their graphs, each with the reason.

    Args:
        models: all graphs that read the checkpoint.
        names: of the tensors that are to be cast.
        has_part: as for ``Model.find_limits``.
    """
    limits: dict[str, str] = {}
    classes = Classes()
    for model in models:
        limits = {**model.find_limits(names, has_part), **limits}
        model.unite(classes)
    left = {name for name in names if name not in limits}
    return {**limits, **dict.fromkeys(classes.partial(left), TOGETHER)}
