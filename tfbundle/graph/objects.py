"""Variables of a SavedModel of TF2 that are stored as float16: functions with which the loader restores them.

``tf.saved_model.load`` reads each variable with the dtype it has, unless the object brings functions of its own for
saving and restoring. So a variable gets two: the one casts what is restored and assigns it, the other reads the
variable and casts what is saved.

Which key a variable has tells the object graph of the checkpoint: the loader walks it and that of the SavedModel side
by side, from the root, by the names of children.

Source: TensorFlow ``python/saved_model/load.py`` (``_load_checkpoint_save_and_restore_functions``), ``save.py``
(``_gen_save_and_restore_functions``), ``python/checkpoint/restore.py``; ``core/protobuf/saved_object_graph.proto``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfbundle.errors import FormatError
from tfbundle.format.object_graph import TrackableObject
from tfbundle.format.object_paths import VALUE_ENDING
from tfbundle.graph.library import Graph
from tfbundle.graph.node_types import FLOAT, HALF
from tfbundle.graph.repair import make_cast
from tfbundle.pb import message_class

_RESOURCE = 20
_SERIALIZE = ".TENSORS"  # the name under which the loader takes functions for whole objects
_VALUE = "VARIABLE_VALUE"
_RESTORED = "restored_tensors"


def find_variables(saved: Any, objects: Sequence[TrackableObject]) -> dict[str, set[int]]:
    """Return the variables of a SavedModel: numbers of the nodes that have the value under each key.

    Args:
        saved: a SavedObjectGraph.
        objects: those of the checkpoint.

    Raises:
        FormatError: an object refers to a node that is not there.
    """
    found: dict[str, set[int]] = {}
    for number, partner in _walk(saved, objects).items():
        if saved.nodes[number].WhichOneof("kind") == "variable":
            for key in objects[partner].checkpoint_keys:
                found.setdefault(key, set()).add(number)
    return found


def _walk(saved: Any, objects: Sequence[TrackableObject]) -> dict[int, int]:
    """Return which node of the SavedModel is which object of the checkpoint."""
    if not len(saved.nodes) or not objects:
        return {}
    partners = {0: 0}
    waiting = [0]
    while waiting:
        number = waiting.pop()
        children = {child.local_name: child.node_id for child in saved.nodes[number].children}
        for name, partner in objects[partners[number]].children:
            if name in children:
                child = _check(saved, children[name])
                if child not in partners:
                    partners[child] = partner
                    waiting.append(child)
    return partners | _walk_slots(saved, objects, partners)


def _walk_slots(saved: Any, objects: Sequence[TrackableObject], partners: Mapping[int, int]) -> dict[int, int]:
    """Return the same of variables that optimizers keep for others."""
    found = {}
    for number, partner in partners.items():
        slots = {(slot.variable, slot.slot_name): slot.slot for slot in objects[partner].slot_variables}
        for slot in saved.nodes[number].slot_variables:
            key = (partners.get(slot.original_variable_node_id, -1), slot.slot_name)
            if key in slots:
                found[_check(saved, slot.slot_variable_node_id)] = slots[key]
    return found


def _check(saved: Any, number: int) -> int:
    """Return the number of a node.

    Raises:
        FormatError: there is none.
    """
    if not 0 <= number < len(saved.nodes):
        raise FormatError(f"a node refers to node {number} of {len(saved.nodes)}", "", "object graph")
    return number


def can_convert(key: str, node: Any) -> bool:
    """Tell whether a variable can be stored as float16: a plain one of float32, saved under its usual key.

    Args:
        key: under which it is saved.
        node: its SavedObject.
    """
    return (
        key.endswith(VALUE_ENDING)
        and node.variable.dtype == FLOAT
        and not node.variable.experimental_distributed_variable_components
        and not node.saveable_objects
        and not node.registered_saver
    )


def hide_variables(saved: Any, numbers: Collection[int]) -> None:
    """Let no object hold some variables any more: the loader wants a value for each that the root leads to.

    They are still there for the functions that use them, without a value.

    Args:
        saved: a SavedObjectGraph.
        numbers: of the variables' nodes.
    """
    for node in saved.nodes if numbers else ():
        _keep(node.children, [child for child in node.children if child.node_id not in numbers])
        _keep(node.slot_variables, [slot for slot in node.slot_variables if slot.slot_variable_node_id not in numbers])


def _keep(items: Any, kept: Sequence[Any]) -> None:
    if len(kept) < len(items):
        copies = [type(item).FromString(item.SerializeToString()) for item in kept]
        del items[:]
        items.extend(copies)


def add_functions(graph: Graph, saved: Any, numbers: Collection[int]) -> None:
    """Give variables the functions with which float16 is restored and saved; new nodes go to the end.

    Args:
        graph: gets the functions.
        saved: its SavedObjectGraph.
        numbers: of the variables' nodes.
    """
    maker = _Maker(graph, saved)
    for number in sorted(numbers):
        maker.add(number)


class _Maker:
    def __init__(self, graph: Graph, saved: Any) -> None:
        self._graph = graph
        self._saved = saved

    def add(self, number: int) -> None:
        variable = self._saved.nodes[number].variable
        save = self._add_function(_save_function, "save", variable, number)
        restore = self._add_function(_restore_function, "restore", variable, number)
        spec = _dict({_VALUE: _tensor_spec(_VALUE, variable.shape)})
        self._sign(save, number, _call_signature([]), spec)
        named = _dict({_VALUE: _tensor_spec(f"{_RESTORED}/{_VALUE}", variable.shape)})
        self._sign(restore, number, _call_signature([named]), _none())
        saveable = self._saved.nodes[number].saveable_objects[_SERIALIZE]
        saveable.save_function = self._add_node(save, [])
        saveable.restore_function = self._add_node(restore, [_RESTORED])

    def _add_function(self, fill: Any, verb: str, variable: Any, number: int) -> str:
        name = f"__inference_{verb}_float16_{number}"
        while name in self._graph.functions or name in self._saved.concrete_functions:
            name += "_"
        function = message_class("FunctionDef")()
        function.signature.name = name
        function.signature.is_stateful = True
        fill(function, variable)
        self._graph.add_function(function)
        return name

    def _sign(self, name: str, number: int, inputs: Any, outputs: Any) -> None:
        function = self._saved.concrete_functions[name]
        function.bound_inputs.append(number)
        function.canonicalized_input_signature.CopyFrom(inputs)
        function.output_signature.CopyFrom(outputs)

    def _add_node(self, name: str, arguments: list[str]) -> int:
        function = self._saved.nodes.add().function
        function.concrete_functions.append(name)
        function.function_spec.fullargspec.CopyFrom(_argument_spec(arguments))
        function.function_spec.input_signature.CopyFrom(_none())
        return len(self._saved.nodes) - 1


def _save_function(function: Any, variable: Any) -> None:
    """Fill in a function that reads a variable and casts what it holds."""
    _add_resource(function, variable)
    function.signature.output_arg.add(name="value", type=HALF)
    function.signature.control_output.append("ReadVariableOp")
    read = function.node_def.add(name="ReadVariableOp", op="ReadVariableOp", input=["variable"])
    read.attr["dtype"].type = FLOAT
    function.node_def.append(make_cast("Cast", "ReadVariableOp:value:0", (FLOAT, HALF)))
    function.ret["value"] = "Cast:y:0"
    function.control_ret["ReadVariableOp"] = "ReadVariableOp"


def _restore_function(function: Any, variable: Any) -> None:
    """Fill in a function that casts a value and assigns it."""
    function.signature.input_arg.add(name="restored", type=HALF)
    _add_resource(function, variable)
    function.signature.control_output.append("AssignVariableOp")
    function.node_def.append(make_cast("Cast", "restored", (HALF, FLOAT)))
    assign = function.node_def.add(name="AssignVariableOp", op="AssignVariableOp", input=["variable", "Cast:y:0"])
    assign.attr["dtype"].type = FLOAT
    assign.attr["validate_shape"].b = False
    function.control_ret["AssignVariableOp"] = "AssignVariableOp"


def _add_resource(function: Any, variable: Any) -> None:
    argument = function.signature.input_arg.add(name="variable", type=_RESOURCE)
    argument.handle_data.add(dtype=FLOAT, shape=variable.shape)


def _value() -> Any:
    return message_class("StructuredValue")()


def _none() -> Any:
    value = _value()
    value.none_value.SetInParent()
    return value


def _text(text: str) -> Any:
    value = _value()
    value.string_value = text
    return value


def _list(values: Sequence[Any]) -> Any:
    value = _value()
    value.list_value.SetInParent()
    value.list_value.values.extend(values)
    return value


def _tuple(values: Sequence[Any]) -> Any:
    value = _value()
    value.tuple_value.SetInParent()
    value.tuple_value.values.extend(values)
    return value


def _dict(fields: dict[str, Any]) -> Any:
    value = _value()
    value.dict_value.SetInParent()
    for name, field in fields.items():
        value.dict_value.fields[name].CopyFrom(field)
    return value


def _tensor_spec(name: str, shape: Any) -> Any:
    value = _value()
    spec = value.tensor_spec_value
    spec.name, spec.dtype = name, HALF
    spec.shape.CopyFrom(shape)
    return value


def _call_signature(arguments: Sequence[Any]) -> Any:
    """Return the signature of a call: what stands by place, and by name."""
    return _tuple([_tuple(arguments), _dict({})])


def _argument_spec(names: Sequence[str]) -> Any:
    """Return Python's FullArgSpec of a function with arguments of these names."""
    value = _value()
    spec = value.named_tuple_value
    spec.name = "FullArgSpec"
    fields = (
        ("args", _list([_text(name) for name in names])),
        ("varargs", _none()),
        ("varkw", _none()),
        ("defaults", _none()),
        ("kwonlyargs", _list([])),
        ("kwonlydefaults", _none()),
        ("annotations", _dict({})),
    )
    for key, field in fields:
        spec.values.add(key=key).value.CopyFrom(field)
    return value
