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
from tfbundle.graph.check import Edge, iter_edges
from tfbundle.graph.savers import SaverNode

_STRING = 7
_SHARD = "ShardedFilename"
_OTHER_INPUTS = 3  # of SaveV2 and SaveSlices, before the tensors; file, names, parts
_SAVE_INPUTS = 2  # of Save, which has no parts


def reduce_savers(savers: Iterable[SaverNode], names: Collection[str]) -> int:
    """Let savers restore and save no tensors with these names; return how many nodes were removed.

    Raises:
        UnsupportedError: a saver would have nothing left, or what is restored is used otherwise.
    """
    reducers: dict[str, _Reducer] = {}
    for saver in sorted(savers, key=lambda saver: not saver.restores):
        gone = {at for at, tensor in enumerate(saver.tensors) if any(name in names for name in tensor.names)}
        if gone:
            if saver.body.name not in reducers:
                reducers[saver.body.name] = _Reducer(saver.body)
            reducers[saver.body.name].reduce(saver, gone)
    for reducer in reducers.values():
        remove_nodes(reducer.body, reducer.going)
    return sum(len(reducer.going) for reducer in reducers.values())


class _Reducer:
    """Takes tensors out of the savers of one body; those that restore come first.

    Attributes:
        body: where they stand.
        going: nodes that have to go.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        self.going: set[str] = set()
        self._edges: dict[str, list[Edge]] = {}
        for edge in iter_edges(body):
            self._edges.setdefault(edge.origin.name, []).append(edge)

    def reduce(self, saver: SaverNode, gone: Collection[int]) -> None:
        """Take tensors, given by their numbers, out of a node."""
        left = [at for at in range(len(saver.tensors)) if at not in gone]
        if not left and not saver.restores:
            self._drop_shard(saver.node)
            return
        if saver.restores:
            self._drop_readers(saver.node, gone)
        if not left:
            self.going.add(saver.node.name)
            return
        if saver.restores:
            self._renumber(saver.node, left)
        else:
            _drop_inputs(saver.node, left, _SAVE_INPUTS if saver.node.op == "Save" else _OTHER_INPUTS)
        self._name_again(saver, left)

    def _drop_readers(self, node: Any, gone: Collection[int]) -> None:
        """Let everything go that depends on some outputs of a node by values."""
        waiting = [edge for edge in self._edges.get(node.name, []) if edge.origin.number in gone]
        while waiting:
            edge = waiting.pop()
            if edge.reader is None:
                message = f"{self.body.label(node)}: the function returns what would not be restored"
                raise UnsupportedError(message)
            if edge.reader.name not in self.going:
                self.going.add(edge.reader.name)
                waiting += self._edges.get(edge.reader.name, [])

    def _renumber(self, node: Any, left: Sequence[int]) -> None:
        """Let the readers of a node's outputs read them by their new numbers."""
        numbers = {old: new for new, old in enumerate(left)}
        for edge in self._edges.get(node.name, []):
            if edge.reader is None:
                self.body.function.ret[edge.place] = self.body.reference(node, numbers[edge.origin.number])
            elif edge.origin.number in numbers:
                edge.reader.input[edge.place] = self.body.reference(node, numbers[edge.origin.number])

    def _name_again(self, saver: SaverNode, left: Sequence[int]) -> None:
        """Let a node name the tensors that are left."""
        body, node = self.body, saver.node
        _set_strings(body, node, 1, [saver.tensors[at].names[0] for at in left])
        if node.op != "Save":
            _set_strings(body, node, 2, [saver.tensors[at].parts[0] for at in left])
        for name in ("dtypes", "T", "_output_shapes"):
            if name in node.attr:
                _keep_items(node.attr[name].list, left, len(saver.tensors))
        body.forget_types(node)

    def _drop_shard(self, save: Any) -> None:
        """Let a sharded saver write a shard less.

        Source: TensorFlow ``python/training/saver.py`` (``_AddShardedSaveOpsForV2``).
        """
        body, is_merged = self.body, False
        shard = body.data_inputs(save)[0][1]
        is_shard = shard.node is not None and shard.node.op == _SHARD
        self.going.add(save.name)
        for edge in self._edges.get(shard.name, []) if is_shard else ():
            reader = edge.reader
            if reader is not None and reader.op == "Pack" and reader.attr["N"].i > 1:
                _drop_from_pack(body, reader, shard.name)
                is_merged = True
            elif reader is not None and f"^{save.name}" in reader.input:
                self.going.add(reader.name)
        if not is_merged:
            raise UnsupportedError(f"{body.label(save)}: nothing would be left for it to save")


def _drop_from_pack(body: Body, pack: Any, name: str) -> None:
    inputs = [reference for reference in pack.input if body_name(reference) != name]
    pack.attr["N"].i -= len(pack.input) - len(inputs)
    del pack.input[:]
    pack.input.extend(inputs)
    if "_output_shapes" in pack.attr:
        del pack.attr["_output_shapes"]
    body.forget_types(pack)


def body_name(reference: str) -> str:
    """Return the node that an input names."""
    return reference.removeprefix("^").partition(":")[0]


def _keep_items(values: Any, left: Sequence[int], count: int) -> None:
    for items in (values.type, values.shape):
        if len(items) == count:
            kept = [items[at] for at in left]
            del items[:]
            items.extend(kept)


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
