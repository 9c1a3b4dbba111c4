"""Putting the results of a plan's steps together, row by row, and judging them."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import attrgetter

from tfbundle.bundle.payloads import WRONG_CHECKSUM
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import CastStats
from tfbundle.conversion.pipeline import Piece, StepResult
from tfbundle.conversion.plan import Plan, SourceRow
from tfbundle.errors import CastError, ChecksumError
from tfbundle.format.entries import BundleEntry
from tfbundle.format.naming import key_to_name
from tfbundle.sstable.checksum import combine_crc32c, mask_crc32c, unmask_crc32c

_OVERFLOW_REMEDY = "--on-overflow inf or clamp would store it, --keep would leave the tensor float32"


class Ledger:
    """Checksums and statistics of a running conversion.

    Attributes:
        stats: what the cast did to each tensor, by its key, for those that are cast.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._read = _Pieces([row.entry.size for row in plan.sources])
        self._written = _Pieces([row.entry.size for row in plan.targets])
        self._crcs: dict[int, int] = {}
        self.stats: dict[bytes, CastStats] = {row.tensor: CastStats() for row in plan.targets if row.cast}

    def enter(self, result: StepResult) -> None:
        """Take the result of a step; judge each source row that is complete with it.

        Raises:
            ChecksumError: a row's bytes do not match the checksum in the source's index.
        """
        for row, crc in self._read.add(result.read):
            _check_source(self._plan.sources[row], crc)
        self._crcs.update(self._written.add(result.written))
        for row, stats in result.stats:
            self.stats[self._plan.targets[row].tensor] += stats

    def check_complete(self) -> None:
        """Judge the source rows without payload, which no step has seen.

        Raises:
            ChecksumError: the checksum of one is not that of no bytes.
        """
        for target in self._plan.targets:
            for source in (self._plan.sources[position] for position in target.sources):
                if not source.entry.size and not source.entry.slices:
                    _check_source(source, 0)

    def check_overflow(self, policy: CastPolicy) -> None:
        """Refuse finite values that became infinite, if the policy does.

        Raises:
            CastError: there are some; it names the tensor with the largest.
        """
        found = [
            (stats.largest, key_to_name(key), stats.overflow) for key, stats in self.stats.items() if stats.overflow
        ]
        if found and policy.on_overflow == "error":
            (worst, name, count), *others = sorted(found, reverse=True)
            raise CastError(name, count, worst, _OVERFLOW_REMEDY, tuple(other for _, other, _ in others))

    def entries(self) -> dict[bytes, BundleEntry]:
        """Return the target's entries, checksums filled in."""
        return {
            row.key: row.entry
            if row.entry.slices
            else replace(row.entry, crc32c=mask_crc32c(self._crcs.get(number, 0)))
            for number, row in enumerate(self._plan.targets)
        }


class _Pieces:
    """Pieces of rows, kept until a row is complete."""

    def __init__(self, sizes: list[int]) -> None:
        self._missing = sizes
        self._pieces: dict[int, list[Piece]] = {}

    def add(self, pieces: list[Piece]) -> list[tuple[int, int]]:
        """Take pieces, which may come in any order; return row and crc32c of each row that is complete with them."""
        complete = []
        for piece in pieces:
            self._missing[piece.row] -= piece.nbytes
            found = self._pieces.setdefault(piece.row, [])
            found.append(piece)
            if not self._missing[piece.row]:
                del self._pieces[piece.row]
                complete.append((piece.row, reduce(_join, sorted(found, key=attrgetter("offset"))).crc))
        return complete


def _join(first: Piece, second: Piece) -> Piece:
    crc = combine_crc32c(first.crc, second.crc, second.nbytes)
    return Piece(first.row, first.offset, first.nbytes + second.nbytes, crc)


def _check_source(row: SourceRow, crc: int) -> None:
    entry = row.entry
    if mask_crc32c(crc) != entry.crc32c:
        reason = f"{WRONG_CHECKSUM} (shard {entry.shard_id})"
        raise ChecksumError(reason, "", row.label, entry.offset, unmask_crc32c(entry.crc32c), crc)
