"""The nodes that restore tensors from a checkpoint and save them, and the keys that each names.

A saver of TF1 stands in the main graph, perhaps several of them, perhaps one for each device; that of TF2 within
functions. Names are constants, of the same body or passed to the function. What restores from another file, whose name
is a constant, is no part of a saver.

Source: TensorFlow ``core/ops/io_ops.cc``, ``python/training/saver.py``, ``python/checkpoint/functional_saver.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import STRING
from tfbundle.format.graph import attribute, data_inputs, string_constant
from tfbundle.format.naming import key_to_name
from tfbundle.graph.bodies import Body, Origin
from tfbundle.graph.library import Graph

_MOST_HOPS = 32
_DEFAULT_FILENAME = b"model"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


class _Kind(NamedTuple):
    """How an op of a saver says what it reads or writes.

    Attributes:
        types: attribute with the dtypes: a list, or one.
        names: which input has the names.
        parts: which input says what part of a tensor is meant; None for the whole.
        restores: whether it restores.
    """

    types: str
    names: int
    parts: int | None
    restores: bool


_KINDS = {
    "RestoreV2": _Kind("dtypes", 1, 2, True),
    "RestoreSlice": _Kind("dt", 1, 2, True),
    "Restore": _Kind("dt", 1, None, True),
    "SaveV2": _Kind("dtypes", 1, 2, False),
    "SaveSlices": _Kind("T", 1, 2, False),
    "Save": _Kind("T", 1, None, False),
}
_SINGLE = ("RestoreSlice", "Restore")


class Tensor(NamedTuple):
    """One tensor that a node restores or saves.

    Attributes:
        names: what it may be called, one name for each call of the function.
        parts: which part of it is meant, likewise, as text; empty for the whole.
        dtype: by number.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    dtype: int


