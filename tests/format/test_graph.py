from __future__ import annotations

import pytest

from tests.support.graphs import call, function, meta_graph, node, strings, value
from tfbundle.errors import FormatError
from tfbundle.format.graph import (
    Graph,
    Scope,
    attribute,
    data_inputs,
    find_output,
    follow,
    input_output,
    string_constant,
)


def names_needed(graph: Graph, start: str) -> list[str]:
    return sorted(found.name for _, found in graph.iter_needed(start))


def test_needed_nodes() -> None:
    nodes = [
        node("a", "NoOp", "^b", "c:1"),
        node("b", "NoOp", "a"),
        node("c", "NoOp"),
        node("d", "NoOp", "a", "lost"),
    ]
    graph = Graph(meta_graph(nodes).graph_def)
    assert names_needed(graph, "a") == ["a", "b", "c"]
    assert names_needed(graph, "a:0") == ["a", "b", "c"]
    assert names_needed(graph, "c") == ["c"]
    with pytest.raises(FormatError, match=r"^node 'lost' is needed, which the graph does not have$"):
        names_needed(graph, "d")


def test_function_is_entered_once() -> None:
    """Each of 60 functions calls the next twice: 2^60 calls."""
    functions = [
        function(f"f{depth}", [], [call("left", f"f{depth + 1}"), call("right", f"f{depth + 1}")])
        for depth in range(60)
    ]
    functions.append(function("f60", [], [node("end", "NoOp")]))
    graph = Graph(meta_graph([call("start", "f0")], functions=functions).graph_def)
    assert names_needed(graph, "start") == ["end", *["left"] * 60, *["right"] * 60, "start"]


def test_what_a_call_reads_is_needed_too() -> None:
    functions = [function("f", ["x"], [node("inner", "NoOp", "x")])]
    nodes = [call("start", "f", "read", "^before"), node("read", "NoOp", "far"), node("before", "NoOp")]
    graph = Graph(meta_graph([*nodes, node("far", "NoOp")], functions=functions).graph_def)
    assert names_needed(graph, "start") == ["before", "far", "inner", "read", "start"]


def test_input_that_is_not_there() -> None:
    reader = node("a", "Assign", "^b", "c")
    scope = Scope([reader, node("c", "NoOp")])
    assert input_output(scope, reader, 0).node.name == "c"
    with pytest.raises(FormatError, match=r"^node 'a': Assign has 1 inputs, expected at least 2$") as caught:
        input_output(scope, reader, 1)
    assert caught.value.path == ""


def test_two_nodes_of_one_name() -> None:
    with pytest.raises(FormatError, match=r"^node 'a': two nodes have this name$") as caught:
        Scope([node("a", "NoOp"), node("b", "NoOp"), node("a", "NoOp")])
    assert caught.value.path == ""


def test_arguments_that_are_passed_down_far() -> None:
    """A reference is looked up in one step, however many functions it came through."""
    functions = [function(f"f{level}", ["x"], [call("c", f"f{level + 1}", "x")]) for level in range(50)]
    functions.append(function("f50", ["x"], [node("end", "NoOp", "x:0")]))
    graph = Graph(meta_graph([node("v", "VarHandleOp"), call("c", "f0", "v:0")], functions=functions).graph_def)
    (scope,) = [scope for scope, found in graph.iter_needed("c") if found.name == "end"]
    assert scope.arguments == {"x": (graph.top, "v:0")}
    assert find_output(scope, "x:0").node.op == "VarHandleOp"


@pytest.mark.parametrize(
    ("reference", "number"), [("a", 0), ("a:0", 0), ("a:12", 12), ("a:list:3", 3), ("a:999999999", 999999999)]
)
def test_references(reference: str, number: int) -> None:
    scope = Scope([node("a", "NoOp")])
    assert find_output(scope, reference).number == number


@pytest.mark.parametrize("reference", ["a:", "a:x", "a:-1", "a:0x1", "a:\u0663", "a:1:list", "a:9999999999"])
def test_references_to_no_output(reference: str) -> None:
    with pytest.raises(FormatError, match=f"^node 'a': {reference!r} names no output of a node$"):
        find_output(Scope([node("a", "NoOp")]), reference)


def test_data_inputs_are_without_those_that_only_order() -> None:
    assert data_inputs(node("a", "NoOp", "^x", "y", "^z", "w:1")) == ["y", "w:1"]


def test_follow() -> None:
    chain = [node(f"n{number}", "Identity", f"n{number + 1}") for number in range(31)]
    scope = Scope([*chain, node("n31", "Cast", "end:2"), node("end", "Const")])
    origin, passed = follow(find_output(scope, "n1"), ("Identity", "Cast"))
    assert (origin.node.name, origin.number, passed) == ("end", 2, {"Identity", "Cast"})
    with pytest.raises(FormatError, match=r"^node 'n0': its value passes through more than 32 nodes"):
        follow(find_output(scope, "n0"), ("Identity", "Cast"))
    origin, passed = follow(find_output(scope, "n0"), ("Identity",))
    assert (origin.node.name, passed) == ("n31", {"Identity"})


def test_attribute_of_a_missing_name_is_not_made() -> None:
    found = node("a", "NoOp", there=value(type=1))
    assert attribute(found, "there", "type") == 1
    for name, kind in (("lost", "type"), ("there", "s")):
        with pytest.raises(FormatError, match=f"^node 'a': NoOp has no attribute {name!r} of the kind {kind!r}$"):
            attribute(found, name, kind)
    assert list(found.attr) == ["there"]


def test_string_constants() -> None:
    assert string_constant(strings("c", [b"a", b"b"]), 2) == [b"a", b"b"]
    assert string_constant(strings("c", [b"a"], [3]), 3) == [b"a", b"a", b"a"]
    assert string_constant(strings("c", [b"a"], []), 1) == [b"a"]
    assert string_constant(strings("c", []), 0) == []
    assert string_constant(strings("c", [b"a", b"b"], [4]), 4) == [b"a", b"b", b"b", b"b"]
    with pytest.raises(FormatError, match=r"^node 'c': dtype 7 and shape \[\] instead of 2 strings$"):
        string_constant(strings("c", [b"a"], []), 2)
