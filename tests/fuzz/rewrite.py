"""Graphs that are rewritten: whatever is in them, what comes out type-checks, and says what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tests.fuzz.graph import mutate
from tests.fuzz.target import Target, attempt, check_message
from tests.graph.test_constants import constant
from tests.graph.test_objects import OBJECTS, saved_graph
from tests.graph.test_strip import training_graph
from tests.support.graphs import (
    FLOAT,
    HALF,
    STRING,
    call,
    function,
    node,
    restore,
    saver_graph,
    strings,
    value,
    written_model,
)
from tfbundle.errors import BundleError, UnsupportedError
from tfbundle.graph.check import check_graph
from tfbundle.graph.constants import find_constants, insert_casts
from tfbundle.graph.library import Graph
from tfbundle.graph.models import Model, settle
from tfbundle.graph.sources import Memory
from tfbundle.graph.strip import output_nodes, strip_training
from tfbundle.graph.wire import take_apart
from tfbundle.pb import parse_message

if TYPE_CHECKING:
    from tfbundle.storage.base import ReadableFile

_OBJECTS = 7  # of MetaGraphDef


def check(data: bytes) -> None:
    """Take the bytes for a MetaGraphDef, and do to it all that can be done."""
    model = attempt(_read, data)
    if model is None:
        return
    message = parse_message("MetaGraphDef", data)
    assert _same(written_model(model), message), "to change nothing changes the graph"
    for change in (_halve, _reduce):
        _attempt(change, _read(data), UnsupportedError)  # the graph is sound
    for change in (_strip, _store_constants):
        _attempt(change, _read(data), BundleError)  # it has more that need not be


def _read(data: bytes) -> Model:
    has_objects = bool(take_apart("MetaGraphDef", Memory(data), [(0, len(data))], [_OBJECTS]).spans[_OBJECTS])
    model = Model(Memory(data), None, OBJECTS if has_objects else ())
    _limits(model)
    return model


def _limits(model: Model) -> Mapping[str, str]:
    return settle([model], model.names, lambda _, part: not part)


def _attempt(change: Callable[[Model], None], model: Model, refusal: type[BundleError]) -> None:
    try:
        change(model)
    except refusal as error:
        check_message(error)


def _same(one: Any, other: Any) -> bool:
    return bool(one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True))


def _again(model: Model) -> Model:
    """Read a graph as it is written; it was sound, so it has to be."""
    try:
        return _read(written_model(model).SerializeToString())
    except BundleError as error:
        raise AssertionError(f"what was written is refused: {error}") from error


def _dtypes(model: Model) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for saver in model.savers:
        for tensor in saver.tensors:
            for name in tensor.names:
                found.setdefault(name, set()).add(tensor.dtype)
    return found


def _halve(model: Model) -> None:
    before = _dtypes(model)
    chosen = before.keys() - _limits(model).keys()
    model.convert(chosen)
    after = _again(model)
    assert _dtypes(after) == {name: {HALF} if name in chosen else dtypes for name, dtypes in before.items()}
    assert after.convert(chosen).num_retyped == 0, "converted twice"


def _reduce(model: Model) -> None:
    before = _dtypes(model)
    gone = set(sorted(before)[:1])
    model.reduce(gone)
    left = _dtypes(_again(model))
    assert not left.keys() & gone
    assert left.keys() <= before.keys()


def _strip(model: Model) -> None:
    outputs = sorted(model.graph.main.nodes.names)[-1:]
    if not output_nodes(model, outputs):
        return
    names, num_removed = strip_training(model, outputs)
    after = _again(model)
    assert set(outputs) <= after.graph.main.nodes.names
    assert num_removed >= 0
    assert {name for saver in after.savers if saver.restores for name in _names(saver)} <= names


def _names(saver: Any) -> Iterator[str]:
    for tensor in saver.tensors:
        yield from tensor.names


def _store_constants(model: Model) -> None:
    graph = Graph(Memory(written_model(model).graph_def.SerializeToString()))
    found, no_file = find_constants(graph), cast("ReadableFile", None)  # all values are in the graph
    for each in found:
        (values,) = each.iter_values(no_file)
        with np.errstate(all="ignore"):
            each.store(values.astype(np.float16).view(np.uint16))
    names = insert_casts(found)
    again = Graph(Memory(b"".join(graph.stream(behind={new: old for old, new in names.items()}).pieces())))
    check_graph(again)
    assert not [each for each in find_constants(again) if each.num_elements], "a constant is still float32"


def seeds() -> Iterator[bytes]:
    """Yield graphs of every kind that is rewritten."""
    yield saver_graph("a", "b", extra=[node("mine", "MyOp", "a/read")]).SerializeToString()
    yield training_graph().SerializeToString()
    floats = np.array([1, 2], "<f4").tobytes()
    inner = [constant("c", (2,), floats), node("n", "Neg", "c:output:0", T=value(type=FLOAT)), call("f", "g")]
    made = function("g", [], inner)
    made.signature.output_arg.add(name="y", type=FLOAT)
    made.ret["y"] = "n:y:0"
    message = saver_graph("a", extra=[constant("k", (2, 1), floats), constant("one", (1,), floats=[3])])
    message.graph_def.library.function.append(made)
    message.graph_def.library.gradient.add(function_name="g", gradient_func="g")
    yield message.SerializeToString()
    body = [restore("r", FLOAT, names="names", parts="p:output:0"), strings("p", [b""])]
    load = function("load", ["file", "names"], body)
    for argument in load.signature.input_arg:
        argument.type = STRING
    each = call("x", "load", "file", "x_names")
    each.attr["Tin"].list.type.extend([STRING, STRING])
    each.attr["Tout"].list.SetInParent()
    message = saver_graph("a", extra=[each, strings("x_names", [b"x"])])
    message.graph_def.library.function.append(load)
    yield message.SerializeToString()
    message = saver_graph("w/.ATTRIBUTES/VARIABLE_VALUE")
    message.MergeFrom(saved_graph())
    yield message.SerializeToString()


TARGET = Target("rewrite", check, seeds, mutate, 4096, verbs=3)
