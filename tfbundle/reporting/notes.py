"""What the user should know about a conversion beyond its numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tfbundle.choosing.castable import can_stitch
from tfbundle.choosing.decisions import NOT_LIKE, OPTIMIZER_STATE, OVERFLOW
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name
from tfbundle.streaming.plan import Plan

_RESTORE_NOTE = "TensorFlow never casts on restore: variables that read the {0} tensors must be {0} themselves"
_JOINED_NOTE = (
    "{1} partitioned tensors were joined: a {0} graph without partitions restores them; TensorFlow cannot cut {0} "
    "slices out of them, so for a graph with the same partitions use --slices keep"
)
_KEPT_NOTE = (
    "{1} partitioned tensors keep their slices: a {0} graph with the same partitions restores them; TensorFlow cannot "
    "put {0} slices together, so for any other graph use --slices join"
)
_OPTIMIZER_NOTE = (
    "optimizer state stays {1}: an optimizer that keeps {1} slots restores it; one that has {0} slots, as that of a "
    "pure {0} Keras model, needs --optimizer cast, or drop and a fresh start"
)
_OVERFLOW_NOTE = (
    "{0} tensors keep their dtype, since some of their values would overflow; to find them, the source was read twice"
)
UNKNOWN_OVERFLOW_NOTE = "--dry-run reads no payload: which tensors --on-overflow keep would leave is not known yet"
_MOST_NAMES = 5
_GRAPH_NOTE = "the object graph was rewritten: it no longer lists what was dropped, and has the new names"


def conversion_notes(plan: Plan, to: str) -> list[str]:
    """Return what the user should know about the decisions that were taken.

    Args:
        plan: that follows from them.
        to: name of the dtype to which tensors are cast unless a rule says otherwise.
    """
    is_cast, decisions = plan.is_cast, plan.decisions
    notes = []
    if decisions.are("cast").any():
        targets = _name_dtypes(decisions.dtypes[decisions.are("cast")])
        notes.append(_RESTORE_NOTE.format(targets))
        if plan.joined:
            notes.append(_JOINED_NOTE.format(targets, len(plan.joined)))
        if kept := sum(is_cast[row] and row not in plan.joined and _cannot_stitch(plan, row) for row in plan.slices):
            notes.append(_KEPT_NOTE.format(targets, kept))
    notes += _list_left_out(plan)
    state = decisions.are("keep", OPTIMIZER_STATE)
    if state.any():
        sources = _name_dtypes(plan.index.columns.dtype[plan.tensor_rows[state]])
        notes.append(_OPTIMIZER_NOTE.format(to, sources))
    if kept := int(decisions.are("keep", OVERFLOW).sum()):
        notes.append(_OVERFLOW_NOTE.format(kept))
    if OBJECT_GRAPH_KEY in plan.edits.payloads:
        notes.append(_GRAPH_NOTE)
    return notes


def _list_left_out(plan: Plan) -> list[str]:
    """Name the tensors that a template lacks."""
    extra = plan.tensor_rows[plan.decisions.are("drop", NOT_LIKE)].tolist()
    if not extra:
        return []
    names = ", ".join(key_to_name(plan.index.keys_in_order[row]) for row in extra[:_MOST_NAMES])
    more = f" and {len(extra) - _MOST_NAMES} more" if len(extra) > _MOST_NAMES else ""
    return [f"left out, since --like lacks them: {names}{more}"]


def _cannot_stitch(plan: Plan, row: int) -> bool:
    return not can_stitch(dtype_name(int(plan.targets.dtype[row])))


def _name_dtypes(numbers: NDArray[np.uint8]) -> str:
    return " or ".join(dtype_name(number) for number in np.flatnonzero(np.bincount(numbers)).tolist())
