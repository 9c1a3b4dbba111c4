from __future__ import annotations

from typing import Any

import pytest

from tests.support.graphs import FLOAT, function, model_of, node, saver_graph, strings, value
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.graph.strip import output_nodes, strip_training
from tfbundle.pb import message_class

F = value(type=FLOAT)


def training_graph() -> Any:
    """Return a graph in which ``y`` needs ``w``, and ``step`` needs ``w`` and its slot; all with initializers."""
    extra = [
        node("y", "Neg", "w/read", T=F),
        node("step", "AddN", "w/read", "w/slot/read", N=value(i=2), T=F),
        node("colocated", "Neg", "y", T=F, _class=value(list={"s": [b"loc:@w/slot", b"loc:@w"]})),
        node("called", "g"),
        node("w/start", "Const", dtype=F),
        node("w/init", "Assign", "w", "w/start", T=F),
        strings("asset", [b"words.txt"], []),
    ]
    message = saver_graph("w", "w/slot", extra=extra)
    for name in ("w", "w/slot"):
        definition = message_class("VariableDef")(variable_name=f"{name}:0", snapshot_name=f"{name}/read:0")
        if name == "w":
            definition.initializer_name, definition.initial_value_name = "w/init", "w/start:0"
        message.collection_def["variables"].bytes_list.value.append(definition.SerializeToString())
    message.collection_def["train_op"].node_list.value.append("step")
    message.collection_def["mixed"].node_list.value.extend(["step", "y:0"])
    message.collection_def["asset_filepaths"].node_list.value.append("asset:0")
    message.graph_def.library.function.append(function("g", [], [node("inner", "h")]))
    message.graph_def.library.function.append(function("h", [], []))
    message.graph_def.library.function.append(function("unused", [], []))
    message.signature_def["serve"].outputs["y"].name = "y:0"
    message.signature_def["train"].outputs["loss"].name = "step:0"
    return message


def test_what_outputs_need_stays() -> None:
    model = model_of(training_graph())
    names, num_removed = strip_training(model, ["y"])
    assert names == {"w"}
    left = set(model.graph.main.nodes.names)
    assert {"y", "w", "w/read", "w/init", "w/start", "restore", "assign_0", "all", "asset", "file"} <= left
    assert not {"step", "w/slot", "w/slot/read", "assign_1", "called", "colocated"} & left
    assert num_removed > 0
    message = model.message
    assert list(message.signature_def) == ["serve"]
    assert sorted(message.collection_def) == ["asset_filepaths", "mixed", "variables"]
    assert list(message.collection_def["mixed"].node_list.value) == ["y:0"]
    assert len(message.collection_def["variables"].bytes_list.value) == 1
    assert not model.graph.functions


def test_functions_that_are_called_stay_and_places_are_forgotten() -> None:
    model = model_of(training_graph())
    strip_training(model, ["colocated", "called"])
    assert list(model.graph.functions) == ["g", "h"]
    assert list(model.graph.main.nodes["colocated"].attr["_class"].list.s) == [b"loc:@w"]


def test_outputs_by_name() -> None:
    model = model_of(training_graph())
    assert output_nodes(model, ["y:0", "step"]) == ["step", "y"]
    assert output_nodes(model, []) == ["step", "y"]
    assert output_nodes(model, ["y", "nowhere"]) == []


def test_what_outputs_read_from_the_checkpoint_stays() -> None:
    message = saver_graph("w", "v", extra=[node("y", "Neg", "restore", T=F)])
    message.ClearField("saver_def")
    names, _ = strip_training(model_of(message), ["y"])
    assert names == {"w", "v"}


def test_what_is_refused() -> None:
    message = training_graph()
    message.object_graph_def.nodes.add()
    with pytest.raises(UnsupportedError, match="SavedModel of TF2"):
        strip_training(model_of(message), ["y"])
    message = training_graph()
    message.collection_def["variables"].bytes_list.value.append(b"\xff")
    with pytest.raises(FormatError, match="VariableDef not parseable"):
        strip_training(model_of(message), ["y"])
    with pytest.raises(UnsupportedError, match="the output 'restore' is part of a saver"):
        strip_training(model_of(training_graph()), ["restore"])
    message = training_graph()
    message.saver_def.restore_op_name = "nowhere"
    with pytest.raises(FormatError, match="nowhere"):
        strip_training(model_of(message), ["y"])
