"""Savers that no longer restore and save some tensors.

Where a tensor is no longer restored, what was done with it goes, too: the nodes that read its value, such as the
assignment to its variable, which then only gets what its initializer gives it.

Source: TensorFlow ``core/ops/io_ops.cc``, ``python/training/saver.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from tfbundle.errors import UnsupportedError
from tfbundle.format.naming import name_to_key
from tfbundle.graph.bodies import Body
from tfbundle.graph.check import iter_edges
from tfbundle.graph.repair import set_inputs
from tfbundle.graph.savers import SaverNode
from tfbundle.pb import message_class

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


class _Use(NamedTuple):
    """Who reads an output of a node.

    Attributes:
        reader: name of the node; empty for the function, which returns it.
        place: as of an edge.
        number: of the output.
    """

    reader: str
    place: int | str
    number: int


class _Reducer:
    """Takes tensors out of the savers of one body; those that restore come first.

    Attributes:
        body: where they stand.
        going: nodes that have to go.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        self.going: set[str] = set()
        self._uses: dict[str, list[_Use]] = {}
        for edge in iter_edges(body):
            reader = "" if edge.reader is None else edge.reader.name
            self._uses.setdefault(edge.origin.name, []).append(_Use(reader, edge.place, edge.origin.number))

    def reduce(self, saver: SaverNode, gone: Collection[int]) -> None:
        """Take tensors, given by their numbers, out of a node."""
        left = [at for at in range(len(saver.tensors)) if at not in gone]
        if not left and not saver.restores:
            self._drop_shard(saver.node)
            return
        if saver.restores:
            self._drop_readers(saver.node, gone)
        if not left:
            self.going.add(saver.name)
            return
        if saver.restores:
            self._renumber(saver.name, left)
        else:
            with self.body.change(saver.name) as node:
                _drop_inputs(node, left, _SAVE_INPUTS if saver.op == "Save" else _OTHER_INPUTS)
        self._name_again(saver, left)

    def _drop_readers(self, node: Any, gone: Collection[int]) -> None:
        """Let everything go that depends on some outputs of a node by values."""
        waiting = [use for use in self._uses.get(node.name, []) if use.number in gone]
        while waiting:
            use = waiting.pop()
            if not use.reader:
                message = f"{self.body.label(node)}: the function returns what would not be restored"
                raise UnsupportedError(message)
            if use.reader not in self.going:
                self.going.add(use.reader)
                waiting += self._uses.get(use.reader, [])

    def _renumber(self, name: str, left: Sequence[int]) -> None:
        """Let the readers of a node's outputs read them by their new numbers."""
        references = {old: self.body.reference(name, new) for new, old in enumerate(left)}
        uses: dict[str, list[_Use]] = {}
        for use in self._uses.get(name, []):
            if not use.reader:
                self.body.change_function().ret[use.place] = references[use.number]
            elif use.number in references:
                uses.setdefault(use.reader, []).append(use)
        for reader, found in uses.items():
            with self.body.change(reader) as node:
                for use in found:
                    node.input[use.place] = references[use.number]

    def _name_again(self, saver: SaverNode, left: Sequence[int]) -> None:
        """Let a node name the tensors that are left."""
        with self.body.change(saver.name) as node:
            _set_strings(self.body, node, 1, [saver.tensors[at].names[0] for at in left])
            if saver.op != "Save":
                _set_strings(self.body, node, 2, [saver.tensors[at].parts[0] for at in left])
            for name in ("dtypes", "T", "_output_shapes"):
                if name in node.attr:
                    _keep_items(node.attr[name].list, left, len(saver.tensors))

    def _drop_shard(self, save: Any) -> None:
        """Let a sharded saver write a shard less.

        Source: TensorFlow ``python/training/saver.py`` (``_AddShardedSaveOpsForV2``).
        """
        body, is_merged = self.body, False
        shard = body.data_inputs(save)[0][1]
        source = body.source(shard)
        is_shard = source is not None and source.op == _SHARD
        self.going.add(save.name)
        for use in self._uses.get(shard.name, []) if is_shard else ():
            reader = body.nodes[use.reader] if use.reader else None
            if reader is not None and reader.op == "Pack" and reader.attr["N"].i > 1:
                with body.change(use.reader) as pack:
                    _drop_from_pack(pack, shard.name)
                is_merged = True
            elif reader is not None and f"^{save.name}" in reader.input:
                self.going.add(use.reader)
        if not is_merged:
            raise UnsupportedError(f"{body.label(save)}: nothing would be left for it to save")


def _drop_from_pack(pack: Any, name: str) -> None:
    inputs = [reference for reference in pack.input if body_name(reference) != name]
    pack.attr["N"].i -= len(pack.input) - len(inputs)
    set_inputs(pack, inputs)
    if "_output_shapes" in pack.attr:
        del pack.attr["_output_shapes"]


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
    set_inputs(node, [*inputs[:others], *(inputs[others + at] for at in left), *control])


def _set_strings(body: Body, node: Any, number: int, texts: Sequence[str]) -> None:
    """Let an input of a node read a new constant with these strings."""
    at, origin = body.data_inputs(node)[number]
    device = (body.source(origin) or node).device
    name = body.unique_name(f"{node.name}/{'names' if number == 1 else 'parts'}")
    constant = message_class("NodeDef")(name=name, op="Const", device=device)
    constant.attr["dtype"].type = _STRING
    tensor = constant.attr["value"].tensor
    tensor.dtype = _STRING
    tensor.tensor_shape.dim.add(size=len(texts))
    tensor.string_val.extend(name_to_key(text) for text in texts)
    body.add(constant)
    node.input[at] = body.reference(name)


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
            with body.change(node.name) as reader:
                set_inputs(reader, kept)
        _forget_places(body, node, names)
    body.keep_nodes(body.nodes.names - names)
    if body.function is not None:
        _forget_control(body.change_function(), names)


def _forget_control(function: Any, names: Collection[str]) -> None:
    """Let a function no longer have control outputs that are removed nodes."""
    gone = {output for output, name in function.control_ret.items() if name in names}
    for output in gone:
        del function.control_ret[output]
    kept = [output for output in function.signature.control_output if output not in gone]
    del function.signature.control_output[:]
    function.signature.control_output.extend(kept)


def _forget_places(body: Body, node: Any, names: Collection[str]) -> None:
    """Let a node no longer ask to be where a removed one is."""
    if "_class" not in node.attr:
        return
    places = node.attr["_class"].list.s
    kept = [place for place in places if place.removeprefix(b"loc:@").decode("utf-8", "replace") not in names]
    if kept and len(kept) == len(places):
        return
    with body.change(node.name) as found:
        del found.attr["_class"].list.s[:]
        found.attr["_class"].list.s.extend(kept)
        if not kept:
            del found.attr["_class"]
