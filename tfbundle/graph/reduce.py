"""Savers that no longer restore and save some tensors.

Where a tensor is no longer restored, what was done with it goes, too: the nodes that read its value, such as the
assignment to its variable, which then only gets what its initializer gives it.

Source: TensorFlow ``core/ops/io_ops.cc``, ``python/training/saver.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tfbundle.errors import UnsupportedError
from tfbundle.format.naming import name_to_key
from tfbundle.graph.bodies import Body
from tfbundle.graph.check import iter_edges
from tfbundle.graph.savers import SaverNode

_STRING = 7
_SHARD = "ShardedFilename"
_SINGLE = ("Restore", "RestoreSlice")
_OTHER_INPUTS = 3  # of SaveV2 and SaveSlices, before the tensors; file, names, parts
_SAVE_INPUTS = 2  # of Save, which has no parts


def reduce_savers(savers: Iterable[SaverNode], names: Collection[str]) -> int:
    """Let savers restore and save no tensors with these names; return how many nodes were removed.

    Raises:
        UnsupportedError: a saver would have nothing left, or what is restored is used otherwise.
    """
    removed: dict[str, tuple[Body, set[str]]] = {}
    for saver in savers:
        gone = [at for at, tensor in enumerate(saver.tensors) if any(name in names for name in tensor.names)]
        if gone:
            _, going = removed.setdefault(saver.body.name, (saver.body, set()))
            going.update(_reduce(saver, gone))
    for body, going in removed.values():
        remove_nodes(body, going)
    return sum(len(going) for _, going in removed.values())


def _reduce(saver: SaverNode, gone: Sequence[int]) -> set[str]:
    """Take tensors out of one node; return the nodes that have to go."""
    body, node = saver.body, saver.node
    is_all = len(gone) == len(saver.tensors)
    if is_all and not saver.restores:
        return _drop_shard(body, node)
    readers = _readers_of(body, node, set(gone)) if saver.restores else set()
    if is_all:
        return {node.name, *readers}
    left = [at for at in range(len(saver.tensors)) if at not in set(gone)]
    if saver.restores:
        _renumber(body, node, left, readers)
    else:
        _drop_inputs(node, left, _SAVE_INPUTS if node.op == "Save" else _OTHER_INPUTS)
    _set_strings(body, node, 1, [tensor.names[0] for tensor in (saver.tensors[at] for at in left)])
    if node.op != "Save":
        _set_strings(body, node, 2, [saver.tensors[at].parts[0] for at in left])
    for name in ("dtypes", "T", "_output_shapes"):
        if name in node.attr:
            _keep_items(node.attr[name].list, left, len(saver.tensors))
    body.forget_types(node)
    return readers


def _drop_shard(body: Body, save: Any) -> set[str]:
    """Let a sharded saver write a shard less; return the nodes that have to go.

    Source: TensorFlow ``python/training/saver.py`` (``_AddShardedSaveOpsForV2``).
    """
    shard = body.data_inputs(save)[0][1]
    going, is_merged = {save.name}, False
    for edge in iter_edges(body) if shard.node is not None and shard.node.op == _SHARD else ():
        reader = edge.reader
        if reader is None or edge.origin.name != shard.name:
            continue
        if reader.op == "Pack" and reader.attr["N"].i > 1:
            inputs = [reference for reference in reader.input if body_name(reference) != shard.name]
            del reader.input[:]
            reader.input.extend(inputs)
            reader.attr["N"].i -= 1
            if "_output_shapes" in reader.attr:
                del reader.attr["_output_shapes"]
            body.forget_types(reader)
            is_merged = True
        elif f"^{save.name}" in reader.input:
            going.add(reader.name)
    if not is_merged:
        raise UnsupportedError(f"{body.label(save)}: nothing would be left for it to save")
    return going


def body_name(reference: str) -> str:
    """Return the node that an input names."""
    return reference.removeprefix("^").partition(":")[0]


def _keep_items(values: Any, left: Sequence[int], count: int) -> None:
    for items in (values.type, values.shape):
        if len(items) == count:
            kept = [items[at] for at in left]
            del items[:]
            items.extend(kept)


def _readers_of(body: Body, node: Any, gone: set[int]) -> set[str]:
    """Return the nodes that depend on some outputs of a node by values."""
    readers: dict[str, list[str]] = {}
    found: list[str] = []
    for edge in iter_edges(body):
        reader = "" if edge.reader is None else edge.reader.name
        readers.setdefault(edge.origin.name, []).append(reader)
        if edge.origin.name == node.name and edge.origin.number in gone:
            found.append(reader)
    seen: set[str] = set()
    while found:
        name = found.pop()
        if not name:
            raise UnsupportedError(f"{body.label(node)}: the function returns what would not be restored")
        if name not in seen:
            seen.add(name)
            found += readers.get(name, [])
    return seen


def _renumber(body: Body, node: Any, left: Sequence[int], going: Collection[str]) -> None:
    """Let the readers of a node's outputs read them by their new numbers."""
    numbers = {old: new for new, old in enumerate(left)}
    edges = [edge for edge in iter_edges(body) if edge.origin.node is node or edge.origin.name == node.name]
    for edge in edges:
        if edge.reader is None:
            body.function.ret[edge.place] = body.reference(node, numbers[edge.origin.number])
        elif edge.reader.name not in going:
            edge.reader.input[edge.place] = body.reference(node, numbers[edge.origin.number])


