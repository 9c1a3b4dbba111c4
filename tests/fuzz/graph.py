"""Graphs: what the saver of a ``.meta`` file or of a ``saved_model.pb`` restores, and object graphs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np

from tests.fuzz.mutation import mutate_message
from tests.fuzz.target import Target, check_message
from tests.golden.make_golden import FILES
from tests.support.graphs import (
    FLOAT,
    HALF,
    call,
    file_name,
    function,
    meta_graph,
    node,
    restore,
    small_graph,
    strings,
    types,
    variable,
)
from tests.support.wire import bytes_field, varint_field
from tfbundle.bundle.opening import load
from tfbundle.errors import BundleError
from tfbundle.format.dtypes import named_data_type
from tfbundle.format.meta_graph import decode_meta_graph, decode_saved_model
from tfbundle.format.object_graph import TrackableObject, decode_object_graph, drop_values, rename_values
from tfbundle.format.object_paths import find_keys, nearest_paths
from tfbundle.format.slices import resolve_slice
from tfbundle.format.wanted import Wanted
from tfbundle.pb import message_class, parse_message


def check(data: bytes) -> None:
    """Take the bytes for a graph, for a SavedModel and for an object graph."""
    for decode in (decode_meta_graph, decode_saved_model):
        _check_template(decode, data)
    _check_objects(data)


def _check_template(decode: Callable[[bytes], dict[str, Wanted]], data: bytes) -> None:
    try:
        found = decode(data)
    except BundleError as error:
        check_message(error)
        return
    assert list(found) == sorted(found)
    for name, wanted in found.items():
        name.encode("utf-8", "surrogateescape")
        named_data_type(wanted.dtype)
        assert wanted.shape is None or all(size >= 0 for size in wanted.shape), f"{name!r} has an impossible shape"
        for extents in wanted.slices:
            assert wanted.shape is not None
            resolve_slice(extents, wanted.shape)
    assert decode(data) == found


def _check_objects(data: bytes) -> None:
    try:
        graph = decode_object_graph(data)
    except BundleError as error:
        check_message(error)
        return
    keys = [key for number in graph for key in number.checkpoint_keys]
    assert decode_object_graph(drop_values(data, ())) == graph, "to drop nothing changes the graph"
    dropped = decode_object_graph(drop_values(data, set(keys[:1])))
    left = [key for number in dropped for key in number.checkpoint_keys]
    assert left == [key for key in keys if key not in keys[:1]], "other values are dropped"
    assert [number.children for number in dropped] == [number.children for number in graph]
    assert decode_object_graph(rename_values(data, {})) == graph, "to rename nothing changes the graph"
    _check_renamed(data, graph, keys)
    _check_paths(graph)


def _check_renamed(data: bytes, graph: tuple[TrackableObject, ...], keys: list[str]) -> None:
    renames = {key: f"elsewhere/{key}" for key in keys[:2]}
    try:
        renamed = decode_object_graph(rename_values(data, renames))
    except (BundleError, ValueError):  # no object where a key says there is one, or another where it should go
        return
    found = [key for number in renamed for key in number.checkpoint_keys]
    assert found == [renames.get(key, key) for key in keys], "values have other keys than they should have"
    assert len(renamed) >= len(graph)


def _check_paths(graph: tuple[TrackableObject, ...]) -> None:
    paths = nearest_paths(graph, avoid=())
    assert len(set(paths)) == len(paths)
    assert 0 not in paths
    if any(len({name for name, _ in number.children}) < len(number.children) for number in graph):
        return  # two children of one name share a path
    for number, path in paths.items():
        assert find_keys(graph, path) == graph[number].checkpoint_keys, f"{path!r} leads to another object"


def _objects() -> bytes:
    """Return an object graph with children, slots, and names that have to be escaped."""
    message = message_class("TrackableObjectGraph")()
    root, layer, optimizer = (message.nodes.add() for _ in range(3))
    for number, (parent, name) in enumerate(
        [(root, "layer"), (root, "optimizer"), (layer, "a.b/c"), (layer, "slot")], 1
    ):
        parent.children.add(node_id=number, local_name=name)
    for name, key in (("a", "layer/a..b.Sc"), ("slot", "layer/a..b.Sc/.OPTIMIZER_SLOT/optimizer/m")):
        message.nodes.add().attributes.add(
            name="VARIABLE_VALUE", full_name=name, checkpoint_key=f"{key}/.ATTRIBUTES/VARIABLE_VALUE"
        )
    optimizer.slot_variables.add(original_variable_node_id=3, slot_name="m", slot_variable_node_id=4)
    layer.children.add(node_id=0, local_name="back")
    return bytes(message.SerializeToString())


def seeds() -> Iterator[bytes]:
    """Yield graphs of both kinds, and object graphs."""
    small = meta_graph(small_graph()).SerializeToString()
    yield small
    yield varint_field(1, 1) + bytes_field(2, small) * 2
    nodes = [variable("w", FLOAT, (4, 3)), file_name(), strings("names", [b"w"]), strings("parts", [b"4 3 0,2:-"])]
    yield meta_graph([*nodes, restore("all", FLOAT)]).SerializeToString()
    yield meta_graph([variable("w", FLOAT, (4, 3)), variable("v", HALF, None, "VarHandleOp")], "").SerializeToString()
    inner = [*nodes[1:], restore("restore", FLOAT), node("assign", "AssignVariableOp", "x", "restore:tensors:0")]
    outer = [variable("w", FLOAT, (4, 3), "VarHandleOp"), call("all", "f", "w")]
    yield meta_graph(outer, "all", [function("f", ["x"], inner)]).SerializeToString()
    old = node("r", "Restore", "file", "names", dt=message_class("AttrValue")(type=FLOAT))
    yield meta_graph([*nodes[:3], old, node("all", "Assign", "w", "r")]).SerializeToString()
    content = strings("names", [])
    content.attr["value"].tensor.tensor_content = b"\1\1wv"
    content.attr["value"].tensor.tensor_shape.dim.add(size=2)
    del content.attr["value"].tensor.tensor_shape.dim[0]
    many = node("all", "RestoreV2", "file", "names", "parts", dtypes=types(FLOAT, HALF))
    yield meta_graph([file_name(), content, strings("parts", [b"", b""]), many]).SerializeToString()
    listed = meta_graph([variable("w/part_0", FLOAT, (2, 3))], "")
    definition = message_class("VariableDef")(variable_name="w/part_0:0")
    info = definition.save_slice_info_def
    info.full_name, info.full_shape[:], info.var_offset[:], info.var_shape[:] = "w", [4, 3], [0, 0], [2, 3]
    listed.collection_def["variables"].bytes_list.value.append(definition.SerializeToString())
    yield listed.SerializeToString()
    yield _objects()
    stored = load(str(FILES / "objects" / "ckpt-2"))["_CHECKPOINTABLE_OBJECT_GRAPH"]
    yield bytes(np.asarray(stored, object).reshape(-1)[0])


_NAMES = [
    b"w", b"v", b"all", b"names", b"restore", b"f", b"^w", b"restore:1", b"restore:tensors:0", b"Identity", b"Const",
    b"", b"\xff", b"RestoreV2", b"AssignVariableOp", b"4 3 0,2:-", b"value", b"dtypes", b"\x1b[2J\n", b"layer",
]  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a field, at whatever depth, or exchange a name for another."""
    if rng.random() < 0.25:
        one, other = rng.choice(_NAMES), rng.choice(_NAMES)
        return data.replace(one, other, rng.randint(1, 2)) if len(one) == len(other) else _reparsed(data, one, other)
    return mutate_message(data, rng)


def _reparsed(data: bytes, one: bytes, other: bytes) -> bytes:
    """Exchange a name in the nodes of a graph, whose lengths then change as well."""
    try:
        message = parse_message("MetaGraphDef", data)
    except BundleError:
        return data
    for found in message.graph_def.node:
        text, new = one.decode("latin-1"), other.decode("latin-1")
        found.name = new if found.name == text else found.name
        found.input[:] = [new if name == text else name for name in found.input]
    return bytes(message.SerializeToString())


TARGET = Target("graph", check, seeds, mutate, 4096)
