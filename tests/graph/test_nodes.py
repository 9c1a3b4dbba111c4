from __future__ import annotations

import pytest

from tests.support.graphs import node, value
from tfbundle.errors import FormatError
from tfbundle.graph.nodes import Nodes
from tfbundle.graph.sources import Memory
from tfbundle.graph.wire import Spans, take_apart
from tfbundle.pb import message_class, parse_message
from tfbundle.storage.stream import Stream, whole

FIELD = 3


def nodes_of(*names: str) -> Nodes:
    data, spans = b"", Spans()
    for name in names:
        start = len(data)
        data += node(name, "NoOp").SerializeToString()
        spans.append(start, len(data))
    return Nodes(Memory(data), spans)


def written(stream: Stream) -> list[str]:
    data = b"".join(stream.pieces())
    assert len(data) == stream.nbytes
    (spans,) = take_apart("Graph", Memory(data), [(0, len(data))], [FIELD]).spans.values()
    return [parse_message("NodeDef", data[start:end]).name for start, end in spans]


def names_of(nodes: Nodes) -> list[str]:
    names = [each.name for each in nodes]
    assert len(nodes) == len(names)
    assert written(nodes.stream(FIELD)) == names
    assert [nodes.number(name) for name in names] == list(range(len(names)))
    return names


def test_nodes_by_name() -> None:
    nodes = nodes_of("a", "b")
    assert names_of(nodes) == ["a", "b"]
    assert ("a" in nodes, "c" in nodes) == (True, False)
    assert nodes["b"].name == nodes.find("b").name == "b"
    assert nodes.find("c") is None


def test_what_is_looked_at_is_a_copy() -> None:
    nodes = nodes_of("a")
    nodes["a"].op = "Other"
    assert nodes["a"].op == "NoOp"


def test_node_in_place_of_another() -> None:
    nodes = nodes_of("a", "b", "c")
    nodes.put("b", node("b", "Other"))
    assert (nodes["b"].op, names_of(nodes)) == ("Other", ["a", "b", "c"])
    nodes.put("a", node("d", "NoOp"))
    assert (sorted(nodes.names), names_of(nodes)) == (["b", "c", "d"], ["d", "b", "c"])


def test_nodes_are_added_and_removed() -> None:
    nodes = nodes_of("a", "b", "c")
    nodes.put("c", node("c", "Other"))
    nodes.add(node("d", "New"))
    seen = []
    for each in nodes:
        seen.append(each.name)
        nodes.add(node(f"{each.name}_", "NoOp"))
    assert seen == ["a", "b", "c", "d"]
    nodes.keep({"a", "c", "d", "c_", "nobody's"})
    assert names_of(nodes) == ["a", "c", "d", "c_"]
    assert [nodes[name].op for name in "acd"] == ["NoOp", "Other", "New"]


def test_order_and_contents() -> None:
    nodes = nodes_of("a", "b")
    constant = node("c", "Const", value=value(tensor=message_class("TensorProto")(dtype=1)))
    nodes.add(constant)
    nodes.add(node("d", "NoOp"))
    stream = nodes.stream(FIELD, {"c": whole(b"abcd")}, {"a": "d"})
    assert written(stream) == ["a", "d", "b", "c"]
    constant.attr["value"].tensor.tensor_content = b"abcd"
    data = b"".join(stream.pieces())
    assert parse_message("NodeDef", data[data.rindex(b"\x0a\x01c") :]) == constant


def test_what_is_no_node() -> None:
    with pytest.raises(FormatError, match="NodeDef not parseable"):
        Nodes(Memory(b"\xff"), Spans([(0, 1)]))
    for name in ("a:1", "^a"):
        with pytest.raises(FormatError, match="cannot have this name"):
            nodes_of(name)
    with pytest.raises(FormatError, match="a node has no name"):
        Nodes(Memory(b""), Spans([(0, 0)]))
    with pytest.raises(FormatError, match="node 'a' of function 'g': two nodes have this name"):
        Nodes(Memory(node("a", "NoOp").SerializeToString()), Spans([(0, 9), (0, 9)]), " of function 'g'")
