"""What was asked for, and the plan that follows from it for one bundle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfbundle.bundle.reader import BundleReader
from tfbundle.casting.policy import CastPolicy
from tfbundle.conversion.deciding import decide
from tfbundle.conversion.decisions import Decision, Decisions
from tfbundle.conversion.layout import Layout
from tfbundle.conversion.optimizer import find_optimizer_state
from tfbundle.conversion.plan import Edits, Plan
from tfbundle.conversion.planning import plan_conversion
from tfbundle.conversion.rename import rename_names
from tfbundle.conversion.select import Selection
from tfbundle.conversion.transcode import pack_index
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name, name_to_key
from tfbundle.format.object_graph import TrackableObject, decode_object_graph, drop_values, rename_values
from tfbundle.format.strings import encode_strings


class Request(NamedTuple):
    """What was asked for.

    Attributes:
        policy: what is cast to what.
        selection: which tensors.
        layout: slices and shards of the target.
    """

    policy: CastPolicy
    selection: Selection
    layout: Layout

    def plan(self, bundle: BundleReader, decisions: Decisions | None = None) -> Plan:
        """Return the plan for a bundle.

        Args:
            bundle: the source.
            decisions: what becomes of each tensor, where that is settled already.

        Raises:
            FormatError: the source is damaged.
            UnsupportedError: there is no such cast.
            ValueError: a pattern matches nothing, or new names collide.
        """
        decisions = decisions or self.decide(bundle)
        return self._plan(bundle, decisions, _plan_edits(bundle, self.selection, decisions))

    def plan_survey(self, bundle: BundleReader, decisions: Decisions) -> Plan:
        """Return a plan that leaves out all tensors that are not cast, to see what the cast does to the others."""
        others = np.flatnonzero(~decisions.are("cast")).tolist()
        return self._plan(bundle, decisions.replaced({Decision("drop", "not cast"): others}), Edits())

    def _plan(self, bundle: BundleReader, decisions: Decisions, edits: Edits) -> Plan:
        if bundle.is_v1:
            return plan_conversion(*pack_index(bundle.index), decisions, self.layout, edits)
        shard_nbytes = [shard.nbytes for shard in bundle.open_shards()]
        return plan_conversion(bundle.index, shard_nbytes, decisions, self.layout, edits)

    def decide(self, bundle: BundleReader) -> Decisions:
        """Decide what becomes of each tensor of a bundle, its object graph taken into account.

        Raises:
            ValueError: a pattern matches nothing.
            UnsupportedError: there is no such cast.
            FormatError: an entry or the object graph is damaged.
        """
        dtypes = bundle.index.columns.dtype[bundle.index.tensor_rows]
        state = find_optimizer_state(bundle, _read_object_graph(bundle))
        return decide(bundle, dtypes, self.selection, self.policy, state)


def _plan_edits(bundle: BundleReader, selection: Selection, decisions: Decisions) -> Edits:
    """Return new names, and the object graph that goes with them and with what is dropped."""
    is_dropped = decisions.are("drop")
    if not (selection.rename or is_dropped.any()):
        return Edits()
    dropped = {name for name, drop in zip(bundle, is_dropped.tolist(), strict=True) if drop}
    renames = rename_names([name for name in bundle if name not in dropped], selection.rename)
    names = {name_to_key(old): name_to_key(new) for old, new in renames.items()}
    graph_name = key_to_name(OBJECT_GRAPH_KEY)
    if graph_name not in bundle or graph_name in dropped:
        return Edits(names)
    graph = bundle[graph_name].item()
    edited = rename_values(drop_values(graph, dropped), renames)
    payloads = {} if edited == graph else {OBJECT_GRAPH_KEY: encode_strings([edited])}
    return Edits(names, payloads)


def _read_object_graph(bundle: BundleReader) -> tuple[TrackableObject, ...]:
    name = key_to_name(OBJECT_GRAPH_KEY)
    return decode_object_graph(bundle[name].item()) if name in bundle else ()
