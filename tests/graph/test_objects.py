from __future__ import annotations

from typing import Any

import pytest

from tests.support.graphs import FLOAT, HALF, function, graph_of, shape_of, written
from tfbundle.errors import FormatError
from tfbundle.format.object_graph import SlotVariable, TrackableObject
from tfbundle.graph.check import check_graph
from tfbundle.graph.library import Graph
from tfbundle.graph.objects import add_functions, can_convert, find_variables, hide_variables
from tfbundle.graph.sources import Memory
from tfbundle.pb import message_class

KEY = "w/.ATTRIBUTES/VARIABLE_VALUE"
SLOT_KEY = "w/.OPTIMIZER_SLOT/o/m/.ATTRIBUTES/VARIABLE_VALUE"
OBJECTS = (
    TrackableObject((("w", 1), ("o", 2), ("only", 1)), (), ()),
    TrackableObject((), (KEY,), ()),
    TrackableObject((), (), (SlotVariable(1, "m", 3), SlotVariable(1, "v", 1))),
    TrackableObject((), (SLOT_KEY,), ()),
)


def saved_graph() -> Any:
    """Return a MetaGraphDef whose root has the variable ``w``, with a slot of the optimizer ``o``."""
    message = message_class("MetaGraphDef")()
    nodes = message.object_graph_def.nodes
    for _ in range(4):
        nodes.add()
    for name, number in (("o", 3), ("w", 2), ("other", 0)):
        nodes[0].children.add(local_name=name, node_id=number)
    nodes[3].slot_variables.add(original_variable_node_id=2, slot_name="m", slot_variable_node_id=1)
    for number in (1, 2):
        nodes[number].variable.dtype = FLOAT
        nodes[number].variable.shape.CopyFrom(shape_of((4,)))
    return message


def test_variables_are_found_as_the_loader_finds_them() -> None:
    saved = saved_graph().object_graph_def
    assert find_variables(saved, OBJECTS) == {KEY: {2}, SLOT_KEY: {1}}
    assert find_variables(saved, ()) == {}
    assert find_variables(message_class("SavedObjectGraph")(), OBJECTS) == {}


def test_references_to_nowhere() -> None:
    message = saved_graph()
    message.object_graph_def.nodes[0].children[1].node_id = 9
    with pytest.raises(FormatError, match="a node refers to node 9 of 4"):
        find_variables(message.object_graph_def, OBJECTS)


def test_functions_type_check_and_are_bound() -> None:
    message = saved_graph()
    graph, saved = Graph(Memory(b"")), message.object_graph_def
    add_functions(graph, saved, {2})
    assert len(saved.nodes) == 6
    saveable = saved.nodes[2].saveable_objects[".TENSORS"]
    assert (saveable.save_function, saveable.restore_function) == (4, 5)
    names = [saved.nodes[number].function.concrete_functions[0] for number in (4, 5)]
    assert [list(saved.concrete_functions[name].bound_inputs) for name in names] == [[2], [2]]
    check_graph(graph)
    functions = {each.signature.name: each for each in written(graph).library.function}
    assert [each.type for each in functions[names[0]].signature.output_arg] == [HALF]
    assert functions[names[1]].signature.input_arg[0].type == HALF
    assert functions[names[1]].signature.input_arg[1].handle_data[0].dtype == FLOAT


def test_names_of_functions_are_of_no_other() -> None:
    message = saved_graph()
    graph = graph_of(functions=[function("__inference_save_float16_2", [], [])])
    add_functions(graph, message.object_graph_def, {2})
    names = list(graph.functions)
    assert names[1] == "__inference_save_float16_2_"
    assert len(set(names)) == 3


def test_what_cannot_be_converted() -> None:
    node = saved_graph().object_graph_def.nodes[2]
    assert can_convert(KEY, node)
    assert not can_convert("w/.ATTRIBUTES/OTHER", node)
    for change in (
        lambda each: setattr(each.variable, "dtype", HALF),
        lambda each: each.variable.experimental_distributed_variable_components.add(),
        lambda each: each.saveable_objects["x"].SetInParent(),
        lambda each: setattr(each, "registered_saver", "mine"),
    ):
        other = type(node).FromString(node.SerializeToString())
        change(other)
        assert not can_convert(KEY, other)


def test_hidden_variables_have_no_owners() -> None:
    saved = saved_graph().object_graph_def
    hide_variables(saved, {1, 2})
    assert [child.local_name for child in saved.nodes[0].children] == ["o", "other"]
    assert not len(saved.nodes[3].slot_variables)
    assert len(saved.nodes) == 4
