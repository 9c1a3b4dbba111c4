from __future__ import annotations

import pytest

from tests.support.requirements import tensorflow_module
from tests.support.wire import bytes_field, varint_field
from tfbundle.errors import FormatError
from tfbundle.format.object_graph import SlotVariable, TrackableObject, decode_object_graph

KEY = "w/.ATTRIBUTES/VARIABLE_VALUE"
SLOT_KEY = "w/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/VARIABLE_VALUE"


def child(node: int, name: str) -> bytes:
    return bytes_field(1, varint_field(1, node) + bytes_field(2, name.encode()))


def attribute(key: str) -> bytes:
    return bytes_field(2, bytes_field(1, b"VARIABLE_VALUE") + bytes_field(2, b"w") + bytes_field(3, key.encode()))


def slot(variable: int, name: str, node: int) -> bytes:
    return bytes_field(3, varint_field(1, variable) + bytes_field(2, name.encode()) + varint_field(3, node))


def graph(*nodes: bytes) -> bytes:
    return b"".join(bytes_field(1, node) for node in nodes)


GRAPH = graph(child(1, "w") + child(2, "opt"), attribute(KEY), slot(1, "m", 3), attribute(SLOT_KEY))


def test_nodes() -> None:
    assert decode_object_graph(GRAPH) == (
        TrackableObject((("w", 1), ("opt", 2)), (), ()),
        TrackableObject((), (KEY,), (), ("w",)),
        TrackableObject((), (), (SlotVariable(1, "m", 3),)),
        TrackableObject((), (SLOT_KEY,), (), ("w",)),
    )


def test_graph_that_tensorflow_encodes() -> None:
    module = tensorflow_module("core.protobuf.trackable_object_graph_pb2")
    theirs = module.TrackableObjectGraph()
    root = theirs.nodes.add()
    root.children.add(node_id=1, local_name="w")
    root.has_checkpoint_values.value = True
    theirs.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name="w", checkpoint_key=KEY)
    optimizer = theirs.nodes.add(registered_saver=module.RegisteredSaver(name="s", object_name="o"))
    optimizer.slot_variables.add(original_variable_node_id=1, slot_name="m", slot_variable_node_id=0)
    assert decode_object_graph(theirs.SerializeToString()) == (
        TrackableObject((("w", 1),), (), ()),
        TrackableObject((), (KEY,), (), ("w",)),
        TrackableObject((), (), (SlotVariable(1, "m", 0),)),
    )


def test_empty_graph() -> None:
    assert decode_object_graph(b"") == ()


def test_objects_may_refer_to_each_other() -> None:
    assert len(decode_object_graph(graph(child(1, "a"), child(0, "b")))) == 2


@pytest.mark.parametrize("node", [child(1, "w"), child(-1, "w"), slot(1, "m", 0), slot(0, "m", 1), slot(-1, "m", 0)])
def test_reference_to_an_object_that_is_not_there(node: bytes) -> None:
    with pytest.raises(FormatError, match=r"object 0 refers to object -?1 of 1") as caught:
        decode_object_graph(graph(node))
    assert caught.value.part == "object graph"


@pytest.mark.parametrize("data", [b"\xff", GRAPH[:-1], bytes_field(1, child(0, "w")[:-1])])
def test_not_a_graph(data: bytes) -> None:
    with pytest.raises(FormatError, match="TrackableObjectGraph not parseable"):
        decode_object_graph(data)


def test_name_that_is_no_text() -> None:
    with pytest.raises(FormatError):
        decode_object_graph(graph(bytes_field(1, bytes_field(2, b"\xff"))))
