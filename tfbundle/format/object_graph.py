"""The object graph of a TF2 checkpoint: which objects there were, and under which keys their values stand.

Source: TensorFlow ``core/protobuf/trackable_object_graph.proto``, ``python/checkpoint/checkpoint.py``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tfbundle.errors import FormatError
from tfbundle.format.object_moves import ObjectPath, plan_moves
from tfbundle.pb import parse_message

_ATTRIBUTES = "/.ATTRIBUTES/"
_SLOT = "/.OPTIMIZER_SLOT/"
_ESCAPE = re.compile(r"\.[.S]")


class SlotVariable(NamedTuple):
    """A value an optimizer keeps for one variable; both are node numbers."""

    variable: int
    slot_name: str
    slot: int


class TrackableObject(NamedTuple):
    """One node.

    Attributes:
        children: (local name, node number) of the objects it holds.
        checkpoint_keys: index keys of its own values.
        slot_variables: filled for an optimizer of the kind that has slots.
        full_names: the names that the values have beside their keys, such as ``dense/kernel``; where there is none, the
            empty text.
    """

    children: tuple[tuple[str, int], ...]
    checkpoint_keys: tuple[str, ...]
    slot_variables: tuple[SlotVariable, ...]
    full_names: tuple[str, ...] = ()


def decode_object_graph(data: bytes) -> tuple[TrackableObject, ...]:
    """Decode the value of ``_CHECKPOINTABLE_OBJECT_GRAPH``; node 0 is the root.

    Raises:
        FormatError: not an object graph, or one that refers to a node it does not have.
    """
    message = parse_message("TrackableObjectGraph", data)
    nodes = tuple(
        TrackableObject(
            tuple((child.local_name, child.node_id) for child in node.children),
            tuple(attribute.checkpoint_key for attribute in node.attributes),
            tuple(
                SlotVariable(slot.original_variable_node_id, slot.slot_name, slot.slot_variable_node_id)
                for slot in node.slot_variables
            ),
            tuple(attribute.full_name for attribute in node.attributes),
        )
        for node in message.nodes
    )
    _check_references(nodes)
    return nodes


def _check_references(nodes: tuple[TrackableObject, ...]) -> None:
    for number, node in enumerate(nodes):
        targets = [child for _, child in node.children]
        targets += [target for slot in node.slot_variables for target in (slot.variable, slot.slot)]
        for target in targets:
            if not 0 <= target < len(nodes):
                raise FormatError(f"object {number} refers to object {target} of {len(nodes)}", "", "object graph")


def drop_values(data: bytes, keys: Collection[str]) -> bytes:
    """Return an object graph without the values under some keys, so that restoring does not look for them.

    Objects stay, whether they still have values or not; slots without a value are no longer listed.

    Raises:
        FormatError: ``data`` is no object graph.
    """
    message = parse_message("TrackableObjectGraph", data)
    emptied = set()
    for number, node in enumerate(message.nodes):
        kept = [attribute for attribute in node.attributes if attribute.checkpoint_key not in keys]
        if len(kept) < len(node.attributes):
            _replace(node.attributes, kept)
            if not kept:
                emptied.add(number)
    for node in message.nodes if emptied else ():
        _replace(
            node.slot_variables, [slot for slot in node.slot_variables if slot.slot_variable_node_id not in emptied]
        )
    return bytes(message.SerializeToString(deterministic=True))


def rename_values(data: bytes, renames: Mapping[str, str], places: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Return an object graph in which values stand under new keys, and their objects at the places these name.

    Where everything below an object moves to the same new place, and nothing else does, the object itself moves. Keys
    of slots have no place: slots are found by way of their variable.

    Args:
        data: the object graph.
        renames: new key of each value that gets another one, by its old key.
        places: path through the graph, with the key's ending, at which each object is taken to be; by default, and for
            all others, the one that its key names.

    Raises:
        FormatError: ``data`` is no object graph.
        ValueError: another object, which still has values, stands where one should go.

    Example:
        >>> rename_values(b"", {})
        b''
    """
    message = parse_message("TrackableObjectGraph", data)
    keys = [attribute.checkpoint_key for node in message.nodes for attribute in node.attributes]
    _move_objects(message, plan_moves(_wanted_places({key: places.get(key, key) for key in keys}, renames)))
    for node in message.nodes:
        for attribute in node.attributes:
            attribute.checkpoint_key = renames.get(attribute.checkpoint_key, attribute.checkpoint_key)
    return bytes(message.SerializeToString(deterministic=True))


def _wanted_places(places: Mapping[str, str], renames: Mapping[str, str]) -> dict[ObjectPath, ObjectPath]:
    """Return where each object that has a place should be, by where it is."""
    wanted = {}
    for key, place in places.items():
        path = _object_path(place)
        new_path = _object_path(renames[key]) if key in renames else path
        if path and new_path:
            wanted[path] = new_path
    return wanted


def _object_path(key: str) -> ObjectPath | None:
    """Return the place of the object whose value a key names, None where the key names no place."""
    path, mark, _ = key.partition(_ATTRIBUTES)
    if not mark or _SLOT in path:
        return None
    return tuple(_unescape(part) for part in path.split("/"))


def _unescape(part: str) -> str:
    return _ESCAPE.sub(lambda match: "/" if match[0] == ".S" else ".", part)


def _move_objects(message: Any, moves: list[tuple[ObjectPath, ObjectPath]]) -> None:
    """Take all objects from their old places before any gets its new one, so that two may change places."""
    parents = [_walk(message, old[:-1], create=False) for old, _ in moves]
    moved = [_detach(parent, old[-1]) for parent, (old, _) in zip(parents, moves, strict=True)]
    for numbers, (old, new) in zip(moved, moves, strict=True):
        parent = _walk(message, new[:-1], create=True)
        if any(_has_values(message, number) for number in _detach(parent, new[-1])):
            places = f"{'/'.join(old)} to {'/'.join(new)}"
            raise ValueError(f"cannot rename {places}: another object of the checkpoint is there")
        for number in numbers:
            parent.children.add(node_id=number, local_name=new[-1])


def _has_values(message: Any, start: int) -> bool:
    """Tell whether an object, or one that can be reached from it, has values."""
    waiting, seen = [start], {start}
    while waiting:
        node = message.nodes[waiting.pop()]
        if node.attributes:
            return True
        following = {child.node_id for child in node.children} - seen
        seen |= following
        waiting += following
    return False


def _detach(parent: Any, name: str) -> list[int]:
    """Remove a node's children of some name; return their numbers."""
    found = [child.node_id for child in parent.children if child.local_name == name]
    _replace(parent.children, [child for child in parent.children if child.local_name != name])
    return found


def _walk(message: Any, path: ObjectPath, *, create: bool) -> Any:
    """Return the node at a path; nodes on the way that are missing are made."""
    node = message.nodes[0]
    for name in path:
        number = next((child.node_id for child in node.children if child.local_name == name), None)
        if number is None:
            if not create:
                raise FormatError(f"no object at {'/'.join(path)}, where a key says there is one", "", "object graph")
            number = len(message.nodes)
            node.children.add(node_id=number, local_name=name)
            message.nodes.add()
        node = message.nodes[number]
    return node


def _replace(repeated: Any, items: list[Any]) -> None:
    """Give a repeated field other elements."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del repeated[:]
    repeated.extend(copies)