def _drop_inputs(node: Any, left: Sequence[int], others: int) -> None:
    inputs = [reference for reference in node.input if not reference.startswith("^")]
    control = [reference for reference in node.input if reference.startswith("^")]
    del node.input[:]
    node.input.extend([*inputs[:others], *(inputs[others + at] for at in left), *control])


def _set_strings(body: Body, node: Any, number: int, texts: Sequence[str]) -> None:
    """Let an input of a node read a new constant with these strings."""
    at, origin = body.data_inputs(node)[number]
    device = origin.node.device if origin.node is not None else node.device
    constant = body.add(body.unique_name(f"{node.name}/{'names' if number == 1 else 'parts'}"), "Const", [], device)
    constant.attr["dtype"].type = _STRING
    tensor = constant.attr["value"].tensor
    tensor.dtype = _STRING
    tensor.tensor_shape.dim.add(size=len(texts))
    tensor.string_val.extend(name_to_key(text) for text in texts)
    node.input[at] = body.reference(constant)


def remove_nodes(body: Body, names: Collection[str]) -> None:
    """Remove nodes of a body that no value goes to; what had to run after them need not.

    Raises:
        UnsupportedError: another node reads one of them.
    """
    if not names:
        return
    for node in body.nodes:
        if node.name in names:
            continue
        kept = [reference for reference in node.input if body_name(reference) not in names]
        lost = [reference for reference in node.input if reference not in kept and not reference.startswith("^")]
        if lost:
            raise UnsupportedError(f"{body.label(node)} reads {lost[0]!r}, which would go")
        if len(kept) < len(node.input):
            del node.input[:]
            node.input.extend(kept)
        _forget_places(node, names)
    body.keep_nodes([node for node in body.nodes if node.name not in names])
    if body.function is not None:
        _forget_control(body.function, names)


def _forget_control(function: Any, names: Collection[str]) -> None:
    """Let a function no longer have control outputs that are removed nodes."""
    gone = {output for output, name in function.control_ret.items() if name in names}
    for output in gone:
        del function.control_ret[output]
    kept = [output for output in function.signature.control_output if output not in gone]
    del function.signature.control_output[:]
    function.signature.control_output.extend(kept)


def _forget_places(node: Any, names: Collection[str]) -> None:
    """Let a node no longer ask to be where a removed one is."""
    if "_class" not in node.attr:
        return
    places = node.attr["_class"].list
    kept = [place for place in places.s if place.removeprefix(b"loc:@").decode("utf-8", "replace") not in names]
    if len(kept) < len(places.s):
        del places.s[:]
        places.s.extend(kept)
    if not kept:
        del node.attr["_class"]
