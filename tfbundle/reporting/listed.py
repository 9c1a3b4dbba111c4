"""Reports of tensors that were made one by one, as those of a graph's constants are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import overload

from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.choosing.decisions import Action
from tfbundle.reporting.report import TensorReport


class ListedReports(Sequence[TensorReport]):
    """A list of reports, with the sums that ``TensorReports`` has.

    Args:
        reports: one for each tensor.
        stats: what the cast did to each; None for a dry run.

    Example:
        >>> ListedReports([], None).count_reasons("cast")
        Counter()
    """

    num_renamed = 0

    def __init__(self, reports: Sequence[TensorReport], stats: StatsTable | None) -> None:
        self._reports = reports
        self._stats = stats

    def __len__(self) -> int:
        return len(self._reports)

    @overload
    def __getitem__(self, position: int) -> TensorReport: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[TensorReport]: ...
    def __getitem__(self, position: int | slice) -> TensorReport | Sequence[TensorReport]:
        return self._reports[position]

    def select(self, action: Action) -> list[TensorReport]:
        """Return the reports of the tensors that were treated this way."""
        return [report for report in self._reports if report.action == action]

    def count_reasons(self, action: Action) -> Counter[str]:
        """Count, for one action, the tensors that each reason explains."""
        return Counter(report.reason for report in self.select(action))

    def sum_nbytes(self, action: Action, reason: str | None = None) -> int:
        """Return the bytes that the tensors have in the target which were treated this way, for this reason."""
        return sum(report.target_nbytes for report in self.select(action) if reason in (None, report.reason))

    def group_casts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return how many tensors were cast from which dtype to which, and the bytes they have in the target."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for report in self.select("cast"):
            pair = (report.source_dtype, report.target_dtype)
            count, nbytes = found.get(pair, (0, 0))
            found[pair] = (count + 1, nbytes + report.target_nbytes)
        return found

    def list_dtypes(self, action: Action) -> list[str]:
        """Return the names of the dtypes that tensors had which were treated this way."""
        return sorted({report.source_dtype for report in self.select(action)})

    @property
    def has_stats(self) -> bool:
        """Whether it is known what the cast does to the numbers."""
        return self._stats is not None

    @property
    def totals(self) -> CastStats:
        """What the cast did to all numbers taken together."""
        return CastStats() if self._stats is None else self._stats.total()

    def find_affected(self) -> list[int]:
        """Return the positions of tensors whose numbers the cast changed beyond rounding, worst first."""
        counts = [
            (stats.overflow, stats.underflow, stats.subnormal) if (stats := report.stats) else (0, 0, 0)
            for report in self._reports
        ]
        return sorted((at for at, found in enumerate(counts) if any(found)), key=lambda at: counts[at], reverse=True)
