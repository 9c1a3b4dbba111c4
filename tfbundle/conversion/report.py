"""What a conversion did, or would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from tfbundle.casting.stats import CastStats
from tfbundle.conversion.plan import TensorPlan
from tfbundle.conversion.select import OPTIMIZER_STATE, Action
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.naming import OBJECT_GRAPH_KEY, key_to_name

RESTORE_NOTE = "TensorFlow never casts on restore: variables that read the float16 tensors must be float16 themselves"


@dataclass(frozen=True)
class TensorReport:
    """What became of one tensor.

    Attributes:
        name: its name.
        action: ``"cast"``, ``"keep"`` (float32 stays float32), ``"copy"`` (another dtype) or ``"drop"``.
        reason: why: the option, ``"optimizer state"``, or the dtype.
        shape: size of each dimension.
        source_dtype: name of the dtype before.
        target_dtype: name of the dtype after, empty for a dropped tensor.
        source_nbytes: bytes of payload before.
        target_nbytes: bytes of payload after.
        stats: what the cast did to the numbers; None where nothing was cast, or in a dry run.
    """

    name: str
    action: Action
    reason: str
    shape: tuple[int, ...]
    source_dtype: str
    target_dtype: str
    source_nbytes: int
    target_nbytes: int
    stats: CastStats | None = None


@dataclass(frozen=True)
class HalveReport:
    """What a ``halve`` did, or would do.

    Attributes:
        source: prefix of the source.
        target: prefix of the target.
        dry_run: whether nothing was written.
        source_nbytes: size of the source's data files.
        target_nbytes: size of the target's data files.
        tensors: one report each, in order of the source's data files.
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


def report_tensor(tensor: TensorPlan, stats: CastStats | None) -> TensorReport:
    """Return the report of one planned tensor; ``stats`` are None where nothing was cast."""
    dropped = tensor.decision.action == "drop"
    return TensorReport(
        tensor.name,
        tensor.decision.action,
        tensor.decision.reason,
        tensor.source.shape,
        dtype_name(tensor.source.dtype),
        "" if dropped else dtype_name(tensor.target.dtype),
        tensor.source.size,
        0 if dropped else tensor.target.size,
        stats,
    )


def conversion_notes(tensors: list[TensorReport]) -> list[str]:
    """Return what the user should know about the decisions that were taken."""
    notes = []
    if any(tensor.action == "cast" for tensor in tensors):
        notes.append(RESTORE_NOTE)
    is_object_based = any(tensor.name == key_to_name(OBJECT_GRAPH_KEY) for tensor in tensors)
    if is_object_based and any(tensor.action == "drop" for tensor in tensors):
        notes.append("the object graph still lists the dropped values: call expect_partial() on what restore returns")
    return notes
