"""The object graph of a TF2 checkpoint: which objects there were, and under which keys their values stand.

Source: TensorFlow ``core/protobuf/trackable_object_graph.proto``, ``python/checkpoint/checkpoint.py``.
"""

from __future__ import annotations

from typing import NamedTuple

from tfbundle.errors import FormatError
from tfbundle.pb import parse_message


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
    """

    children: tuple[tuple[str, int], ...]
    checkpoint_keys: tuple[str, ...]
    slot_variables: tuple[SlotVariable, ...]


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
