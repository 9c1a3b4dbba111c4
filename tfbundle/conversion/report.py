"""What a conversion did, or would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tfbundle.casting.stats import CastStats
from tfbundle.conversion.plan import Plan, TargetRow
from tfbundle.conversion.select import OPTIMIZER_STATE, Action
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name

RESTORE_NOTE = "TensorFlow never casts on restore: variables that read the float16 tensors must be float16 themselves"


_JOINED_NOTE = (
    "a float16 graph without partitions restores them; TensorFlow cannot cut float16 slices out of them, so for a "
    "graph with the same partitions use --slices keep"
)
_OPTIMIZER_NOTE = (
    "optimizer state stays float32: an optimizer that keeps float32 slots restores it; one that has float16 slots, as "
    "that of a pure float16 Keras model, needs --optimizer cast, or drop and a fresh start"
)
_KEPT_NOTE = (
    "a float16 graph with the same partitions restores them; TensorFlow cannot put float16 slices together, so for any "
    "other graph use --slices join"
)


@dataclass(frozen=True)
class TensorReport:
    """What became of one tensor.

    Attributes:
        name: its name in the source.
        target_name: its name in the target, empty for a dropped tensor.
        action: ``"cast"``, ``"keep"`` (float32 stays float32), ``"copy"`` (another dtype) or ``"drop"``.
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


@dataclass(frozen=True)
class HalveReport:
    """What a ``halve`` did, or would do.

    Attributes:
        source: prefix of the source.
        target: prefix of the target.
        dry_run: whether nothing was written.
        source_nbytes: bytes of payload in the source.
        target_nbytes: bytes of payload in the target.
        tensors: one report each, in key order.
        notes: what the user should know beyond the numbers.
    """

    source: str
    target: str
    dry_run: bool
    source_nbytes: int
    target_nbytes: int
    tensors: tuple[TensorReport, ...]
    notes: tuple[str, ...] = ()

    def select(self, action: Action) -> list[TensorReport]:
        """Return the reports of the tensors that were treated this way."""
        return [tensor for tensor in self.tensors if tensor.action == action]

    def count_reasons(self, action: Action) -> Counter[str]:
        """Count, for one action, the tensors that each reason explains."""
        return Counter(tensor.reason for tensor in self.select(action))

    @property
    def optimizer_nbytes(self) -> int:
        """Bytes of optimizer state that were left float32."""
        return sum(tensor.target_nbytes for tensor in self.select("keep") if tensor.reason == OPTIMIZER_STATE)

    @property
    def totals(self) -> CastStats:
        """What the cast did to all numbers taken together."""
        return sum((tensor.stats for tensor in self.tensors if tensor.stats), CastStats())

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
        }


def report_tensors(plan: Plan, stats: Mapping[bytes, CastStats]) -> tuple[TensorReport, ...]:
    """Return the reports of all tensors, in key order; ``stats`` are empty for a dry run."""
    targets: dict[bytes, list[TargetRow]] = {key: [] for key in plan.tensors}
    for row in plan.targets:
        targets[row.tensor].append(row)
    return tuple(_report_tensor(key, plan, targets[key], stats.get(key)) for key in sorted(plan.tensors))


def _report_tensor(key: bytes, plan: Plan, targets: list[TargetRow], stats: CastStats | None) -> TensorReport:
    tensor = plan.tensors[key]
    return TensorReport(
        key_to_name(key),
        key_to_name(plan.names.get(key, key)) if targets else "",
        tensor.decision.action,
        tensor.decision.reason,
        tensor.entry.shape,
        dtype_name(tensor.entry.dtype),
        dtype_name(targets[0].entry.dtype) if targets else "",
        tensor.nbytes,
        sum(row.entry.size for row in targets),
        len(tensor.entry.slices),
        any(row.boxes for row in targets),
        any(not row.sources for row in targets),
        stats,
    )


def conversion_notes(tensors: Sequence[TensorReport]) -> list[str]:
    """Return what the user should know about the decisions that were taken."""
    notes = []
    cast = [tensor for tensor in tensors if tensor.action == "cast"]
    if cast:
        notes.append(RESTORE_NOTE)
    if joined := sum(tensor.joined for tensor in cast):
        notes.append(f"{joined} partitioned tensors were joined: {_JOINED_NOTE}")
    if kept := sum(tensor.num_slices > 0 and not tensor.joined for tensor in cast):
        notes.append(f"{kept} partitioned tensors keep their slices: {_KEPT_NOTE}")
    if any(tensor.reason == OPTIMIZER_STATE and tensor.action == "keep" for tensor in tensors):
        notes.append(_OPTIMIZER_NOTE)
    graphs = [tensor for tensor in tensors if tensor.name == key_to_name(OBJECT_GRAPH_KEY)]
    if any(tensor.edited for tensor in graphs):
        notes.append("the object graph was rewritten: it no longer lists what was dropped, and has the new names")
    return notes
