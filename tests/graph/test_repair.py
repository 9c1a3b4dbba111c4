from __future__ import annotations

import pytest

from tests.graph.test_check import F, H, L, constant
from tests.support.graphs import FLOAT, HALF, function, graph_of, node
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.graph.check import check_graph
from tfbundle.graph.repair import repair_graph


def test_readers_share_a_cast() -> None:
    graph = graph_of(
        constant("a", H), node("x", "Neg", "a", T=F), node("y", "Neg", "a:0", T=F), node("z", "Neg", "a", T=H)
    )
    with graph.main.change("a") as changed:
        changed.device = "/CPU:1"
    assert repair_graph(graph, {("", "a")}) == 1
    _, *readers, cast = graph.main.nodes
    assert (cast.name, cast.op, list(cast.input), cast.device) == ("a/cast_f32", "Cast", ["a"], "/CPU:1")
    assert (cast.attr["SrcT"].type, cast.attr["DstT"].type, cast.attr["Truncate"].b) == (HALF, FLOAT, False)
    assert [list(each.input) for each in readers] == [["a/cast_f32"], ["a/cast_f32"], ["a"]]
    check_graph(graph)
    assert repair_graph(graph, ()) == 0


def test_both_directions_and_names_that_are_taken() -> None:
    graph = graph_of(constant("a", F), constant("a/cast_f16", F), node("x", "Neg", "a", T=H))
    assert repair_graph(graph, ()) == 1
    assert list(graph.main.nodes["x"].input) == ["a/cast_f16_1"]
    check_graph(graph)


def test_within_functions() -> None:
    made = function("g", ["arg"], [node("n", "Neg", "arg", T=F)])
    made.signature.input_arg[0].type = HALF
    made.signature.output_arg.add(name="y", type=HALF)
    made.ret["y"] = "n:y:0"
    graph = graph_of(functions=[made])
    assert repair_graph(graph, ()) == 2
    body = graph.body("g")
    assert list(body.nodes["n"].input) == ["arg/cast_f32:y:0"]
    assert dict(body.function.ret) == {"y": "n/cast_f16:y:0"}
    assert [list(each.input) for each in body.nodes][1:] == [["arg"], ["n:y:0"]]
    check_graph(graph)


def test_nothing_but_float32_and_float16_is_mended() -> None:
    with pytest.raises(FormatError, match="node 'x': reads 'a', which is int64, expected float32"):
        repair_graph(graph_of(constant("a", L), node("x", "Neg", "a", T=F)), ())


def test_op_that_nobody_knows_is_refused_by_name() -> None:
    reads = [constant("a", H), node("x", "Mine", "a")]
    with pytest.raises(UnsupportedError, match=r"node 'x': nobody knows the op 'Mine', .* those of 'a' cannot change"):
        repair_graph(graph_of(*reads), {("", "a")})
    assert repair_graph(graph_of(*reads), {("", "b")}) == 0
    gives = [node("x", "Mine"), node("y", "Neg", "x", T=H)]
    with pytest.raises(UnsupportedError, match=r"node 'x': nobody knows the op 'Mine', .* those of 'y' cannot change"):
        repair_graph(graph_of(*gives), {("", "y")})


def test_references_cannot_be_cast() -> None:
    variable = node("v", "VariableV2", dtype=H)
    with pytest.raises(UnsupportedError, match="node 's' reads a reference"):
        repair_graph(graph_of(variable, constant("c", F), node("s", "Assign", "v", "c", T=F)), ())
