"""What the saver of a graph restores: names, dtypes and shapes of the tensors that a checkpoint has to hold for it.

The operation that the saver runs needs nodes that read tensors from a checkpoint (``RestoreV2``, in old graphs
``Restore`` and ``RestoreSlice``), and nodes that assign them to variables. The former have names, dtypes and parts, the
latter lead to the variables' shapes. In a SavedModel of TF2 all of that is within a function.

A graph without a saver tells only which variables it has; a saver made for it would restore them under their names.

Source: TensorFlow ``core/protobuf/meta_graph.proto``, ``core/protobuf/saver.proto``, ``core/ops/io_ops.cc``,
``core/ops/state_ops.cc``, ``python/training/saver.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import data_type
from tfbundle.format.graph import (
    Graph,
    Output,
    Scope,
    attribute,
    find_output,
    follow,
    input_output,
    label,
    string_constant,
)
from tfbundle.format.naming import key_to_name
from tfbundle.format.slices import parse_shape_and_slice
from tfbundle.format.wanted import Wanted, unite_wanted, wanted_part
from tfbundle.pb import parse_message

MAX_GRAPH_NBYTES = 2**31 - 1
"""The most that protobuf can parse."""

_RESTORES = ("RestoreV2", "RestoreSlice", "Restore")
_ASSIGNS = ("Assign", "AssignVariableOp")
_VARIABLES = ("VariableV2", "Variable", "VarHandleOp", "AutoReloadVariable")
_RESHAPE = "Reshape"
_PASSING_VALUES = ("Identity", "Cast", _RESHAPE)
_PASSING_VARIABLES = ("Identity",)
_VARIABLES_COLLECTION = "variables"
_REFERENCE = 100  # added to a dtype's number for a reference to such a value

Shape = tuple[int, ...]
Shapes = dict[tuple[Scope, str, int], list[Shape | None]]
Constants = dict[tuple[Scope, str], list[bytes]]  # many nodes may share one


def decode_meta_graph(data: bytes) -> dict[str, Wanted]:
    """Return what the saver of a ``.meta`` file restores, by name.

    Takes memory of two to three times the size of ``data``, more where nodes are many and small.

    Args:
        data: a MetaGraphDef. Without a saver, all global variables of the graph are wanted under their own names.

    Raises:
        FormatError: no MetaGraphDef, or one in which what the saver needs is not there or does not go together.
        UnsupportedError: the saver restores in a way that cannot be followed.

    Example:
        >>> decode_meta_graph(bytes.fromhex("1200"))  # a graph without nodes
        {}
    """
    return unite_wanted(_iter_wanted(parse_message("MetaGraphDef", data)))


def decode_saved_model(data: bytes) -> dict[str, Wanted]:
    """Return what the savers of the graphs in a ``saved_model.pb`` restore, by name; all read the same checkpoint.

    Takes memory as ``decode_meta_graph`` does.

    Raises:
        FormatError, UnsupportedError: as ``decode_meta_graph``.

    Example:
        >>> decode_saved_model(bytes.fromhex("12021200"))  # one graph without nodes
        {}
    """
    message = parse_message("SavedModel", data)
    if not message.meta_graphs:
        raise FormatError("not a SavedModel: no graph in it")
    return unite_wanted(chain.from_iterable(map(_iter_wanted, message.meta_graphs)))


def _iter_wanted(message: Any) -> Iterator[tuple[str, Wanted]]:
    if not message.HasField("graph_def"):
        raise FormatError("not a MetaGraphDef: no graph in it")
    graph = Graph(message.graph_def)
    if message.saver_def.restore_op_name:
        yield from _iter_restored(graph, message.saver_def.restore_op_name)
    else:
        yield from _iter_variables(graph, message)


def _iter_restored(graph: Graph, restore_op: str) -> Iterator[tuple[str, Wanted]]:
    """Yield what each tensor is wanted to be that a saver's operation restores."""
    needed = list(graph.iter_needed(restore_op))
    shapes = _assigned_shapes(needed)
    constants: Constants = {}
    restores = [(scope, node) for scope, node in needed if node.op in _RESTORES]
    if not restores:
        raise UnsupportedError(f"the saver's operation {restore_op!r} needs none of {', '.join(_RESTORES)}")
    for scope, node in restores:
        with _blaming(node):
            yield from _iter_restored_by(scope, node, shapes, constants)


