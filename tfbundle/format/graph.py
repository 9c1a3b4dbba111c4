"""Graphs of TensorFlow: nodes by name, what they read, and the bodies of functions they call.

A reference to a value is ``node`` or ``node:output``, in the body of a function ``node:list:output``; ``^node`` only
says what has to run before. Names are looked up where they are used: a graph may lack what nobody asks for.

Source: TensorFlow ``core/framework/node_def.proto``, ``core/framework/function.proto``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tfbundle.errors import FormatError
from tfbundle.format.dtypes import STRING
from tfbundle.format.varints import decode_varints

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_MOST_HOPS = 32  # between a value's origin and its use; real graphs have one or two


class Scope:
    """The nodes of a graph, or of the body of a function that is called.

    Args:
        nodes: NodeDef messages.
        arguments: what stands for each argument of the function: a reference to no argument, and where it holds.

    Raises:
        FormatError: two nodes have the same name.
    """

    def __init__(self, nodes: Iterable[Any], arguments: Mapping[str, tuple[Scope, str]] | None = None) -> None:
        self.nodes: dict[str, Any] = {}
        self.arguments = arguments or {}
        for node in nodes:
            if self.nodes.setdefault(node.name, node) is not node:
                raise FormatError("two nodes have this name", "", label(node))


class Output(NamedTuple):
    """A value: which output of which node."""

    scope: Scope
    node: Any
    number: int


class Graph:
    """A graph and its functions.

    Args:
        message: a GraphDef.

    Raises:
        FormatError: two nodes, or two functions, have the same name.
    """

    def __init__(self, message: Any) -> None:
        self.top = Scope(message.node)
        self._functions = {function.signature.name: function for function in message.library.function}
        if len(self._functions) < len(message.library.function):
            raise FormatError("two functions have the same name")

    def iter_needed(self, name: str) -> Iterator[tuple[Scope, Any]]:
        """Yield a node and all that it needs, each once, and with a node that calls a function the function's body.

        A function's body comes once, whoever calls it.

        Raises:
            FormatError: a node or a function that is needed is not there.
        """
        waiting = [find_output(self.top, name)]
        seen = {(self.top, waiting[0].node.name)}
        called: set[str] = set()
        while waiting:
            scope, node, _ = waiting.pop()
            yield scope, node
            found = [find_output(scope, reference.removeprefix("^")) for reference in node.input]
            if node.op in _CALLS and (function := attribute(node, "f", "func").name) not in called:
                called.add(function)
                body = self._body(scope, node, function)
                found += [Output(body, inner, 0) for inner in body.nodes.values()]
            for output in found:
                place = (output.scope, output.node.name)
                if place not in seen:
                    seen.add(place)
                    waiting.append(output)

    def _body(self, scope: Scope, call: Any, name: str) -> Scope:
        function = self._functions.get(name)
        if function is None:
            raise FormatError(f"calls the function {name!r}, which the graph does not have", "", label(call))
        arguments = [argument.name for argument in function.signature.input_arg]
        passed = data_inputs(call)
        if len(arguments) != len(passed):
            raise FormatError(f"{name!r} takes {len(arguments)} arguments, {len(passed)} are passed", "", label(call))
        origins = (_at_origin(scope, reference) for reference in passed)
        return Scope(function.node_def, dict(zip(arguments, origins, strict=True)))


def label(node: Any) -> str:
    """Return how messages call a node."""
    return f"node {node.name!r}"


def data_inputs(node: Any) -> list[str]:
    """Return references to the values that a node reads."""
    return [reference for reference in node.input if not reference.startswith("^")]


def find_output(scope: Scope, reference: str) -> Output:
    """Return the value that a reference means, that of the caller where it means a function's argument.

    Raises:
        FormatError: there is no such node.
    """
    scope, reference = _at_origin(scope, reference)
    name, *place = reference.split(":")
    node = scope.nodes.get(name)
    if node is None:
        raise FormatError(f"node {name!r} is needed, which the graph does not have")
    digits = place[-1] if place else "0"
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise FormatError(f"{reference!r} names no output of a node", "", label(node))
    return Output(scope, node, int(digits))


def _at_origin(scope: Scope, reference: str) -> tuple[Scope, str]:
    """Return a reference and where it holds; for a function's argument what was passed for it."""
    return scope.arguments.get(reference.partition(":")[0], (scope, reference))


def input_output(scope: Scope, node: Any, number: int) -> Output:
    """Return the value that a node reads as its input of some number.

    Raises:
        FormatError: it has no such input, or one that is not there.
    """
    inputs = data_inputs(node)
    if number >= len(inputs):
        raise FormatError(f"{node.op} has {len(inputs)} inputs, expected at least {number + 1}", "", label(node))
    return find_output(scope, inputs[number])


def follow(output: Output, through: Collection[str]) -> tuple[Output, set[str]]:
    """Go back from a value to its origin, through the first input of every node of the given ops.

    Returns:
        The origin, and the ops on the way.

    Raises:
        FormatError: the way leads nowhere, or in a circle.
    """
    passed: set[str] = set()
    start = output
    for _ in range(_MOST_HOPS):
        if output.node.op not in through:
            return output, passed
        passed.add(output.node.op)
        output = input_output(output.scope, output.node, 0)
    raise FormatError(f"its value passes through more than {_MOST_HOPS} nodes", "", label(start.node))


def attribute(node: Any, name: str, kind: str) -> Any:
    """Return the value of a node's attribute.

    Args:
        node: a NodeDef.
        name: of the attribute.
        kind: field of AttrValue that holds it.

    Raises:
        FormatError: there is no such attribute, or it is of another kind.
    """
    value = node.attr.get(name)
    if value is None or value.WhichOneof("value") != kind:
        raise FormatError(f"{node.op} has no attribute {name!r} of the kind {kind!r}", "", label(node))
    return getattr(value, kind)


def string_constant(node: Any, num_elements: int) -> list[bytes]:
    """Return the strings of a constant: a vector of so many, or a scalar for one.

    Raises:
        FormatError: it is no constant, or one with other values.
    """
    if node.op != "Const":
        raise FormatError(f"{node.op} instead of a constant with {num_elements} strings", "", label(node))
    tensor = attribute(node, "value", "tensor")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype != STRING.number or not (shape == [num_elements] or (not shape and num_elements == 1)):
        raise FormatError(f"dtype {tensor.dtype} and shape {shape} instead of {num_elements} strings", "", label(node))
    values = list(tensor.string_val)
    if tensor.tensor_content:
        values = _split_content(tensor.tensor_content, num_elements, node)
    if len(values) > num_elements:
        raise FormatError(f"{len(values)} values for {num_elements} elements", "", label(node))
    return values + (values[-1:] or [b""]) * (num_elements - len(values))


def _split_content(data: bytes, num_elements: int, node: Any) -> list[bytes]:
    """Return the strings of ``tensor_content``.

    Source: TensorFlow ``core/platform/tensor_coding.cc`` (``DecodeStringList``).
    """
    sizes, position = decode_varints(data, num_elements)
    if len(sizes) < num_elements or position + sum(sizes) != len(data):
        raise FormatError(f"{len(data)} bytes do not hold {num_elements} strings", "", label(node))
    values = []
    for size in sizes:
        values.append(data[position : position + size])
        position += size
    return values
