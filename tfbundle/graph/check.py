"""Whether every input of every node gets the type that its op wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tfbundle.errors import FormatError
from tfbundle.format.dtypes import dtype_name
from tfbundle.graph.bodies import Body, Origin
from tfbundle.graph.node_types import Value


class Edge(NamedTuple):
    """A value on its way into a node, or out of a function.

    Attributes:
        reader: the node that reads it, as it is before changes; None where the function returns it.
        place: its number among ``reader.input``; the name of the function's result.
        origin: where it comes from.
        have: its dtype by number, None where nobody knows.
        want: what is read, likewise; None where nobody knows.
    """

    reader: Any
    place: int | str
    origin: Origin
    have: int | None
    want: Value | None

    @property
    def fits(self) -> bool:
        """Whether the two are the same, as far as it is known."""
        return self.have is None or self.want is None or self.have == self.want.dtype


def iter_edges(body: Body) -> Iterator[Edge]:
    """Yield all edges of a body.

    Raises:
        FormatError: an input reads what is not there, or a node has another number of inputs than its op wants.
    """
    for node in body.nodes:
        types, inputs = body.types(node), body.data_inputs(node)
        if types is not None and len(inputs) != types.inputs.count:
            message = f"{node.op} has {len(inputs)} inputs, expected {types.inputs.count}"
            raise FormatError(message, "", body.label(node))
        for number, (at, origin) in enumerate(inputs):
            want = None if types is None else types.inputs.find(number)
            yield Edge(node, at, origin, body.dtype(origin), want)
    if body.function is not None:
        yield from _iter_results(body)


def _iter_results(body: Body) -> Iterator[Edge]:
    for result in body.function.signature.output_arg:
        reference = body.function.ret.get(result.name)
        if reference is None:
            raise FormatError(f"the result {result.name!r} comes from nowhere", "", f"function {body.name!r}")
        origin = body.origin(reference)
        want = Value(result.name, 0, result.type, False) if result.type and not result.number_attr else None
        yield Edge(None, result.name, origin, body.dtype(origin), want)


def check_graph(bodies: Iterable[Body]) -> None:
    """Check the types of all edges.

    Args:
        bodies: a graph, or some of it.

    Raises:
        FormatError: one does not fit; the message names its node.

    Example:
        >>> from tfbundle.graph.library import Graph
        >>> from tfbundle.graph.sources import Memory
        >>> check_graph(Graph(Memory(b"")))
    """
    for body in bodies:
        for edge in iter_edges(body):
            if not edge.fits:
                raise mismatch(body, edge)


def mismatch(body: Body, edge: Edge) -> FormatError:
    """Return the error for an edge that does not fit."""
    want = dtype_name(edge.want.dtype) if edge.want else "another type"
    have = dtype_name(edge.have) if edge.have else "another type"
    where = f"function {body.name!r}" if edge.reader is None else body.label(edge.reader)
    return FormatError(f"reads {edge.origin.name!r}, which is {have}, expected {want}", "", where)
