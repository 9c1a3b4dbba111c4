"""Putting a Cast wherever float32 meets float16.

Readers of one value that want the same type share one Cast, on the device of the node that gives the value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tfbundle.errors import UnsupportedError
from tfbundle.graph.bodies import Body, Origin
from tfbundle.graph.check import Edge, iter_edges, mismatch
from tfbundle.graph.node_types import FLOAT, HALF
from tfbundle.pb import message_class

_SUFFIXES = {FLOAT: "cast_f32", HALF: "cast_f16"}


def repair_graph(bodies: Iterable[Body], changed: Collection[tuple[str, str]]) -> int:
    """Make the types of all edges fit again; return how many Casts that took.

    Args:
        bodies: in which some nodes changed their types.
        changed: these nodes: name of the function, empty for the main graph, and of the node.

    Raises:
        UnsupportedError: a value that changed goes to or comes from an op that nobody knows.
        FormatError: types that do not fit and are not float32 and float16.
    """
    return sum(_Repair(body, changed).run() for body in bodies)


class _Repair:
    def __init__(self, body: Body, changed: Collection[tuple[str, str]]) -> None:
        self._body = body
        self._changed = {node for function, node in changed if function == body.name}
        self._casts: dict[tuple[str, int, int], str] = {}
        self._inputs: dict[str, dict[int, str]] = {}  # what nodes are to read, by their names and places

    def run(self) -> int:
        for edge in iter_edges(self._body):
            if edge.have is None or edge.want is None:
                self._check_unknown(edge)
            elif edge.have != edge.want.dtype:
                self._mend(edge, edge.have, edge.want.dtype)
        for name, inputs in self._inputs.items():
            with self._body.change(name) as node:
                for place, reference in inputs.items():
                    node.input[place] = reference
        return len(self._casts)

    def _check_unknown(self, edge: Edge) -> None:
        """Refuse an edge at one end of which float16 is new, and of the other end nobody knows the types."""
        want = None if edge.want is None else edge.want.dtype
        source = self._body.source(edge.origin)
        for node, dtype, other in ((edge.reader, want, source), (source, edge.have, edge.reader)):
            if node is None or other is None or dtype != HALF or node.name not in self._changed:
                continue
            if self._body.is_known(other.op):
                reason = f"the attributes of its op {other.op!r} do not tell its types"
            else:
                reason = f"nobody knows the op {other.op!r}"
            message = f"{self._body.label(other)}: {reason}, so that those of {node.name!r} cannot change"
            raise UnsupportedError(message)

    def _mend(self, edge: Edge, have: int, want: int) -> None:
        if {have, want} != {FLOAT, HALF}:
            raise mismatch(self._body, edge)
        if edge.want is not None and edge.want.is_ref:
            raise UnsupportedError(f"{self._body.label(edge.reader)} reads a reference, which cannot be cast")
        cast = self._cast(edge.origin, have, want)
        if edge.reader is None:
            self._body.change_function().ret[edge.place] = cast
        else:
            self._inputs.setdefault(edge.reader.name, {})[int(edge.place)] = cast

    def _cast(self, origin: Origin, have: int, want: int) -> str:
        key = (origin.name, origin.number, want)
        if key not in self._casts:
            self._casts[key] = self._add(origin, have, want)
        return self._casts[key]

    def _add(self, origin: Origin, have: int, want: int) -> str:
        body = self._body
        if origin.is_argument:
            source, device = origin.name, ""
        else:
            source, device = body.reference(origin.name, origin.number), body.nodes[origin.name].device
        number = f"_{origin.number}" if origin.number else ""
        name = body.unique_name(f"{origin.name}/{_SUFFIXES[want]}{number}")
        body.add(make_cast(name, source, (have, want), device))
        return body.reference(name)


def set_inputs(node: Any, inputs: Sequence[str]) -> None:
    """Let a node have other inputs."""
    del node.input[:]
    node.input.extend(inputs)


def make_cast(name: str, source: str, dtypes: tuple[int, int], device: str = "") -> Any:
    """Return a Cast from one dtype to another.

    Example:
        >>> make_cast("c", "a", (FLOAT, HALF)).attr["DstT"].type == HALF
        True
    """
    node = message_class("NodeDef")(name=name, op="Cast", input=[source], device=device)
    node.attr["SrcT"].type, node.attr["DstT"].type = dtypes
    node.attr["Truncate"].b = False
    return node
