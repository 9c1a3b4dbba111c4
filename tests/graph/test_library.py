from __future__ import annotations

import gc
from typing import Any

import pytest

from tests.support.graphs import FLOAT, function, graph_of, node, written
from tests.support.wire import bytes_field, varint_field
from tfbundle.errors import FormatError
from tfbundle.graph.library import Graph
from tfbundle.graph.sources import Memory
from tfbundle.pb import message_class


def graph_def(*names: str) -> Any:
    message = message_class("GraphDef")(node=[node("a", "NoOp")])
    message.MergeFromString(bytes_field(4, varint_field(1, 27)))  # versions, which nobody here declares
    message.library.function.extend(function(name, ["x"], [node("n", "NoOp")]) for name in names)
    for name in names:
        message.library.gradient.add(function_name=name, gradient_func=name)
    return message


def test_bodies() -> None:
    graph = Graph(Memory(graph_def("f", "g").SerializeToString()))
    assert [body.name for body in graph] == ["", "f", "g"]
    assert list(graph.functions) == ["f", "g"]
    assert graph.body("") is graph.main
    assert list(graph.body("g").argument_numbers) == ["x"]
    assert not graph.body("g").function.node_def


def test_what_is_not_changed_is_written_as_it_was() -> None:
    message = graph_def("f")
    assert written(Graph(Memory(message.SerializeToString()))) == message
    assert written(Graph(Memory(b""))) == message_class("GraphDef")()
    empty = message_class("GraphDef")(node=[node("a", "NoOp")])
    empty.library.SetInParent()
    assert written(Graph(Memory(empty.SerializeToString()))) == empty


def test_changes_last_while_nobody_holds_the_body() -> None:
    message = graph_def("f", "g")
    graph = Graph(Memory(message.SerializeToString()))
    with graph.body("g").change("n") as changed:
        changed.op = "Other"
    graph.body("f").change_function().ret["y"] = "n:0"
    graph.body("f").add(node("m", "NoOp"))
    gc.collect()
    assert [body.name for body in graph.changed] == ["g", "f"]
    assert graph.body("g").nodes["n"].op == "Other"
    message.library.function[1].node_def[0].op = "Other"
    message.library.function[0].ret["y"] = "n:0"
    message.library.function[0].node_def.append(node("m", "NoOp"))
    assert written(graph) == message


def test_bodies_that_nobody_holds_are_let_go() -> None:
    graph = Graph(Memory(graph_def("f").SerializeToString()))
    body = graph.body("f")
    assert graph.body("f") is body
    number = id(body)
    del body
    gc.collect()
    assert number not in {id(each) for each in gc.get_objects()}


def test_functions_are_added_and_removed() -> None:
    message = graph_def("f", "g", "h")
    graph = Graph(Memory(message.SerializeToString()))
    graph.body("g").add(node("m", "NoOp"))
    graph.add_function(function("new", ["y"], [node("n", "NoOp")]))
    assert [body.name for body in graph.changed] == ["g", "new"]
    graph.keep_functions({"h", "new"})
    assert [body.name for body in graph.changed] == ["new"]
    found = written(graph).library
    assert [each.signature.name for each in found.function] == ["h", "new"]
    assert [each.function_name for each in found.gradient] == ["h"]


def test_a_function_is_an_op() -> None:
    made = function("f", ["x"], [])
    made.signature.input_arg[0].type = FLOAT
    graph = graph_of(node("call", "f"), functions=[made])
    types = graph.main.types(graph.main.nodes["call"])
    assert types is not None
    assert types.inputs.count == 1


def test_what_makes_no_sense() -> None:
    with pytest.raises(FormatError, match="function 'f': two functions have this name"):
        Graph(Memory(graph_def("f", "f").SerializeToString()))
    with pytest.raises(FormatError, match="a function has no name"):
        Graph(Memory(graph_def("").SerializeToString()))
    with pytest.raises(FormatError, match="GraphDef not parseable"):
        Graph(Memory(b"\xff"))
    with pytest.raises(FormatError, match="FunctionDefLibrary not parseable"):
        Graph(Memory(bytes_field(2, bytes_field(2, b"\xff"))))
    with pytest.raises(FormatError, match="FunctionDef not parseable"):
        Graph(Memory(bytes_field(2, bytes_field(1, bytes_field(1, b"\xff")))))