class SaverNode(NamedTuple):
    """A node that restores or saves.

    Attributes:
        body: where it stands.
        name: of the node.
        op: of the node.
        restores: whether it restores.
        tensors: what it restores or saves.
    """

    body: Body
    name: str
    op: str
    restores: bool
    tensors: tuple[Tensor, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Name of the function, and of the node."""
        return self.body.name, self.name

    @property
    def node(self) -> Any:
        """The NodeDef as it is now."""
        return self.body.nodes[self.name]

    def set_dtype(self, numbers: Iterable[int], dtype: int) -> None:
        """Let some tensors have another dtype."""
        with self.body.change(self.name) as node:
            value = node.attr[_KINDS[self.op].types]
            for number in numbers:
                if self.op in _SINGLE:
                    value.type = dtype
                else:
                    value.list.type[number] = dtype


def find_savers(graph: Graph, filename: str = "") -> list[SaverNode]:
    """Return the nodes that restore and save tensors.

    Args:
        graph: where to look.
        filename: the node that has the name of the checkpoint, as far as it is known.

    Raises:
        FormatError: one does not say what it restores, or says it of another number of tensors.
        UnsupportedError: names that are no constants.
    """
    finder = _Finder(graph, filename)
    return [
        finder.describe(body, node)
        for body in graph
        for node in body.nodes
        if node.op in _KINDS and finder.is_of_saver(body, node)
    ]


class Sources:
    """Where values come from, by way of Identity and of the arguments of functions.

    Args:
        graph: in which they are.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._callers: dict[str, list[tuple[str, str]]] | None = None
        self._passed: dict[tuple[str, str], list[str]] = {}

    def find(self, body: Body, start: Origin) -> Iterator[tuple[Body, Origin]]:
        """Yield where a value comes from: many places, where a function is called more than once."""
        waiting, seen = [(body, start)], set()
        while waiting:
            where, value = waiting.pop()
            origin = _through_identities(where, value)
            if (where.name, origin.name) in seen:
                continue
            seen.add((where.name, origin.name))
            passed = list(self._iter_passed(where, origin.name)) if origin.is_argument else []
            if passed:
                waiting += passed
            else:
                yield where, origin

    def _iter_passed(self, body: Body, argument: str) -> Iterator[tuple[Body, Origin]]:
        """Yield what callers pass for an argument of a function."""
        number = body.argument_numbers[argument]
        for function, call in self._calls_of(body.name):
            caller = self._graph.body(function)
            if (function, call) not in self._passed:  # a function may have many arguments
                self._passed[function, call] = data_inputs(caller.nodes[call])
            inputs = self._passed[function, call]
            if number < len(inputs):
                yield caller, caller.origin(inputs[number])

    def _calls_of(self, function: str) -> list[tuple[str, str]]:
        """Return the nodes that call a function: the function each is in, and its name."""
        if self._callers is None:
            self._callers = {}
            for body in self._graph:
                for node in body.nodes:
                    if node.op in _CALLS:
                        self._callers.setdefault(attribute(node, "f", "func").name, []).append((body.name, node.name))
        return self._callers.get(function, [])


class _Finder:
    def __init__(self, graph: Graph, filename: str) -> None:
        self._sources = Sources(graph)
        self._filename = filename
        self._strings: dict[tuple[str, str, int], tuple[str, ...]] = {}

    def is_of_saver(self, body: Body, node: Any) -> bool:
        """Tell whether a node reads the file that a saver is told to read."""
        if not _KINDS[node.op].restores:
            return True
        origins = self._sources.find(body, _input(body, node, 0))
        return not all(
            origin.name != self._filename and _is_other_file(where.source(origin)) for where, origin in origins
        )

    def describe(self, body: Body, node: Any) -> SaverNode:
        """Return what a node restores or saves."""
        kind = _KINDS[node.op]
        if node.op in _SINGLE:
            dtypes = [attribute(node, kind.types, "type")]
        else:
            dtypes = list(attribute(node, kind.types, "list").type)
        names = self._find_strings(body, node, kind.names, len(dtypes))
        parts = self._find_strings(body, node, kind.parts, len(dtypes)) if kind.parts else [("",) * len(dtypes)]
        tensors = (
            Tensor(_distinct(names, number), _distinct(parts, number), dtype) for number, dtype in enumerate(dtypes)
        )
        return SaverNode(body, node.name, node.op, kind.restores, tuple(tensors))

    def _find_strings(self, body: Body, node: Any, number: int, count: int) -> list[tuple[str, ...]]:
        """Return the constants that an input of a node may read, each a text for every tensor."""
        found = []
        for where, origin in self._sources.find(body, _input(body, node, number)):
            source = where.source(origin)
            if source is None or source.op != "Const":
                raise UnsupportedError(f"{body.label(node)}: the names of its tensors are no constants")
            place = (where.name, origin.name, count)
            if place not in self._strings:
                self._strings[place] = tuple(map(key_to_name, string_constant(source, count)))
            found.append(self._strings[place])
        return found


def _input(body: Body, node: Any, number: int) -> Origin:
    inputs = body.data_inputs(node)
    if number >= len(inputs):
        raise FormatError(f"{node.op} has {len(inputs)} inputs, expected more than {number}", "", body.label(node))
    return inputs[number][1]


def _distinct(columns: list[tuple[str, ...]], number: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each[number] for each in columns))


def _through_identities(body: Body, origin: Origin) -> Origin:
    for _ in range(_MOST_HOPS):
        node = body.source(origin)
        if node is None or node.op != "Identity":
            return origin
        inputs = body.data_inputs(node)
        if not inputs:
            raise FormatError("Identity has no input", "", body.label(node))
        origin = inputs[0][1]
    raise FormatError(f"its value passes through more than {_MOST_HOPS} nodes", "", body.label(node))


def _is_other_file(node: Any) -> bool:
    """Tell whether a node is a constant with the name of a file, other than the one that savers have by default."""
    if node is None or node.op != "Const":
        return False
    tensor = attribute(node, "value", "tensor")
    return tensor.dtype == STRING.number and tensor.string_val[:1] not in ([], [_DEFAULT_FILENAME])
