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
_GRAPH_NOTE = (
    "{1} restores the {0} tensors and casts them: its variables stay float32; another graph restores them into "
    "variables that are {0} themselves"
)
_JOINED_NOTE = (
    "{1} joined: a {0} graph without partitions restores {2}; TensorFlow cannot cut {0} "
    "slices out of {2}, so for a graph with the same partitions use --slices keep"
)
_KEPT_NOTE = (
    "{1}: a {0} graph with the same partitions restores {2}; TensorFlow cannot "
    "put {0} slices together, so for any other graph use --slices join"
)
_OPTIMIZER_NOTE = (
    "optimizer state stays {1}: an optimizer that keeps {1} {2} restores it; one that has {0} {2}{3} "
    "needs --optimizer cast, or drop and a fresh start"
)
_PURE_NOTE = ", as that of a pure {0} Keras model,"
_OVERFLOW_NOTE = "{0}, since some of {1} values would overflow; to find {2}, the source was read twice"
UNKNOWN_OVERFLOW_NOTE = "--dry-run reads no payload: which tensors --on-overflow keep would leave is not known yet"
UNKNOWN_SIZES_NOTE = (
    "--dry-run reads no payload: a V1 checkpoint does not tell the sizes of strings, which take more room than this"
)
_NARROW = ("float16", "bfloat16")
_MOST_NAMES = 5


def conversion_notes(plan: Plan, to: str, graph: str = "") -> list[str]:
    """Return what the user should know about the decisions that were taken.

    Args:
        plan: that follows from them.
        to: name of the dtype to which tensors are cast unless a rule says otherwise.
        graph: path of the graph that was rewritten for what is stored now; empty where there is none.
    """
    is_cast, decisions = plan.is_cast, plan.decisions
    notes = []
    if decisions.are("cast").any():
        targets = _name_dtypes(decisions.dtypes[decisions.are("cast")])
        notes.append(_GRAPH_NOTE.format(targets, graph) if graph else _RESTORE_NOTE.format(targets))
        if plan.joined:
            joined = _count(len(plan.joined), "partitioned tensor was", "partitioned tensors were")
            notes.append(_JOINED_NOTE.format(_name_targets(plan, sorted(plan.joined)), *joined))
        if kept := [
            row for row in plan.slices if is_cast[row] and _cannot_stitch(plan, row) and row not in plan.joined
        ]:
            keep = _count(len(kept), "partitioned tensor keeps its slices", "partitioned tensors keep their slices")
            notes.append(_KEPT_NOTE.format(_name_targets(plan, kept), *keep))
    notes += _list_left_out(plan)
    state = decisions.are("keep", OPTIMIZER_STATE)
    if state.any():
        sources = _name_dtypes(plan.index.columns.dtype[plan.tensor_rows[state]])
        what = "counters" if "int" in to else "slots"
        notes.append(_OPTIMIZER_NOTE.format(to, sources, what, _PURE_NOTE.format(to) if to in _NARROW else ""))
    if count := int(decisions.are("keep", OVERFLOW).sum()):
        its = "its" if count == 1 else "their"
        found, them = _count(count, "tensor keeps its dtype", "tensors keep their dtype")
        notes.append(_OVERFLOW_NOTE.format(found, its, them))
    if OBJECT_GRAPH_KEY in plan.edits.payloads:
        notes.append(_describe_graph(plan))
    return notes


def _describe_graph(plan: Plan) -> str:
    changes = ["no longer lists what was dropped"] if plan.decisions.are("drop").any() else []
    changes += ["has the new names"] if plan.edits.names else []
    return f"the object graph is rewritten: it {', and '.join(changes)}"


def _count(number: int, one: str, many: str) -> tuple[str, str]:
    """Return a number with the words that go with it, and the pronoun."""
    return (f"1 {one}", "it") if number == 1 else (f"{number} {many}", "them")


def _list_left_out(plan: Plan) -> list[str]:
    """Name the tensors that a template lacks."""
    extra = plan.tensor_rows[plan.decisions.are("drop", NOT_LIKE)].tolist()
    if not extra:
        return []
    names = ", ".join(key_to_name(plan.index.keys_in_order[row]) for row in extra[:_MOST_NAMES])
    more = f" and {len(extra) - _MOST_NAMES} more" if len(extra) > _MOST_NAMES else ""
    return [f"left out, since --like lacks {'it' if len(extra) == 1 else 'them'}: {names}{more}"]


def _cannot_stitch(plan: Plan, row: int) -> bool:
    return not can_stitch(dtype_name(int(plan.targets.dtype[row])))


def _name_targets(plan: Plan, rows: list[int]) -> str:
    return _name_dtypes(plan.targets.dtype[rows])


def _name_dtypes(numbers: NDArray[np.uint8]) -> str:
    return " or ".join(dtype_name(number) for number in np.flatnonzero(np.bincount(numbers)).tolist())
