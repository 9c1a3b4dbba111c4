"""A graph with its functions, of which only those are in memory that are looked at, or changed.

Source: TensorFlow ``core/framework/graph.proto``, ``function.proto``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from tfbundle.errors import FormatError
from tfbundle.graph.bodies import Body
from tfbundle.graph.nodes import Nodes
from tfbundle.graph.ops import OpTable
from tfbundle.graph.sources import Memory, Source
from tfbundle.graph.wire import among, framed, take_apart
from tfbundle.pb import parse_message
from tfbundle.storage.stream import Stream, joined, whole

_NODE, _LIBRARY = 1, 2  # of GraphDef
_FUNCTION = 1  # of FunctionDefLibrary
_NODE_DEF = 3  # of FunctionDef


class _Place(NamedTuple):
    """Where a message lies."""

    source: Source
    start: int
    end: int

    def read(self) -> Memory:
        """Return the message alone: it is small, and looked at here and there."""
        return Memory(self.source.read(self.start, self.end))


class Graph:
    """A graph with its functions.

    Args:
        source: in which a GraphDef lies.
        places: where it does, in several places if it was written in pieces; the whole by default.
        own_ops: OpDefs that come with it.

    Attributes:
        main: the main graph.
        library: a FunctionDefLibrary without functions, but with gradients.

    Raises:
        FormatError: no GraphDef; or two nodes of one body, or two functions, have the same name.

    Example:
        >>> [body.name for body in Graph(Memory(b""))]
        ['']
    """

    def __init__(
        self, source: Source, places: Iterable[tuple[int, int]] | None = None, own_ops: Iterable[Any] = ()
    ) -> None:
        everything = [(0, source.nbytes)] if places is None else places
        parts = take_apart("GraphDef", source, everything, (_NODE, _LIBRARY))
        parse_message("GraphDef", parts.rest)  # it has to be sound, too
        self._rest = parts.rest
        library = take_apart("FunctionDefLibrary", source, parts.spans[_LIBRARY], [_FUNCTION])
        self._has_library = bool(parts.spans[_LIBRARY])
        self.library = parse_message("FunctionDefLibrary", library.rest)
        self._functions: dict[str, _Place] = {}
        self._ops = OpTable(own_ops, self._signature)
        self._changed: dict[str, Body] = {}
        self._seen: WeakValueDictionary[str, Body] = WeakValueDictionary()
        for place in library.spans[_FUNCTION]:
            self._register(_Place(source, *place))
        self.main = Body(Nodes(source, parts.spans[_NODE]), self._ops, None, self._remember)

    def _register(self, place: _Place) -> None:
        name = _header(place).signature.name
        if not name:
            raise FormatError("a function has no name")
        if self._functions.setdefault(name, place) is not place:
            raise FormatError("two functions have this name", "", f"function {name!r}")

    def _remember(self, body: Body) -> None:
        self._changed[body.name] = body

    def _signature(self, name: str) -> Any:
        return _header(self._functions[name]).signature if name in self._functions else None

    @property
    def functions(self) -> Collection[str]:
        """Names of all functions."""
        return self._functions.keys()

    def body(self, name: str) -> Body:
        """Return a function, or the main graph for the empty name.

        Raises:
            FormatError: a node of it is none, or two have the same name.
        """
        if not name:
            return self.main
        body = self._seen.get(name)
        if body is None:
            function = self._functions[name].read()
            parts = take_apart("FunctionDef", function, [(0, function.nbytes)], [_NODE_DEF])
            nodes = Nodes(function, parts.spans[_NODE_DEF], f" of function {name!r}")
            body = Body(nodes, self._ops, parse_message("FunctionDef", parts.rest), self._remember)
            self._seen[name] = body
        return body

    def __iter__(self) -> Iterator[Body]:
        yield self.main
        for name in list(self._functions):
            yield self.body(name)

    @property
    def changed(self) -> list[Body]:
        """The bodies that were changed, or added."""
        return list(self._changed.values())

    def add_function(self, message: Any) -> None:
        """Add a function.

        Args:
            message: a FunctionDef; its name is of no other.
        """
        data = message.SerializeToString(deterministic=True)
        self._register(_Place(Memory(data), 0, len(data)))
        self._remember(self.body(message.signature.name))

    def keep_functions(self, names: Collection[str]) -> None:
        """Remove all functions but some, and the gradients of the others."""
        self._functions = {name: place for name, place in self._functions.items() if name in names}
        for name in self._changed.keys() - self._functions.keys() - {""}:
            del self._changed[name]
        gradients = [gradient for gradient in self.library.gradient if gradient.function_name in names]
        copies = [type(each).FromString(each.SerializeToString()) for each in gradients]
        del self.library.gradient[:]
        self.library.gradient.extend(copies)

    def stream(
        self,
        contents: Mapping[str, Stream] = MappingProxyType({}),
        behind: Mapping[str, str] = MappingProxyType({}),
    ) -> Stream:
        """Return the graph as a GraphDef.

        Args:
            contents: as in ``Nodes.stream``, of the main graph.
            behind: likewise.
        """
        functions = joined(*(framed(_FUNCTION, self._function_stream(name)) for name in self._functions))
        library = among(self.library.SerializeToString(deterministic=True), _FUNCTION, functions)
        nodes = self.main.nodes.stream(_NODE, contents, behind)
        is_needed = self._has_library or library.nbytes
        return joined(nodes, among(self._rest, _LIBRARY, framed(_LIBRARY, library) if is_needed else whole(b"")))

    def _function_stream(self, name: str) -> Stream:
        body = self._changed.get(name)
        if body is None:
            place = self._functions[name]
            return Stream(place.end - place.start, lambda: (place.source.read(place.start, place.end),))
        rest = body.function.SerializeToString(deterministic=True)
        return among(rest, _NODE_DEF, body.nodes.stream(_NODE_DEF))


def _header(place: _Place) -> Any:
    """Return a FunctionDef without its nodes."""
    function = place.read()
    return parse_message("FunctionDef", take_apart("FunctionDef", function, [(0, function.nbytes)], [_NODE_DEF]).rest)
