"""Graphs by hand: nodes as messages, put together as a ``.meta`` file holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tfbundle.graph.library import Graph
from tfbundle.graph.models import Model
from tfbundle.graph.sources import Memory
from tfbundle.pb import message_class, parse_message
from tfbundle.storage.stream import Stream

FLOAT, STRING, INT64, HALF, RESOURCE = 1, 7, 9, 19, 20


def node(name: str, op: str, *inputs: str, **attributes: Any) -> Any:
    """Return a NodeDef; ``attributes`` are AttrValue messages."""
    message = message_class("NodeDef")(name=name, op=op, input=inputs)
    for key, value in attributes.items():
        message.attr[key].CopyFrom(value)
    return message


def value(**fields: Any) -> Any:
    """Return an AttrValue, such as ``value(type=1)``."""
    return message_class("AttrValue")(**fields)


def shape_of(sizes: Iterable[int] | None) -> Any:
    """Return a TensorShapeProto, of unknown rank for None."""
    shape = message_class("TensorShapeProto")(unknown_rank=sizes is None)
    for size in sizes or ():
        shape.dim.add(size=size)
    return shape


def types(*numbers: int) -> Any:
    """Return an AttrValue with a list of dtypes."""
    message = value()
    message.list.type.extend(numbers)
    return message


def strings(name: str, values: Sequence[bytes], sizes: Iterable[int] | None = None, dtype: int = STRING) -> Any:
    """Return a constant; a vector of its values unless another shape is given."""
    shape = shape_of([len(values)] if sizes is None else sizes)
    tensor = message_class("TensorProto")(dtype=dtype, tensor_shape=shape, string_val=values)
    return node(name, "Const", value=value(tensor=tensor))


def variable(name: str, dtype: int, sizes: Iterable[int] | None, op: str = "VariableV2") -> Any:
    """Return a variable."""
    return node(name, op, dtype=value(type=dtype), shape=value(shape=shape_of(sizes)))


def restore(name: str, *dtypes: int, names: str = "names", parts: str = "parts") -> Any:
    """Return a node that restores tensors."""
    return node(name, "RestoreV2", "file", names, parts, dtypes=types(*dtypes))


def file_name() -> Any:
    """Return the node from which the others have the checkpoint's name."""
    return strings("file", [b"model"], [])


def meta_graph(nodes: Iterable[Any], restore_op: str = "all", functions: Iterable[Any] = ()) -> Any:
    """Return a MetaGraphDef."""
    message = message_class("MetaGraphDef")()
    message.graph_def.node.extend(nodes)
    message.graph_def.library.function.extend(functions)
    message.saver_def.restore_op_name = restore_op
    return message


def function(name: str, arguments: Iterable[str], nodes: Iterable[Any]) -> Any:
    """Return a FunctionDef."""
    message = message_class("FunctionDef")(node_def=nodes)
    message.signature.name = name
    for argument in arguments:
        message.signature.input_arg.add(name=argument)
    return message


def call(name: str, target: str, *inputs: str, op: str = "StatefulPartitionedCall") -> Any:
    """Return a node that calls a function."""
    return node(name, op, *inputs, f=value(func=message_class("NameAttrList")(name=target)))


def graph_of(*nodes: Any, functions: Iterable[Any] = ()) -> Graph:
    """Return a graph of nodes and functions."""
    message = message_class("GraphDef")(node=nodes)
    message.library.function.extend(functions)
    return Graph(Memory(message.SerializeToString()))


def written(graph: Graph) -> Any:
    """Return a graph as it is written, as a GraphDef."""
    return _parsed("GraphDef", graph.stream())


def model_of(message: Any) -> Model:
    """Return the model of a MetaGraphDef."""
    return Model(Memory(message.SerializeToString()))


def written_model(model: Model) -> Any:
    """Return a model as it is written, as a MetaGraphDef."""
    return _parsed("MetaGraphDef", model.stream())


def _parsed(name: str, stream: Stream) -> Any:
    data = b"".join(stream.pieces())
    assert len(data) == stream.nbytes
    return parse_message(name, data)


def small_graph() -> list[Any]:
    """Return a graph with a saver: float32 ``w`` [2, 3] and float16 ``v`` [4], restored by ``all``."""
    return [
        variable("w", FLOAT, (2, 3)),
        variable("v", HALF, (4,), "VarHandleOp"),
        file_name(),
        strings("names", [b"w", b"v"]),
        strings("parts", [b"", b""]),
        restore("restore", FLOAT, HALF),
        node("assign", "Assign", "w", "restore"),
        node("identity", "Identity", "restore:1"),
        node("assign_1", "AssignVariableOp", "v", "identity"),
        node("all", "NoOp", "^assign", "^assign_1"),
    ]


def saver_graph(*names: str, sizes: Iterable[int] = (4,), extra: Iterable[Any] = ()) -> Any:
    """Return a MetaGraphDef with float32 variables of some names, and a saver, as TensorFlow makes them."""
    floats, shape = value(type=FLOAT), tuple(sizes)
    nodes = [file_name(), strings("names", [name.encode() for name in names]), strings("parts", [b""] * len(names))]
    nodes.append(restore("restore", *[FLOAT] * len(names)))
    for number, name in enumerate(names):
        nodes.append(variable(name, FLOAT, shape))
        nodes.append(node(f"{name}/read", "Identity", name, T=floats))
        nodes.append(node(f"assign_{number}", "Assign", name, f"restore:{number}", T=floats))
    nodes.append(node("all", "NoOp", *(f"^assign_{number}" for number in range(len(names)))))
    nodes.append(node("save", "SaveV2", "file", "names", "parts", *names, dtypes=types(*[FLOAT] * len(names))))
    message = meta_graph([*nodes, *extra])
    message.saver_def.filename_tensor_name = "file:0"
    message.saver_def.save_tensor_name = "file:0"
    return message
