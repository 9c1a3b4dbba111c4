"""Bodies of nodes: the main graph and every function, and which output each input of a node reads.

In the main graph an input is ``node`` or ``node:output``; in a function it is ``argument`` or ``node:list:output``, by
the name of an output in the op's signature. ``^node`` only says what has to run before.

Source: TensorFlow ``core/framework/node_def.proto``, ``core/framework/function.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tfbundle.errors import FormatError
from tfbundle.format.graph import label
from tfbundle.graph.node_types import NodeTypes, Value, node_types, signature_arguments
from tfbundle.graph.ops import OpTable

_MOST_DIGITS = 9


class Origin(NamedTuple):
    """What an input reads.

    Attributes:
        name: of a node, or of an argument of the function.
        number: which output of the node, among all; 0 for an argument.
        node: the node; None for an argument.
    """

    name: str
    number: int
    node: Any


class Body:
    """The nodes of a graph or of a function.

    Args:
        nodes: the repeated field of NodeDef messages.
        ops: signatures of their ops.
        function: the FunctionDef that the nodes are of; None for the main graph.

    Raises:
        FormatError: two nodes have the same name.
    """

    def __init__(self, nodes: Any, ops: OpTable, function: Any = None) -> None:
        self.nodes = nodes
        self.function = function
        self._ops = ops
        self._types: dict[str, NodeTypes | None] = {}
        self.arguments = {} if function is None else signature_arguments(function.signature.input_arg)
        listed = [] if function is None else function.signature.input_arg
        self.argument_numbers = {each.name: number for number, each in enumerate(listed)}
        self.by_name: dict[str, Any] = {}
        for node in nodes:
            if self.by_name.setdefault(node.name, node) is not node:
                raise FormatError("two nodes have this name", "", self.label(node))

    @property
    def name(self) -> str:
        """Name of the function; empty for the main graph."""
        return "" if self.function is None else str(self.function.signature.name)

    def label(self, node: Any) -> str:
        """Return how messages call a node."""
        return label(node) + (f" of function {self.name!r}" if self.name else "")

    def types(self, node: Any) -> NodeTypes | None:
        """Return what a node reads and gives; None where nobody knows.

        Raises:
            FormatError: its attributes make no sense.
        """
        name = node.name
        if name not in self._types:
            signature = self._ops.find(node.op)
            self._types[name] = None if signature is None else node_types(node, signature)
        return self._types[name]

    def forget_types(self, node: Any) -> None:
        """Let the types of a node be found again, whose attributes have changed."""
        self._types.pop(node.name, None)

    def is_known(self, op: str) -> bool:
        """Tell whether the signature of an op is known."""
        return self._ops.find(op) is not None

    def origin(self, reference: str) -> Origin:
        """Return what an input reads.

        Raises:
            FormatError: it names nothing that is there.
        """
        name, *rest = reference.split(":")
        if name in self.argument_numbers:
            return Origin(name, 0, None)
        node = self.by_name.get(name)
        if node is None:
            raise FormatError(f"an input reads {reference!r}, which is not there", "", self._place())
        return Origin(name, self._output_number(node, reference, rest), node)

    def _place(self) -> str:
        return f"function {self.name!r}" if self.name else ""

    def _output_number(self, node: Any, reference: str, rest: list[str]) -> int:
        digits = rest[-1] if rest else "0"
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
        if not is_number or len(rest) > (1 if self.function is None else 2):
            raise FormatError(f"an input reads {reference!r}, which names no output", "", self._place())
        if len(rest) < 2:
            return int(digits)
        types = self.types(node)
        if types is None:  # whose outputs nobody knows: by the name of the list they are told apart all the same
            return int(digits)
        place = types.outputs.place(rest[0], int(digits))
        if place is None:
            raise FormatError(f"an input reads {reference!r}; {node.op} has no such output", "", self.label(node))
        return place

    def dtype(self, origin: Origin) -> int | None:
        """Return the dtype of what an input reads; None where nobody knows.

        Raises:
            FormatError: the node has no such output.
        """
        if origin.node is None:
            return self.arguments.get(origin.name)
        value = self.output(origin)
        return None if value is None else value.dtype

    def output(self, origin: Origin) -> Value | None:
        """Return an output of a node; None where nobody knows its outputs.

        Raises:
            FormatError: the node has no such output.
        """
        types = self.types(origin.node)
        if types is None:
            return None
        value = types.outputs.find(origin.number)
        if value is None:
            message = f"output {origin.number} is read, {origin.node.op} has {types.outputs.count}"
            raise FormatError(message, "", self.label(origin.node))
        return value

    def reference(self, node: Any, number: int = 0) -> str:
        """Return the text by which an input reads an output of a node whose types are known."""
        if self.function is None:
            return f"{node.name}:{number}" if number else str(node.name)
        types = self.types(node)
        value = None if types is None else types.outputs.find(number)
        if value is None:
            raise FormatError(f"{node.op} has no output {number}", "", self.label(node))
        return f"{node.name}:{value.argument}:{value.number}"

    def data_inputs(self, node: Any) -> list[tuple[int, Origin]]:
        """Return the inputs of a node that are values: their places in ``node.input``, and what they read.

        Raises:
            FormatError: one names nothing that is there.
        """
        return [
            (at, self.origin(reference)) for at, reference in enumerate(node.input) if not reference.startswith("^")
        ]

    def unique_name(self, wanted: str) -> str:
        """Return a name that no node has yet, ``wanted`` or with a number at its end."""
        name, number = wanted, 0
        while name in self.by_name or name in self.argument_numbers:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def add(self, name: str, op: str, inputs: list[str], device: str = "") -> Any:
        """Add a node at the end, under a name that no other has."""
        node = self.nodes.add(name=name, op=op, input=inputs, device=device)
        self.by_name[name] = node
        return node

    def keep_nodes(self, nodes: list[Any]) -> None:
        """Remove all nodes but some, in whatever order these are given."""
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del self.nodes[:]
        self.nodes.extend(copies)
        self.by_name = {node.name: node for node in self.nodes}
        self._types.clear()


class Graph:
    """A graph with its functions.

    Args:
        message: a GraphDef.
        own_ops: OpDefs that come with it.

    Raises:
        FormatError: two nodes of one body, or two functions, have the same name.
    """

    def __init__(self, message: Any, own_ops: Any = ()) -> None:
        functions = message.library.function
        self.message = message
        self.ops = OpTable(own_ops, functions)
        self.main = Body(message.node, self.ops)
        self.functions = {
            function.signature.name: Body(function.node_def, self.ops, function) for function in functions
        }

    def __iter__(self) -> Iterator[Body]:
        yield self.main
        yield from self.functions.values()
