"""Bodies of nodes: the main graph and every function, and which output each input of a node reads.

In the main graph an input is ``node`` or ``node:output``; in a function it is ``argument`` or ``node:list:output``, by
the name of an output in the op's signature. ``^node`` only says what has to run before.

Source: TensorFlow ``core/framework/node_def.proto``, ``core/framework/function.proto``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import EllipsisType
from typing import Any, NamedTuple

from tfbundle.errors import FormatError
from tfbundle.format.graph import label
from tfbundle.graph.node_types import NodeTypes, Value, node_types, signature_arguments
from tfbundle.graph.nodes import Nodes
from tfbundle.graph.ops import OpTable

_MOST_DIGITS = 9


class Origin(NamedTuple):
    """What an input reads.

    Attributes:
        name: of a node, or of an argument of the function.
        number: which output of the node, among all; 0 for an argument.
        is_argument: whether it is one.
    """

    name: str
    number: int
    is_argument: bool


class Body:
    """The nodes of a graph or of a function.

    Args:
        nodes: these.
        ops: signatures of their ops.
        function: the FunctionDef that the nodes are of, without them; None for the main graph.
        on_change: is called before something is changed.
    """

    def __init__(self, nodes: Nodes, ops: OpTable, function: Any, on_change: Callable[[Body], None]) -> None:
        self.nodes = nodes
        self.function = function
        self._ops = ops
        self._on_change = on_change
        self._types: list[NodeTypes | EllipsisType | None] = []  # in the order of nodes, as far as they were needed
        self.arguments = {} if function is None else signature_arguments(function.signature.input_arg)
        listed = [] if function is None else function.signature.input_arg
        self.argument_numbers = {each.name: number for number, each in enumerate(listed)}

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
        return self._types_of(node.name, node)

    def _types_of(self, name: str, node: Any = None) -> NodeTypes | None:
        """Return the types of a node that is there, by its name."""
        number = self.nodes.number(name)
        if number >= len(self._types):
            self._types += [...] * (len(self.nodes) - len(self._types))
        found = self._types[number]
        if found is ...:
            node = node or self.nodes[name]
            signature = self._ops.find(node.op)
            found = self._types[number] = None if signature is None else node_types(node, signature)
        return found

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
            return Origin(name, 0, True)
        if name not in self.nodes:
            raise FormatError(f"an input reads {reference!r}, which is not there", "", self._place())
        return Origin(name, self._output_number(name, reference, rest), False)

    def _place(self) -> str:
        return f"function {self.name!r}" if self.name else ""

    def _output_number(self, name: str, reference: str, rest: list[str]) -> int:
        digits = rest[-1] if rest else "0"
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
        if not is_number or len(rest) > (1 if self.function is None else 2):
            raise FormatError(f"an input reads {reference!r}, which names no output", "", self._place())
        if len(rest) < 2:
            return int(digits)
        types = self._types_of(name)
        if types is None:  # whose outputs nobody knows: by the name of the list they are told apart all the same
            return int(digits)
        place = types.outputs.place(rest[0], int(digits))
        if place is None:
            node = self.nodes[name]
            raise FormatError(f"an input reads {reference!r}; {node.op} has no such output", "", self.label(node))
        return place

    def source(self, origin: Origin) -> Any:
        """Return the node that an input reads; None for an argument."""
        return None if origin.is_argument else self.nodes[origin.name]

    def dtype(self, origin: Origin) -> int | None:
        """Return the dtype of what an input reads; None where nobody knows.

        Raises:
            FormatError: the node has no such output.
        """
        if origin.is_argument:
            return self.arguments.get(origin.name)
        value = self.output(origin)
        return None if value is None else value.dtype

    def output(self, origin: Origin) -> Value | None:
        """Return an output of a node; None where nobody knows its outputs.

        Raises:
            FormatError: the node has no such output.
        """
        types = self._types_of(origin.name)
        if types is None:
            return None
        value = types.outputs.find(origin.number)
        if value is None:
            node = self.nodes[origin.name]
            message = f"output {origin.number} is read, {node.op} has {types.outputs.count}"
            raise FormatError(message, "", self.label(node))
        return value

    def reference(self, name: str, number: int = 0) -> str:
        """Return the text by which an input reads an output of a node whose types are known."""
        if self.function is None:
            return f"{name}:{number}" if number else name
        types = self._types_of(name)
        value = None if types is None else types.outputs.find(number)
        if value is None:
            node = self.nodes[name]
            raise FormatError(f"{node.op} has no output {number}", "", self.label(node))
        return f"{name}:{value.argument}:{value.number}"

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
        while name in self.nodes or name in self.argument_numbers:
            number += 1
            name = f"{wanted}_{number}"
        return name

    @contextmanager
    def change(self, name: str) -> Iterator[Any]:
        """Give a node to be changed, and put it back after that; its name becomes one that no other has."""
        node = self.nodes[name]
        yield node
        self._on_change(self)
        if self.nodes.number(name) < len(self._types):
            self._types[self.nodes.number(name)] = ...
        self.nodes.put(name, node)

    def change_function(self) -> Any:
        """Return the FunctionDef, which is to be changed, without its nodes."""
        self._on_change(self)
        return self.function

    def add(self, node: Any) -> None:
        """Add a node at the end, under a name that no other has."""
        self._on_change(self)
        self.nodes.add(node)

    def keep_nodes(self, names: Collection[str]) -> None:
        """Remove all nodes but some."""
        self._on_change(self)
        self._types.clear()
        self.nodes.keep(names)
