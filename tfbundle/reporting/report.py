"""What a conversion did, or would do, tensor by tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.choosing.decisions import OPTIMIZER_STATE, Action
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.naming import key_to_name
from tfbundle.reporting.graph_report import GraphReport
from tfbundle.streaming.plan import Plan

if TYPE_CHECKING:
    from tfbundle.reporting.listed import ListedReports


@dataclass(frozen=True)
class TensorReport:
    """What became of one tensor.

    Attributes:
        name: its name in the source.
        target_name: its name in the target, empty for a dropped tensor.
        action: ``"cast"``, ``"keep"`` (might have been cast, and was not), ``"copy"`` (of no dtype that is cast)
            or ``"drop"``.
        reason: why: the option, ``"optimizer state"``, or the dtype.
        shape: size of each dimension.
        source_dtype: name of the dtype before.
        target_dtype: name of the dtype after, empty for a dropped tensor.
        source_nbytes: bytes of payload before.
        target_nbytes: bytes of payload after.
        num_slices: how many slices a partitioned tensor had, 0 for others.
        joined: whether they were made one plain tensor.
        edited: whether the payload was replaced by another, as the object graph's is where names change.
        stats: what the cast did to the numbers; None where nothing was cast, or in a dry run.
    """

    name: str
    target_name: str
    action: Action
    reason: str
    shape: tuple[int, ...]
    source_dtype: str
    target_dtype: str
    source_nbytes: int
    target_nbytes: int
    num_slices: int = 0
    joined: bool = False
    edited: bool = False
    stats: CastStats | None = None


class TensorReports(Sequence[TensorReport]):
    """The reports of all tensors, in key order, each made when it is asked for; sums are taken of columns.

    Args:
        plan: what was to be done.
        stats: what the cast did to each tensor; None for a dry run.
    """

    def __init__(self, plan: Plan, stats: StatsTable | None) -> None:
        self._plan = plan
        self._stats = stats
        self._source_nbytes = _sum_by_tensor(plan, plan.index.columns.size)
        written = np.zeros(plan.num_rows, np.int64)
        written[plan.targets.order] = plan.targets.size[plan.targets.order]
        self._target_nbytes = _sum_by_tensor(plan, written)

    def __len__(self) -> int:
        return len(self._plan.decisions)

    @overload
    def __getitem__(self, position: int) -> TensorReport: ...
    @overload
    def __getitem__(self, position: slice) -> list[TensorReport]: ...
    def __getitem__(self, position: int | slice) -> TensorReport | list[TensorReport]:
        numbers = range(len(self))[position]
        return self._make(numbers) if isinstance(numbers, int) else [self._make(number) for number in numbers]

    def _make(self, number: int) -> TensorReport:
        plan = self._plan
        row = int(plan.tensor_rows[number])
        key = plan.index.keys_in_order[row]
        entry, decision = plan.index[key], plan.decisions[number]
        dropped, cast = decision.action == "drop", decision.action == "cast"
        dtype = int(plan.targets.dtype[row])
        return TensorReport(
            key_to_name(key),
            "" if dropped else key_to_name(plan.edits.names.get(key, key)),
            decision.action,
            decision.reason,
            entry.shape,
            dtype_name(entry.dtype),
            "" if dropped else dtype_name(dtype),
            int(self._source_nbytes[number]),
            int(self._target_nbytes[number]),
            len(entry.slices),
            row in plan.joined,
            row in plan.edited,
            self._stats[number] if self._stats is not None and cast else None,
        )

    def select(self, action: Action) -> list[TensorReport]:
        """Return the reports of the tensors that were treated this way."""
        return [self._make(number) for number in np.flatnonzero(self._plan.decisions.are(action)).tolist()]

    def count_reasons(self, action: Action) -> Counter[str]:
        """Count, for one action, the tensors that each reason explains."""
        return self._plan.decisions.count_reasons(action)

    def sum_nbytes(self, action: Action, reason: str | None = None) -> int:
        """Return the bytes that the tensors have in the target which were treated this way, for this reason."""
        return int(self._target_nbytes[self._plan.decisions.are(action, reason)].sum())

    def group_casts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return how many tensors were cast from which dtype to which, and the bytes they have in the target."""
        plan = self._plan
        tensors = np.flatnonzero(plan.decisions.are("cast"))
        sources, targets = plan.index.columns.dtype[plan.tensor_rows[tensors]], plan.decisions.dtypes[tensors]
        pairs, inverse, counts = np.unique(sources * np.int64(256) + targets, return_inverse=True, return_counts=True)
        nbytes = np.zeros(len(pairs), np.int64)
        np.add.at(nbytes, inverse, self._target_nbytes[tensors])
        return {
            (dtype_name(pair // 256), dtype_name(pair % 256)): (count, size)
            for pair, count, size in zip(pairs.tolist(), counts.tolist(), nbytes.tolist(), strict=True)
        }

    def list_dtypes(self, action: Action) -> list[str]:
        """Return the names of the dtypes that tensors had which were treated this way."""
        rows = self._plan.tensor_rows[self._plan.decisions.are(action)]
        return [dtype_name(number) for number in np.unique(self._plan.index.columns.dtype[rows]).tolist()]

    @property
    def has_stats(self) -> bool:
        """Whether it is known what the cast does to the numbers."""
        return self._stats is not None

    @property
    def num_renamed(self) -> int:
        """How many tensors got another name."""
        return len(self._plan.edits.names)

    @property
    def totals(self) -> CastStats:
        """What the cast did to all numbers taken together."""
        return CastStats() if self._stats is None else self._stats.total()

    def find_affected(self) -> list[int]:
        """Return the positions of tensors whose numbers the cast changed beyond rounding, worst first.

        Where errors were measured, all in which there is one.
        """
        stats = self._stats
        if stats is None:
            return []
        changed = stats.overflow + stats.underflow + stats.subnormal > 0
        errors = np.zeros(len(stats))
        if stats.deviations is not None:
            errors = stats.deviations.max_relative
            changed |= errors > 0
        found = np.flatnonzero(changed)
        counts = (stats.subnormal[found], stats.underflow[found], stats.overflow[found])
        worst = np.lexsort((errors[found], *counts))[::-1]
        return [int(number) for number in found[worst]]


def _sum_by_tensor(plan: Plan, nbytes: NDArray[np.int64]) -> NDArray[np.int64]:
    if not plan.slices:
        return nbytes
    sums = np.zeros(len(plan.decisions), np.int64)
    np.add.at(sums, plan.tensor_of, nbytes)
    return sums


@dataclass(frozen=True)
class CastReport:
    """What a ``cast`` or a ``halve`` did, or would do.

    Attributes:
        source: prefix of the source.
        target: prefix of the target; empty where there is none.
        dry_run: whether nothing was written.
        source_nbytes: bytes of payload in the source.
        target_nbytes: bytes of payload in the target.
        tensors: one report each, in key order, made when it is looked at.
        notes: what the user should know beyond the numbers.
        graph: what became of the graph that goes with it; None where there is none, or it was left alone.
    """

    source: str
    target: str
    dry_run: bool
    source_nbytes: int
    target_nbytes: int
    tensors: TensorReports | ListedReports
    notes: tuple[str, ...] = ()
    graph: GraphReport | None = None

    def select(self, action: Action) -> list[TensorReport]:
        """Return the reports of the tensors that were treated this way."""
        return self.tensors.select(action)

    def count_reasons(self, action: Action) -> Counter[str]:
        """Count, for one action, the tensors that each reason explains."""
        return self.tensors.count_reasons(action)

    @property
    def optimizer_nbytes(self) -> int:
        """Bytes of optimizer state that kept their dtype."""
        return self.tensors.sum_nbytes("keep", OPTIMIZER_STATE)

    @property
    def totals(self) -> CastStats:
        """What the cast did to all numbers taken together."""
        return self.tensors.totals

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain lists, dictionaries, text and numbers."""
        return {
            "source": self.source,
            "target": self.target,
            "dry_run": self.dry_run,
            "source_nbytes": self.source_nbytes,
            "target_nbytes": self.target_nbytes,
            "totals": asdict(self.totals),
            "tensors": [asdict(tensor) for tensor in self.tensors],
            "notes": list(self.notes),
            "graph": asdict(self.graph) if self.graph else None,
        }

    def write_page(self, path: str) -> None:
        """Write the report as one page for browsers, with histograms where errors were measured; needs no network.

        Raises:
            OSError: writing failed, or what is at ``path`` is no page.
        """
        from tfbundle.reporting.page import write_page

        write_page(path, self.to_dict())
