"""Putting the results of a plan's parts together, tensor by tensor, and judging them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import itemgetter
from typing import NamedTuple

from tfbundle.bundle.payloads import WRONG_CHECKSUM
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import CastStats
from tfbundle.conversion.pipeline import PartResult
from tfbundle.conversion.plan import Part, Plan, Step, TensorPlan
from tfbundle.errors import CastError, ChecksumError
from tfbundle.format.entries import BundleEntry
from tfbundle.sstable.checksum import combine_crc32c, mask_crc32c, unmask_crc32c

_OVERFLOW_REMEDY = "--on-overflow inf or clamp would store it, --keep would leave the tensor float32"


class Ledger:
    """Checksums and statistics of a running conversion.

    Attributes:
        stats: what the cast did to each tensor of the plan, None for those that are not cast.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pieces: dict[int, list[tuple[Part, PartResult]]] = {}
        self._target_crcs = [0] * len(plan.tensors)
        self.stats: list[CastStats | None] = [
            CastStats() if tensor.decision.action == "cast" else None for tensor in plan.tensors
        ]

    def enter(self, step: Step, results: Sequence[PartResult]) -> None:
        """Take the results of a step; judge each tensor that is complete with it.

        Raises:
            ChecksumError: a tensor's bytes do not match the checksum in the source's index.
        """
        for part, result in zip(step.parts, results, strict=True):
            pieces = self._pieces.setdefault(part.tensor, [])
            pieces.append((part, result))
            if sum(piece.nbytes for piece, _ in pieces) == self._plan.tensors[part.tensor].source.size:
                self._close(part.tensor, sorted(self._pieces.pop(part.tensor), key=itemgetter(0)))

    def _close(self, number: int, pieces: list[tuple[Part, PartResult]]) -> None:
        whole = reduce(
            _join,
            (_Piece(result.source_crc, result.target_crc, part.nbytes, part.target_nbytes) for part, result in pieces),
        )
        _check_source(self._plan.tensors[number], whole.source_crc)
        self._target_crcs[number] = whole.target_crc
        if self.stats[number] is not None:
            self.stats[number] = sum((result.stats for _, result in pieces if result.stats), CastStats())

    def check_complete(self) -> None:
        """Judge the tensors without payload, which no step has seen.

        Raises:
            ChecksumError: the checksum of one is not that of no bytes.
        """
        for tensor in self._plan.tensors:
            if not tensor.source.size:
                _check_source(tensor, 0)

    def check_overflow(self, policy: CastPolicy) -> None:
        """Refuse finite values that became infinite, if the policy does.

        Raises:
            CastError: there are some; it names the tensor with the largest.
        """
        if policy.on_overflow != "error":
            return
        found = [
            (stats.largest, tensor.name, stats.overflow)
            for tensor, stats in zip(self._plan.tensors, self.stats, strict=True)
            if stats and stats.overflow
        ]
        if found:
            (worst, name, count), *others = sorted(found, reverse=True)
            raise CastError(name, count, worst, _OVERFLOW_REMEDY, tuple(other for _, other, _ in others))

    def entries(self) -> dict[bytes, BundleEntry]:
        """Return the target's entries, checksums filled in."""
        return {
            tensor.key: replace(tensor.target, crc32c=mask_crc32c(crc))
            for tensor, crc in zip(self._plan.tensors, self._target_crcs, strict=True)
        }


class _Piece(NamedTuple):
    """Checksum and size, in bytes, of a stretch of payload in the source and in the target."""

    source_crc: int
    target_crc: int
    source_nbytes: int
    target_nbytes: int


def _join(first: _Piece, second: _Piece) -> _Piece:
    return _Piece(
        combine_crc32c(first.source_crc, second.source_crc, second.source_nbytes),
        combine_crc32c(first.target_crc, second.target_crc, second.target_nbytes),
        first.source_nbytes + second.source_nbytes,
        first.target_nbytes + second.target_nbytes,
    )


def _check_source(tensor: TensorPlan, crc: int) -> None:
    if mask_crc32c(crc) != tensor.source.crc32c:
        stored = unmask_crc32c(tensor.source.crc32c)
        entry = tensor.source
        raise ChecksumError(
            f"{WRONG_CHECKSUM} (shard {entry.shard_id})",
            "",
            f"tensor {tensor.name!r}",
            entry.offset,
            stored,
            crc,
        )
