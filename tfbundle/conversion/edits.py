"""What new names and dropped tensors change beside them: the object graph of a TF2 checkpoint."""

from __future__ import annotations

from collections.abc import Collection

from tfbundle.bundle.reader import BundleReader
from tfbundle.choosing.decisions import NOT_SELECTED, Decision, Decisions
from tfbundle.choosing.names import OBJECT_GRAPH, TensorNames
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.rename import Renaming, rename_tensors
from tfbundle.format.naming import OBJECT_GRAPH_KEY, name_to_key
from tfbundle.format.object_graph import drop_values, rename_values
from tfbundle.format.object_paths import ATTRIBUTES
from tfbundle.format.strings import encode_strings
from tfbundle.streaming.plan import Edits

NO_OBJECTS = "no object has a value"
"""The reason given for an object graph that is left out because only names of TF1 remain."""


def plan_edits(
    bundle: BundleReader, names: TensorNames, naming: Naming, decisions: Decisions
) -> tuple[Decisions, Edits]:
    """Return the decisions with what ``naming`` leaves out, and the new names and the object graph that go with them.

    Raises:
        ValueError: names that cannot be given.
        FormatError: the object graph is damaged.
    """
    is_dropped = decisions.are("drop")
    if naming.changes_nothing and not is_dropped.any():
        return decisions, Edits()
    dropped = {name for name, drop in zip(names, is_dropped.tolist(), strict=True) if drop}
    renaming = Renaming({}, {}, {}) if naming.changes_nothing else rename_tensors(names, naming, dropped)
    left_out = dict(renaming.left_out)
    if not naming.changes_nothing or decisions.are("drop", NOT_SELECTED).any():
        left_out |= dict.fromkeys(_useless_bookkeeping(names, renaming, {*dropped, *left_out}), NO_OBJECTS)
    if left_out:
        places: dict[Decision, list[int]] = {}
        for at, name in enumerate(names):
            if name in left_out:
                places.setdefault(Decision("drop", left_out[name]), []).append(at)
        decisions = decisions.replaced(places)
    keys = {name_to_key(old): name_to_key(new) for old, new in renaming.names.items()}
    return decisions, Edits(keys, _edit_graph(bundle, names, renaming, {*dropped, *left_out}))


def _useless_bookkeeping(names: TensorNames, renaming: Renaming, gone: Collection[str]) -> set[str]:
    """Return the object graph and the save counter if nothing is left that they could be of use for."""
    kept = {renaming.names.get(name, name) for name in names if name not in gone and name not in names.bookkeeping}
    if not kept or any(ATTRIBUTES in name for name in kept):
        return set()
    return {name for name in names.bookkeeping if name in names and name not in gone and name not in renaming.names}


def _edit_graph(
    bundle: BundleReader, names: TensorNames, renaming: Renaming, gone: Collection[str]
) -> dict[bytes, bytes]:
    """Return the new payload of the object graph by its key; nothing if it stays as it is, or goes.

    Source: TensorFlow ``python/checkpoint/restore.py`` ``_extract_saveable_name``: it cannot restore an object whose
    value has a name of TF1.
    """
    if OBJECT_GRAPH not in names or OBJECT_GRAPH in gone:
        return {}
    graph = bundle[OBJECT_GRAPH].item()
    places = {**names.model_paths, **renaming.places}
    unlisted = {old for old, new in renaming.names.items() if ATTRIBUTES not in new}  # names of TF1
    edited = rename_values(drop_values(graph, {*gone, *unlisted}), renaming.names, places)
    return {} if edited == graph else {OBJECT_GRAPH_KEY: encode_strings([edited])}
