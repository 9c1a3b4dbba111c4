from __future__ import annotations

from typing import Any

import pytest

from tests.support.graphs import FLOAT, HALF, INT64, RESOURCE, STRING, node, types, value
from tfbundle.errors import FormatError
from tfbundle.graph.node_types import Argument, Arguments, node_types
from tfbundle.graph.ops import known_ops

INT32 = 3


def dtypes(arguments: Arguments) -> list[int]:
    return [found.dtype for number in range(arguments.count) if (found := arguments.find(number))]


def of(message: Any) -> tuple[list[int], list[int]]:
    found = node_types(message, known_ops()[message.op])
    assert found is not None
    return dtypes(found.inputs), dtypes(found.outputs)


def test_fixed_types() -> None:
    assert of(node("n", "RestoreV2", dtypes=types(FLOAT, STRING))) == ([STRING, STRING, STRING], [FLOAT, STRING])
    assert of(node("n", "ReadVariableOp", dtype=value(type=HALF))) == ([RESOURCE], [HALF])


def test_default_stands_for_what_was_stripped() -> None:
    assert of(node("n", "MaxPool")) == ([FLOAT], [FLOAT])
    assert of(node("n", "MaxPool", T=value(type=HALF))) == ([HALF], [HALF])


def test_lists() -> None:
    assert of(node("n", "Pack", N=value(i=3), T=value(type=INT64))) == ([INT64] * 3, [INT64])
    assert of(node("n", "IdentityN", T=types(FLOAT, INT32))) == ([FLOAT, INT32], [FLOAT, INT32])
    assert of(node("n", "Split", num_split=value(i=2), T=value(type=FLOAT))) == ([INT32, FLOAT], [FLOAT, FLOAT])


def test_references() -> None:
    found = node_types(node("v", "VariableV2", dtype=value(type=FLOAT)), known_ops()["VariableV2"])
    assert found is not None
    (variable,) = (found.outputs.find(0),)
    assert variable is not None
    assert (variable.dtype, variable.is_ref) == (FLOAT, True)
    assert of(node("n", "Identity", T=value(type=FLOAT + 100))) == ([FLOAT], [FLOAT])


@pytest.mark.parametrize("message", [node("n", "Identity"), node("n", "Pack", T=value(type=FLOAT), N=value(i=-1))])
def test_unknown_types(message: Any) -> None:
    assert node_types(message, known_ops()[message.op]) is None


def test_attribute_of_another_kind() -> None:
    with pytest.raises(FormatError, match="node 'n': attribute 'T' is of the kind 'i', expected 'type'"):
        node_types(node("n", "Identity", T=value(i=1)), known_ops()["Identity"])


def test_a_claim_of_many_outputs_takes_no_room() -> None:
    found = node_types(node("n", "Split", num_split=value(i=2**62), T=value(type=FLOAT)), known_ops()["Split"])
    assert found is not None
    assert found.outputs.count == 2**62
    last = found.outputs.find(2**62 - 1)
    assert last is not None
    assert last.dtype == FLOAT
    assert found.outputs.find(2**62) is None


def test_places() -> None:
    arguments = Arguments(
        [Argument("a", 2, (FLOAT,), False), Argument("none", 0, (), False), Argument("b", 2, (1, 9), False)]
    )
    assert [arguments.place("a", 1), arguments.place("b", 1), arguments.place("b", 2)] == [1, 3, None]
    assert [arguments.place("none", 0), arguments.place("c", 0)] == [None, None]
    assert [found.argument for number in range(4) if (found := arguments.find(number))] == ["a", "a", "b", "b"]
    assert Arguments([]).count == 0
    assert Arguments([]).find(0) is None
