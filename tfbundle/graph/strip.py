"""Taking training out of a graph of TF1: only what chosen outputs need stays, with its variables and their saver.

Variables that stay keep their initializers; collections, signatures and functions lose what refers to removed nodes.

Source: TensorFlow ``python/framework/graph_util_impl.py`` (``extract_sub_graph``), ``python/framework/meta_graph.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.graph.bodies import Body
from tfbundle.graph.models import Model
from tfbundle.graph.reduce import reduce_savers, remove_nodes
from tfbundle.graph.savers import SaverNode, Sources
from tfbundle.pb import parse_message

_ASSIGNS = ("Assign", "AssignVariableOp")
_PASSING = ("Identity", "Cast", "Reshape")
_INITIALIZES_TABLE = "InitializeTable"
_OF_VARIABLES = frozenset({
    "variables", "trainable_variables", "local_variables", "model_variables", "moving_average_variables",
    "metric_variables", "trainable_resource_variables", "global_step",
})  # fmt: skip
_ASSETS = "asset_filepaths"
_OF_TRAINING = frozenset({"cond_context", "while_context", "queue_runners", "savers"})


def output_nodes(model: Model, outputs: Collection[str]) -> list[str]:
    """Return the nodes that outputs name, with or without ``:0``; by default those of the signatures."""
    names = set(map(_node_of, outputs or _signed(model.message)))
    return sorted(names) if all(name in model.graph.main.nodes for name in names) else []


def _signed(message: Any) -> set[str]:
    return {info.name for signature in message.signature_def.values() for info in signature.outputs.values()} - {""}


def _assets(message: Any) -> set[str]:
    """Return the nodes that have the paths of assets."""
    names = {asset.tensor_info.name for asset in message.asset_file_def}
    if _ASSETS in message.collection_def:
        names.update(message.collection_def[_ASSETS].node_list.value)
    return set(map(_node_of, names))


def _signed_inputs(message: Any, outputs: Collection[str]) -> Iterator[str]:
    """Yield the inputs of those signatures all of whose outputs are among some nodes."""
    for signature in message.signature_def.values():
        if all(_node_of(info.name) in outputs for info in signature.outputs.values()):
            yield from (info.name for info in signature.inputs.values() if info.name)


def strip_training(model: Model, outputs: Collection[str]) -> tuple[set[str], int]:
    """Remove all that some outputs do not need.

    Args:
        model: changed in place.
        outputs: names of nodes that are there.

    Returns:
        Names of the tensors that are still restored, and how many nodes were removed.

    Raises:
        UnsupportedError: a graph of TF2, or an output is what a saver restores.
        FormatError: an input or a collection makes no sense.
    """
    if len(model.message.object_graph_def.nodes):
        raise UnsupportedError("training cannot be taken out of a SavedModel of TF2: its objects need all of it")
    body, before = model.graph.main, len(model.graph.main.nodes)
    inputs = [_node_of(name) for name in _signed_inputs(model.message, outputs)]
    assets = _assets(model.message)
    needed = _ancestors(body, [*outputs, *inputs, *assets])
    sources, savers = Sources(model.graph), _own_savers(model)
    names = set(_assigned([saver for saver in savers if saver.restores], needed, sources))
    reduce_savers(savers, model.names - names)
    needed |= _ancestors(body, _iter_saver(model.message.saver_def, body))
    needed |= _ancestors(body, _iter_initializers(model.message, needed))
    needed |= _ancestors(body, [node.name for node in body.nodes if _initializes(body, node, needed)])
    main_ops = _main_ops(model.message, body)
    gone = body.nodes.names - needed - main_ops
    _keep_collections(model.message, gone)
    remove_nodes(body, gone)
    if lost := [name for name in outputs if name not in body.nodes]:
        raise UnsupportedError(f"the output {lost[0]!r} is part of a saver")
    _keep_functions(model)
    model.refresh()
    return model.names, before - len(model.graph.main.nodes)


def _own_savers(model: Model) -> list[SaverNode]:
    """Return what the saver of a graph runs; others go with training."""
    body = model.graph.main
    nodes = _ancestors(body, _iter_saver(model.message.saver_def, body))
    called = _called_from(model, map(body.nodes.__getitem__, nodes))
    return [saver for saver in model.savers if (saver.body.name in called if saver.body.name else saver.name in nodes)]


def _called_from(model: Model, nodes: Iterable[Any]) -> set[str]:
    """Return the functions that some nodes call, and those that these call."""
    graph, called = model.graph, set[str]()
    gradients = {each.function_name: each.gradient_func for each in graph.library.gradient}
    found, waiting = set(_iter_called(nodes)), list[str]()
    while True:
        found |= {gradients[name] for name in found if name in gradients}
        new = {name for name in found if name in graph.functions} - called
        called |= new
        waiting += new
        if not waiting:
            return called
        found = set(_iter_called(graph.body(waiting.pop()).nodes))


def _ancestors(body: Body, names: Iterable[str]) -> set[str]:
    """Return some nodes and all that they need."""
    waiting = list(names)
    seen = set(waiting)
    while waiting:
        node = body.nodes.find(waiting.pop())
        if node is None:
            raise FormatError("a node is needed that is not there")
        for reference in node.input:
            name = _node_of(reference)
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen


def _assigned(savers: Iterable[SaverNode], needed: Collection[str], sources: Sources) -> Iterator[str]:
    """Yield the names of the tensors that some nodes restore for variables that are needed."""
    readers: dict[str, _Readers] = {}
    for saver in savers:
        if saver.body.name not in readers:
            readers[saver.body.name] = _find_readers(saver.body)
        yield from _assigned_to(saver, readers[saver.body.name], needed, sources)


_Readers = dict[str, list[tuple[int, str]]]


def _find_readers(body: Body) -> _Readers:
    """Return what reads or assigns the outputs of each node: the number of the output, and the reader."""
    readers: _Readers = {}
    for node in body.nodes:
        if node.op in (*_ASSIGNS, *_PASSING):
            inputs = body.data_inputs(node)
            at = 1 if node.op in _ASSIGNS else 0
            if len(inputs) > at:
                readers.setdefault(inputs[at][1].name, []).append((inputs[at][1].number, node.name))
    return readers


def _assigned_to(saver: SaverNode, readers: _Readers, needed: Collection[str], sources: Sources) -> Iterator[str]:
    body, by_output = saver.body, dict[int, list[str]]()
    for number, reader in readers.get(saver.name, []):
        by_output.setdefault(number, []).append(reader)
    for number, tensor in enumerate(saver.tensors):
        waiting = by_output.get(number, [])
        while waiting:
            node = body.nodes[waiting.pop()]
            if node.op in _ASSIGNS:
                variable = body.data_inputs(node)[0][1]
                if any(origin.name in needed for where, origin in sources.find(body, variable) if not where.name):
                    yield from tensor.names
            elif node.op in _PASSING:
                waiting += [name for _, name in readers.get(node.name, [])]


def _iter_saver(definition: Any, body: Body) -> Iterator[str]:
    for name in (definition.filename_tensor_name, definition.save_tensor_name, definition.restore_op_name):
        if name:
            yield body.origin(name).name


def _iter_definitions(message: Any) -> Iterator[tuple[Any, bytes, Any]]:
    """Yield the variables that collections list: the collection, and each as bytes and as a message."""
    for key, collection in message.collection_def.items():
        if key in _OF_VARIABLES and collection.WhichOneof("kind") == "bytes_list":
            for data in collection.bytes_list.value:
                yield collection, data, parse_message("VariableDef", data)


def _iter_initializers(message: Any, needed: Collection[str]) -> Iterator[str]:
    """Yield the nodes with which the variables are initialized and read that are needed."""
    for _, _, definition in _iter_definitions(message):
        if definition.variable_name.partition(":")[0] in needed:
            for name in (definition.initializer_name, definition.initial_value_name, definition.snapshot_name):
                if name:
                    yield name.partition(":")[0]


def _initializes(body: Body, node: Any, needed: Collection[str]) -> bool:
    """Tell whether a node fills a table that is needed."""
    if not node.op.startswith(_INITIALIZES_TABLE):
        return False
    inputs = body.data_inputs(node)
    return bool(inputs) and inputs[0][1].name in needed


def _main_ops(message: Any, body: Body) -> set[str]:
    """Return the nodes that the loader of a SavedModel runs, which only say what has to run before."""
    names: set[str] = set()
    for key in ("saved_model_main_op", "legacy_init_op"):
        if key in message.collection_def:
            names.update(name.partition(":")[0] for name in message.collection_def[key].node_list.value)
    return {name for name in names if name in body.nodes and body.nodes[name].op == "NoOp"}


def _keep_collections(message: Any, gone: Collection[str]) -> None:
    """Let collections and signatures no longer refer to removed nodes."""
    lost: dict[int, tuple[Any, list[bytes]]] = {}
    for collection, data, definition in _iter_definitions(message):
        _, kept = lost.setdefault(id(collection), (collection, []))
        if definition.variable_name.partition(":")[0] not in gone:
            kept.append(data)
    for collection, kept in lost.values():
        del collection.bytes_list.value[:]
        collection.bytes_list.value.extend(kept)
    for key in list(message.collection_def):
        collection = message.collection_def[key]
        if collection.WhichOneof("kind") == "node_list":
            values = [value for value in collection.node_list.value if _node_of(value) not in gone]
            del collection.node_list.value[:]
            collection.node_list.value.extend(values)
        is_empty = not (collection.node_list.value or collection.bytes_list.value)
        if key in _OF_TRAINING or (is_empty and collection.WhichOneof("kind") in ("node_list", "bytes_list")):
            del message.collection_def[key]
    for key in list(message.signature_def):
        signature = message.signature_def[key]
        infos = [*signature.inputs.values(), *signature.outputs.values()]
        if any(_node_of(info.name) in gone for info in infos):
            del message.signature_def[key]


def _node_of(reference: str) -> str:
    return reference.removeprefix("^").partition(":")[0]


def _keep_functions(model: Model) -> None:
    """Remove the functions that nothing calls any more."""
    model.graph.keep_functions(_called_from(model, model.graph.main.nodes))


def _iter_called(nodes: Iterable[Any]) -> Iterator[str]:
    """Yield the names of functions that nodes mention, as their op or in an attribute."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield from _iter_mentioned(value)


def _iter_mentioned(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        kind = value.WhichOneof("value")
        functions = [value.func] if kind == "func" else list(value.list.func) if kind == "list" else []
        for function in functions:
            yield function.name
            waiting += function.attr.values()