def _assigned_shapes(needed: list[tuple[Scope, Any]]) -> Shapes:
    """Return the shapes of the variables that get each restored value; no list where nothing is assigned."""
    shapes: Shapes = {}
    for scope, node in needed:
        if node.op in _ASSIGNS:
            value, passed = follow(input_output(scope, node, 1), _PASSING_VALUES)
            if value.node.op in _RESTORES:
                variable, _ = follow(input_output(scope, node, 0), _PASSING_VARIABLES)
                shape = None if _RESHAPE in passed else _variable_shape(variable)
                shapes.setdefault((value.scope, value.node.name, value.number), []).append(shape)
    return shapes


def _variable_shape(variable: Output) -> Shape | None:
    """Return the shape a variable is declared with, None where it is not fully known.

    Source: TensorFlow ``core/ops/state_ops.cc``: an empty shape of the old ``Variable`` may mean a scalar or anything.
    """
    node = variable.node
    if node.op not in _VARIABLES:
        return None
    shape = attribute(node, "shape", "shape")
    sizes = tuple(dim.size for dim in shape.dim)
    if shape.unknown_rank or any(size < 0 for size in sizes) or (node.op == "Variable" and not sizes):
        return None
    return sizes


def _iter_restored_by(scope: Scope, node: Any, shapes: Shapes, constants: Constants) -> Iterator[tuple[str, Wanted]]:
    """Yield what one node restores: many tensors, one in old graphs."""
    dtypes = attribute(node, "dtypes", "list").type if node.op == "RestoreV2" else [attribute(node, "dt", "type")]

    def strings(number: int) -> list[bytes]:
        origin, _ = follow(input_output(scope, node, number), ("Identity",))
        place = (origin.scope, origin.node.name)
        if place not in constants:
            constants[place] = string_constant(origin.node, len(dtypes))
        if len(constants[place]) != len(dtypes):
            raise FormatError(f"{len(constants[place])} strings for {len(dtypes)} tensors", "", label(origin.node))
        return constants[place]

    names = strings(1)
    parts = [b""] * len(names) if node.op == "Restore" else strings(2)
    for number, (key, dtype, part) in enumerate(zip(names, dtypes, parts, strict=True)):
        name = key_to_name(key)
        yield from _restored(name, _dtype_name(dtype), part, shapes.get((scope, node.name, number), []))


def _restored(name: str, dtype: str, part: bytes, shapes: list[Shape | None]) -> Iterator[tuple[str, Wanted]]:
    """Yield what is said of one restored tensor: by its part, or by each variable that gets it."""
    if part:
        shape, extents = parse_shape_and_slice(key_to_name(part))
        yield name, wanted_part(dtype, shape, extents)
    else:
        for known in shapes or [None]:
            yield name, Wanted(dtype, known)


def _dtype_name(number: int) -> str:
    """Return the name of a dtype, that of the values where it is a reference."""
    return data_type(number - _REFERENCE if number > _REFERENCE else number).name


def _iter_variables(graph: Graph, message: Any) -> Iterator[tuple[str, Wanted]]:
    """Yield what the graph's variables are: those of the collection a saver takes by default, or all there are."""
    if _VARIABLES_COLLECTION in message.collection_def:
        definitions = message.collection_def[_VARIABLES_COLLECTION].bytes_list.value
        yield from (_listed_variable(graph, parse_message("VariableDef", data)) for data in definitions)
    else:
        for node in graph.top.nodes.values():
            if node.op in _VARIABLES:
                yield _variable(Output(graph.top, node, 0))


def _listed_variable(graph: Graph, definition: Any) -> tuple[str, Wanted]:
    """Return what the collection of variables says of one, which may be a part of a partitioned variable."""
    variable, _ = follow(find_output(graph.top, definition.variable_name), _PASSING_VARIABLES)
    name, wanted = _variable(variable)
    if not definition.HasField("save_slice_info_def"):
        return name, wanted
    info = definition.save_slice_info_def
    with _blaming(variable.node):
        if len(info.var_offset) != len(info.var_shape):
            raise FormatError("its part has different ranks for place and shape")
        extents = tuple(zip(info.var_offset, info.var_shape, strict=True))
        return info.full_name, wanted_part(wanted.dtype, tuple(info.full_shape), extents)


def _variable(variable: Output) -> tuple[str, Wanted]:
    """Return under which name a saver would keep a variable, and what it is."""
    node = variable.node
    if node.op not in _VARIABLES:
        raise FormatError(f"{node.op} is no variable", "", label(node))
    with _blaming(node):
        return node.name, Wanted(_dtype_name(attribute(node, "dtype", "type")), _variable_shape(variable))


@contextmanager
def _blaming(node: Any) -> Iterator[None]:
    """Add the node to an error that does not say where it is."""
    try:
        yield
    except FormatError as error:
        raise error.add_path("", label(node)) from error
