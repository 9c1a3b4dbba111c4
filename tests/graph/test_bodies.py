from __future__ import annotations

import pytest

from tests.support.graphs import FLOAT, INT64, STRING, function, graph_of, node, types, value
from tfbundle.errors import FormatError

RESTORE = node("r", "RestoreV2", "f", "n", "p", dtypes=types(FLOAT, INT64))
CONSTANT = node("c", "Const", dtype=value(type=STRING))


def test_outputs_in_the_main_graph() -> None:
    main = graph_of(RESTORE, CONSTANT).main
    assert [main.dtype(main.origin(reference)) for reference in ("r", "r:0", "r:1", "c")] == [
        FLOAT,
        FLOAT,
        INT64,
        STRING,
    ]
    assert [main.reference("r"), main.reference("r", 1)] == ["r", "r:1"]


def test_outputs_in_a_function() -> None:
    made = function("g", ["x"], [RESTORE, CONSTANT])
    made.signature.input_arg[0].type = INT64
    body = graph_of(functions=[made]).body("g")
    references = ("x", "r:tensors:0", "r:tensors:1", "c:output:0")
    assert [body.dtype(body.origin(reference)) for reference in references] == [INT64, FLOAT, INT64, STRING]
    assert [body.reference("r"), body.reference("r", 1)] == ["r:tensors:0", "r:tensors:1"]
    assert body.label(RESTORE) == "node 'r' of function 'g'"


@pytest.mark.parametrize("reference", ["q", "r:x", "r:-1", "r:0:0", "r:", "r:9999999999", "r:\u0663"])
def test_references_that_name_nothing(reference: str) -> None:
    main = graph_of(RESTORE).main
    with pytest.raises(FormatError, match="an input reads"):
        main.origin(reference)


def test_output_that_a_node_does_not_have() -> None:
    main = graph_of(RESTORE).main
    with pytest.raises(FormatError, match="node 'r': output 2 is read, RestoreV2 has 2"):
        main.dtype(main.origin("r:2"))
    body = graph_of(functions=[function("g", [], [RESTORE])]).body("g")
    for reference in ("r:tensors:2", "r:other:0"):
        with pytest.raises(FormatError, match="RestoreV2 has no such output"):
            body.origin(reference)


def test_two_nodes_of_one_name() -> None:
    with pytest.raises(FormatError, match="node 'c': two nodes have this name"):
        graph_of(CONSTANT, CONSTANT)
    with pytest.raises(FormatError, match="node 'c' of function 'g': two nodes have this name"):
        graph_of(functions=[function("g", [], [CONSTANT, CONSTANT])]).body("g")


def test_new_names_are_of_no_other_node() -> None:
    main = graph_of(CONSTANT, node("c_1", "NoOp")).main
    assert main.unique_name("c") == "c_2"
    main.add(node("c_2", "NoOp"))
    assert main.unique_name("c") == "c_3"
    assert [each.name for each in main.nodes] == ["c", "c_1", "c_2"]


def test_nodes_that_are_left() -> None:
    main = graph_of(RESTORE, CONSTANT).main
    main.keep_nodes(["c"])
    assert ([each.name for each in main.nodes], list(main.nodes.names)) == (["c"], ["c"])
