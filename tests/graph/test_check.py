from __future__ import annotations

from typing import Any

import pytest

from tests.support.graphs import FLOAT, HALF, INT64, function, graph_of, node, value
from tfbundle.errors import FormatError
from tfbundle.graph.check import check_graph

F, H, L = value(type=FLOAT), value(type=HALF), value(type=INT64)


def constant(name: str, dtype: Any) -> Any:
    return node(name, "Const", dtype=dtype)


def test_types_that_fit() -> None:
    check_graph(graph_of(constant("a", F), constant("b", F), node("s", "Add", "a", "b", "^a", T=F)))


def test_types_that_do_not_fit() -> None:
    with pytest.raises(FormatError, match="node 's': reads 'b', which is float16, expected float32"):
        check_graph(graph_of(constant("a", F), constant("b", H), node("s", "Add", "a", "b", T=F)))


def test_another_number_of_inputs() -> None:
    with pytest.raises(FormatError, match="node 's': Add has 1 inputs, expected 2"):
        check_graph(graph_of(constant("a", F), node("s", "Add", "a", T=F)))
    with pytest.raises(FormatError, match="node 's': Pack has 0 inputs, expected 4611686018427387904"):
        check_graph(graph_of(node("s", "Pack", T=F, N=value(i=2**62))))


def test_ops_that_nobody_knows_are_not_judged() -> None:
    check_graph(graph_of(constant("a", F), node("m", "Mine", "a"), node("n", "Neg", "m:7", T=H)))


def test_results_of_functions() -> None:
    made = function("g", [], [constant("a", F)])
    made.signature.output_arg.add(name="y", type=FLOAT)
    with pytest.raises(FormatError, match="function 'g': the result 'y' comes from nowhere"):
        check_graph(graph_of(functions=[made]))
    made.ret["y"] = "a:output:0"
    check_graph(graph_of(functions=[made]))
    made.signature.output_arg[0].type = HALF
    with pytest.raises(FormatError, match="function 'g': reads 'a', which is float32, expected float16"):
        check_graph(graph_of(functions=[made]))


def test_dtypes_that_do_not_exist() -> None:
    with pytest.raises(FormatError, match="which is dtype 77, expected float32"):
        check_graph(graph_of(constant("a", value(type=77)), node("s", "Neg", "a", T=F)))
