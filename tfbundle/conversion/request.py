"""What was asked for, and the plan that follows from it for one bundle."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfbundle.bundle.reader import BundleReader
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.deciding import decide
from tfbundle.choosing.decisions import Decision, Decisions
from tfbundle.choosing.names import TensorNames, read_names
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.optimizer import find_optimizer_state
from tfbundle.choosing.select import Selection
from tfbundle.conversion.edits import plan_edits
from tfbundle.storage.stream import Stream
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Edits, Plan
from tfbundle.streaming.planning import plan_bundle

if TYPE_CHECKING:
    from tfbundle.conversion.companion import Companion


class Request(NamedTuple):
    """What was asked for.

    Attributes:
        policy: what is cast to what.
        selection: which tensors.
        naming: what they are called in the target.
        layout: slices and shards of the target.
        graph: the graph that is converted with the checkpoint; None for the checkpoint alone.
        beside: further files that are published with it, by their paths.
    """

    policy: CastPolicy
    selection: Selection
    naming: Naming
    layout: Layout
    graph: Companion | None = None
    beside: Mapping[str, Stream] = MappingProxyType({})

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
        names = read_names(bundle)
        decisions = decisions or self.decide(bundle, names)
        if self.graph is not None:
            decisions = self.graph.limit(bundle, names, decisions)
        decisions, edits = plan_edits(bundle, names, self.naming, decisions)
        return plan_bundle(bundle, decisions, self.layout, edits)

    def plan_survey(self, bundle: BundleReader, decisions: Decisions) -> Plan:
        """Return a plan that leaves out all tensors that are not cast, to see what the cast does to the others."""
        others = np.flatnonzero(~decisions.are("cast")).tolist()
        return plan_bundle(bundle, decisions.replaced({Decision("drop", "not cast"): others}), Layout("keep"), Edits())

    def decide(self, bundle: BundleReader, names: TensorNames) -> Decisions:
        """Decide what becomes of each tensor of a bundle, by its dtype and name.

        Raises:
            ValueError: a pattern matches nothing, or the source lacks what a template wants.
            UnsupportedError: there is no such cast.
            FormatError: an entry or the object graph is damaged.
        """
        if self.selection.like:
            if self.policy.rules or self.policy.sources:
                raise ValueError("--like settles every dtype; leave out --rule and --from")
            from tfbundle.choosing.likeness import decide_like

            return decide_like(bundle, names, self.naming, self.selection.like)
        dtypes = bundle.index.columns.dtype[bundle.index.tensor_rows]
        state = find_optimizer_state(bundle, names.graph)
        return decide(names, dtypes, self.selection, self.policy, state)
