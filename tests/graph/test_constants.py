from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.graphs import FLOAT, function, graph_of, node, shape_of, value
from tfbundle.errors import FormatError
from tfbundle.graph.check import check_graph
from tfbundle.graph.constants import find_constants, insert_casts
from tfbundle.pb import message_class, parse_message

F = value(type=FLOAT)
NO_FILE: Any = None


def constant(name: str, sizes: tuple[int, ...], content: bytes = b"", floats: Any = (), dtype: int = FLOAT) -> Any:
    tensor = message_class("TensorProto")(
        dtype=dtype, tensor_shape=shape_of(sizes), tensor_content=content, float_val=floats
    )
    return node(name, "Const", dtype=F, value=value(tensor=tensor))


def content(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


def test_values_as_bytes_and_one_by_one() -> None:
    graph = graph_of(
        constant("a", (2,), content(1, 2)), constant("b", (1, 2), floats=[3, 4]), constant("c", (9,), floats=[1])
    )
    found = find_constants(graph)
    assert [(each.name, each.shape, np.concatenate([*each.iter_values(NO_FILE)]).tolist()) for each in found] == [
        ("a", (2,), [1, 2]),
        ("b", (1, 2), [3, 4]),
    ]
    assert [each.nbytes for each in found] == [8, 8]


@pytest.mark.parametrize(
    "message",
    [
        constant("a", (3,), content(1, 2)),
        constant("a", (1,), content(1, 2)),
        constant("a", (2,), content(1, 2)[:-1]),
        constant("a", (1,), floats=[1, 2]),
        constant("a", (-1,), floats=[1]),
        constant("a", (2,), content(1, 2), dtype=19),
        node("a", "Const"),
        node("a", "Const", dtype=F),
    ],
)
def test_constants_that_make_no_sense(message: Any) -> None:
    with pytest.raises(FormatError, match="node 'a'"):
        find_constants(graph_of(message))


def test_claim_of_many_values_takes_no_room() -> None:
    assert find_constants(graph_of(constant("a", (2**40, 2**20), floats=[1]))) == []


def test_casts_have_the_names_of_constants() -> None:
    made = function("g", [], [constant("a", (2,), content(1, 2)), node("n", "Neg", "a:output:0", T=F)])
    made.signature.output_arg.add(name="y", type=FLOAT)
    made.ret["y"] = "a:output:0"
    graph = graph_of(constant("a", (2,), content(1, 2)), node("n", "Neg", "a", "^a", T=F), functions=[made])
    found = find_constants(graph)
    assert [each.name for each in found] == ["a", "g/a"]
    for each in found:
        each.store(np.array([1, 2], np.float16).view(np.uint16))
    assert insert_casts(found) == {"a": "a/float16"}
    check_graph(graph)
    stream = graph.stream(behind={"a/float16": "a"})
    data = b"".join(stream.pieces())
    assert len(data) == stream.nbytes
    message = parse_message("GraphDef", data)
    assert [(each.name, each.op, list(each.input)) for each in message.node] == [
        ("a/float16", "Const", []),
        ("a", "Cast", ["a/float16"]),
        ("n", "Neg", ["a", "^a"]),
    ]
    tensor = message.node[0].attr["value"].tensor
    assert np.frombuffer(tensor.tensor_content, "<f2").tolist() == [1, 2]
    body = graph.body("g")
    assert [list(each.input) for each in body.nodes] == [[], ["a:y:0"], ["a/float16:output:0"]]
    assert dict(body.function.ret) == {"y": "a:y:0"}
