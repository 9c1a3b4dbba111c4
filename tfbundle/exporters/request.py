"""What an export is asked for, and the plan and the frame that follow from it for one bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from tfbundle.bundle.reader import BundleReader
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.deciding import decide
from tfbundle.choosing.decisions import Decision, Decisions
from tfbundle.choosing.matching import match_in_any
from tfbundle.choosing.names import OBJECT_GRAPH, TensorNames, read_names
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.optimizer import find_optimizer_state
from tfbundle.choosing.rename import rename_tensors
from tfbundle.choosing.select import Selection
from tfbundle.errors import UnsupportedError
from tfbundle.exporters.forms import Form, why_not, why_not_named
from tfbundle.exporters.frame import Frame, Outgoing
from tfbundle.exporters.metadata import holds_metadata
from tfbundle.exporters.safetensors_header import METADATA_NAME
from tfbundle.format.dtypes import data_type
from tfbundle.format.naming import key_to_name, name_to_key
from tfbundle.format.object_paths import VALUE_ENDING
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Edits, Plan
from tfbundle.streaming.planning import plan_bundle

Names = Literal["keys", "paths"]

GRAPH = "object graph of TensorFlow"
METADATA = "metadata of the files"
"""Reasons given for tensors that become none."""

_MOST_NAMED = 5


@dataclass(frozen=True)
class ExportOptions:
    """What files an export makes.

    Attributes:
        max_shard_nbytes: begin another safetensors file where payloads would be larger, and write an index; None for
            one file.
        skip_unsupported: leave out what the files cannot hold, such as strings or a name of no text, instead of
            refusing it.
        names: ``"keys"`` names tensors as the checkpoint does, ``"paths"`` those of a TF2 checkpoint by their paths in
            the model, without the ending ``/.ATTRIBUTES/VARIABLE_VALUE``.
        metadata: text by text that goes with the tensors, beside what the checkpoint has from an import.

    Raises:
        ValueError: no such choice of ``names``, or a size below 1.

    Example:
        >>> ExportOptions(max_shard_nbytes=5 * 10**9, metadata={"format": "tf"}).names
        'keys'
    """

    max_shard_nbytes: int | None = None
    skip_unsupported: bool = False
    names: Names = "keys"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.names not in get_args(Names):
            raise ValueError(f"names is {self.names!r}, expected one of {get_args(Names)}")
        if self.max_shard_nbytes is not None and self.max_shard_nbytes < 1:
            raise ValueError(f"a largest shard of {self.max_shard_nbytes} bytes is too small, expected at least 1")


class Request(NamedTuple):
    """What was asked for: kind of file, dtypes, tensors, names, and how the files are made."""

    form: Form
    policy: CastPolicy | None
    selection: Selection
    naming: Naming
    options: ExportOptions

    def decide(self, bundle: BundleReader, names: TensorNames) -> Decisions:
        """Decide what becomes of each tensor of a bundle, in the order of its names.

        Raises:
            ValueError: a pattern matches nothing.
            UnsupportedError: there is no such cast.
        """
        dtypes = bundle.index.columns.dtype[bundle.index.tensor_rows]
        aside = self._set_aside(bundle, names)
        places = np.array([at for at, name in enumerate(names) if name not in aside], np.intp)
        rest = TensorNames([name for name in names if name not in aside], names.graph)
        state = find_optimizer_state(rest, names.graph)
        selection, asked = self._split_drops(rest, aside)
        found = decide(rest, dtypes[places], selection, self.policy, state)
        gone = {name: Decision("drop", asked.get(name, why)) for name, why in aside.items()}
        chosen = iter(found)
        return Decisions.of(gone[name] if name in gone else next(chosen) for name in names) if gone else found

    def _split_drops(self, rest: TensorNames, aside: Mapping[str, str]) -> tuple[Selection, dict[str, str]]:
        """Return the selection without patterns that mean only what is set aside, and why that is dropped."""
        asked: dict[str, str] = {}
        patterns = []
        for pattern in self.selection.drop if aside else ():
            matches = match_in_any([pattern], [rest, TensorNames(aside)])
            for name in matches.keys() & aside.keys():
                asked.setdefault(name, f"--drop {pattern}")
            if not matches or matches.keys() - aside.keys():
                patterns.append(pattern)
        return (replace(self.selection, drop=tuple(patterns)) if aside else self.selection), asked

    def _set_aside(self, bundle: BundleReader, names: TensorNames) -> dict[str, str]:
        """Return the tensors that nobody takes for such, and why."""
        aside = {OBJECT_GRAPH: GRAPH} if OBJECT_GRAPH in names else {}
        if METADATA_NAME in names and holds_metadata(bundle):
            aside[METADATA_NAME] = METADATA
        return aside

    def plan(self, bundle: BundleReader, decisions: Decisions | None = None) -> Plan:
        """Return a plan for a bundle: what is read, cast and joined, and under which names it goes.

        Args:
            bundle: the source.
            decisions: what becomes of each tensor, where that is settled already.

        Raises:
            FormatError: the source is damaged.
            UnsupportedError: there is no such cast, or the files cannot hold a tensor or its name.
            ValueError: a pattern matches nothing, or names collide.
        """
        names = read_names(bundle)
        decisions = self.decide(bundle, names) if decisions is None else decisions
        decisions, new_names = self._name(names, decisions)
        decisions = self._leave_out(bundle, names, decisions)
        decisions = self._leave_out_names(bundle, names, decisions, new_names)
        _check_distinct(names, decisions, new_names)
        keys = {name_to_key(old): name_to_key(new) for old, new in new_names.items()}
        return plan_bundle(bundle, decisions, Layout("plain", shards=1), Edits(keys))

    def _name(self, names: TensorNames, decisions: Decisions) -> tuple[Decisions, dict[str, str]]:
        """Return the decisions with what the naming leaves out, and the new names of tensors that get one."""
        gone = _names_of_dropped(names, decisions)
        new_names: dict[str, str] = {}
        if not self.naming.changes_nothing:
            rest = TensorNames([name for name in names if name != OBJECT_GRAPH], names.graph)
            renaming = rename_tensors(rest, self.naming, gone)
            new_names = dict(renaming.names)
            places: dict[Decision, list[int]] = {}
            for at, name in enumerate(names):
                if name in renaming.left_out and name not in gone:
                    places.setdefault(Decision("drop", renaming.left_out[name]), []).append(at)
            decisions = decisions.replaced(places)
            gone |= renaming.left_out.keys()
        if self.options.names == "paths":
            for name in names:
                path = new_names.get(name) or names.model_paths.get(name, name)
                if name not in gone and path.removesuffix(VALUE_ENDING) != name:
                    new_names[name] = path.removesuffix(VALUE_ENDING)
        return decisions, new_names

    def _leave_out(self, bundle: BundleReader, names: TensorNames, decisions: Decisions) -> Decisions:
        """Leave out what the files cannot hold.

        Raises:
            UnsupportedError: there is such a tensor, and it is not to be skipped.
        """
        found: dict[str, list[int]] = {}
        listing, current = bundle.list_tensors(), bundle.index.columns.dtype[bundle.index.tensor_rows]
        becomes = np.where(decisions.dtypes > 0, decisions.dtypes, current).tolist()
        for at in np.flatnonzero(~decisions.are("drop")).tolist():
            shape = listing.kinds[listing.numbers[at]].shape
            if why := why_not(self.form, data_type(becomes[at]), shape):
                found.setdefault(why, []).append(at)
        if found and not self.options.skip_unsupported:
            listed = list(names)
            what = "; ".join(f"{why}: {_name_some([listed[at] for at in places])}" for why, places in found.items())
            remedy = "--skip-unsupported (skip_unsupported=True) leaves such tensors out, --drop some of them"
            raise UnsupportedError(f"{what}; {remedy}", bundle.prefix)
        return decisions.replaced({Decision("drop", why): places for why, places in found.items()})

    def _leave_out_names(
        self, bundle: BundleReader, names: TensorNames, decisions: Decisions, new_names: Mapping[str, str]
    ) -> Decisions:
        """Leave out what the files have no name for.

        Raises:
            UnsupportedError: there is such a tensor, and it is not to be skipped.
        """
        found: dict[Decision, list[int]] = {}
        for at, (name, is_gone) in enumerate(zip(names, decisions.are("drop").tolist(), strict=True)):
            new = new_names.get(name, name)
            if is_gone or not (why := why_not_named(self.form, new)):
                continue
            if not self.options.skip_unsupported:
                remedy = "--rename or --drop it, or --skip-unsupported (skip_unsupported=True)"
                raise UnsupportedError(
                    f"a tensor called {new!r} has no place in {self.form}: {why}; {remedy}", bundle.prefix
                )
            found.setdefault(Decision("drop", f"no such name in {self.form}: {why}"), []).append(at)
        return decisions.replaced(found)


def _check_distinct(names: TensorNames, decisions: Decisions, new_names: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for name, is_gone in zip(names, decisions.are("drop").tolist(), strict=True):
        new = new_names.get(name, name)
        if not is_gone and taken.setdefault(new, name) != name:
            raise ValueError(f"{taken[new]} and {name} would both be called {new}; --rename or --drop one of them")


def _names_of_dropped(names: TensorNames, decisions: Decisions) -> set[str]:
    return {name for name, is_gone in zip(names, decisions.are("drop").tolist(), strict=True) if is_gone}


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def list_outgoing(plan: Plan) -> list[Outgoing]:
    """Return what a plan writes, in its order, under the names it gives."""
    found = []
    for row in plan.targets.order.tolist():
        key = plan.index.keys_in_order[row]
        name = key_to_name(plan.edits.names.get(key, key))
        dtype = data_type(int(plan.targets.dtype[row]))
        found.append(Outgoing(name, dtype, plan.index[key].shape, int(plan.targets.size[row])))
    return found


def place_in_frame(plan: Plan, frame: Frame) -> Plan:
    """Return a plan that writes to the files of a frame, in the order in which payloads lie there."""
    order = plan.targets.order
    shard_id, offset = plan.targets.shard_id.copy(), plan.targets.offset.copy()
    shard_id[order], offset[order] = frame.file, frame.offset
    sorted_order = order[np.lexsort((frame.offset, frame.file))]
    targets = plan.targets._replace(order=sorted_order, shard_id=shard_id, offset=offset)
    return replace(plan, targets=targets, shard_nbytes=tuple(frame.nbytes))
