"""Putting the results of a plan's steps together, row by row, and judging them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.payloads import WRONG_CHECKSUM
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import StatsTable
from tfbundle.choosing.castable import describe_limits
from tfbundle.errors import CastError, ChecksumError
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.entries import BundleEntry, encode_entry
from tfbundle.format.naming import key_to_name
from tfbundle.format.ordered_code import rename_slice_key
from tfbundle.format.plain import encode_plain_entry, replace_dtype
from tfbundle.sstable.checksum import combine_crc32c, mask_crc32c_array, unmask_crc32c
from tfbundle.streaming.pipeline import Pieces, StepResult
from tfbundle.streaming.plan import Plan, Rows

_KEEP = "keep would leave such tensors in their dtype"
_OVERFLOW_REMEDY = f"--on-overflow inf or clamp would store it, {_KEEP}"
_RANGE_REMEDY = f"--on-overflow clamp would store the nearest number, inf the low bits as tf.cast does, {_KEEP}"
_CHUNK_ROWS = 1 << 14  # of columns that are Python numbers at a time


class Ledger:
    """Checksums and statistics of a running conversion.

    Args:
        plan: what is done.
        paths: of the source shards, for errors.

    Attributes:
        stats: what the cast did to each tensor, in the order of the plan's decisions; 0 for those that are not cast.
    """

    def __init__(self, plan: Plan, paths: Sequence[str] = ()) -> None:
        self._plan = plan
        self._paths = paths
        self._read = _Checksums(plan.index.columns.size)
        self._written = _Checksums(plan.targets.size)
        self.stats = StatsTable(len(plan.decisions))

    def enter(self, result: StepResult) -> None:
        """Take the result of a step; judge each source row that is complete with it.

        Raises:
            ChecksumError: a row's bytes do not match the checksum in the source's index.
        """
        for pieces in result.read:
            self._check_sources(self._read.add(pieces))
        for pieces in result.written:
            self._written.add(pieces)
        for rows, stats in result.stats:
            self.stats.add_at(self._plan.tensor_of[rows], stats)

    def check_complete(self) -> None:
        """Judge the source rows without payload, which no step has seen.

        Raises:
            ChecksumError: the checksum of one is not that of no bytes.
        """
        columns, rows = self._plan.index.columns, self._plan.read_rows
        self._check_sources(rows[(columns.size[rows] == 0) & ~columns.sliced[rows]])

    def _check_sources(self, rows: Rows) -> None:
        stored = self._plan.index.columns.crc32c[rows]
        for position in np.flatnonzero(mask_crc32c_array(self._read.crcs[rows]) != stored).tolist():
            row = int(rows[position])
            entry = self._plan.index[self._plan.index.keys_in_order[row]]
            path = self._paths[entry.shard_id] if self._paths else ""
            computed = int(self._read.crcs[row])
            label = self._plan.label(row)
            raise ChecksumError(WRONG_CHECKSUM, path, label, entry.offset, unmask_crc32c(entry.crc32c), computed)

    def check_overflow(self, on_overflow: OnOverflow) -> None:
        """Refuse values that did not fit, if they are to be refused.

        Raises:
            CastError: there are some; it names the tensor with the largest.
        """
        if on_overflow not in ("error", "keep"):
            return
        keys, rows = self._plan.index.keys_in_order, self._plan.tensor_rows
        found = np.flatnonzero(self.stats.overflow)
        if len(found):
            worst, *others = found[np.argsort(-self.stats.largest[found], kind="stable")].tolist()
            dtype = dtype_name(int(self._plan.targets.dtype[rows[worst]]))
            raise CastError(
                key_to_name(keys[rows[worst]]),
                int(self.stats.overflow[worst]),
                float(self.stats.largest[worst]),
                _RANGE_REMEDY if "int" in dtype else _OVERFLOW_REMEDY,
                tuple(key_to_name(keys[rows[other]]) for other in others),
                dtype,
                describe_limits(dtype),
            )

    def iter_index_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the target's rows, key and encoded entry, in key order, checksums filled in."""
        rows = ((self._plan.index.keys_in_order[row], value) for row, value in self._iter_entries())
        if not self._plan.edits.names:
            return rows
        return iter(sorted((self._new_key(row), value) for row, value in self._iter_entries()))

    def _iter_entries(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and encoded entry of the rows that are written, in the source's key order."""
        plan, targets, columns = self._plan, self._plan.targets, self._plan.index.columns
        values, is_cast = plan.index.values_in_order, plan.is_cast
        written = np.sort(targets.order)
        for start in range(0, len(written), _CHUNK_ROWS):
            rows = written[start : start + _CHUNK_ROWS]
            places = (targets.shard_id[rows], targets.offset[rows], targets.size[rows])
            numbers = (*places, mask_crc32c_array(self._written.crcs[rows]))
            heads, dtypes = columns.head_nbytes[rows].tolist(), np.where(is_cast[rows], targets.dtype[rows], 0).tolist()
            for row, head_nbytes, dtype, *place in zip(
                rows.tolist(), heads, dtypes, *(column.tolist() for column in numbers), strict=True
            ):
                if head_nbytes:
                    head = values[row][:head_nbytes]
                    yield row, encode_plain_entry(replace_dtype(head, dtype) if dtype else head, *place)
                else:
                    yield row, encode_entry(self._edit_entry(row, *place))

    def _edit_entry(self, row: int, shard_id: int, offset: int, size: int, crc32c: int) -> BundleEntry:
        """Return the entry of a row whose source entry is not plain."""
        entry = self._plan.index[self._plan.index.keys_in_order[row]]
        entry = replace(entry, dtype=int(self._plan.targets.dtype[row]))
        if entry.slices and row not in self._plan.joined:
            return entry  # which has no payload of its own
        return replace(entry, slices=(), shard_id=shard_id, offset=offset, size=size, crc32c=crc32c)

    def _new_key(self, row: int) -> bytes:
        keys, names = self._plan.index.keys_in_order, self._plan.edits.names
        tensor = keys[self._plan.tensor_rows[self._plan.tensor_of[row]]]
        if tensor not in names:
            return keys[row]
        return names[tensor] if keys[row] == tensor else rename_slice_key(keys[row], names[tensor])


class _Piece(NamedTuple):
    offset: int
    nbytes: int
    crc: int


class _Checksums:
    """Checksums of rows; those of parts are kept until the row is complete."""

    def __init__(self, sizes: NDArray[np.int64]) -> None:
        self._sizes = sizes
        self._parts: dict[int, list[_Piece]] = {}
        self._missing: dict[int, int] = {}
        self.crcs = np.zeros(len(sizes), np.uint32)

    def add(self, pieces: Pieces) -> Rows:
        """Take pieces, which may come in any order; return the rows that are complete with them."""
        whole = pieces.nbytes == self._sizes[pieces.rows]
        self.crcs[pieces.rows[whole]] = pieces.crcs[whole]
        complete = pieces.rows[whole]
        parts = [row for position in np.flatnonzero(~whole).tolist() if (row := self._add_part(pieces, position)) >= 0]
        return np.concatenate([complete, np.array(parts, np.intp)]) if parts else complete

    def _add_part(self, pieces: Pieces, position: int) -> int:
        """Take a part of a row; return the row if it is complete, else -1."""
        row, offset, nbytes, crc = (int(column[position]) for column in pieces)
        self._parts.setdefault(row, []).append(_Piece(offset, nbytes, crc))
        self._missing[row] = self._missing.get(row, int(self._sizes[row])) - nbytes
        if self._missing[row]:
            return -1
        self.crcs[row] = reduce(_join, sorted(self._parts.pop(row), key=attrgetter("offset"))).crc
        return row


def _join(first: _Piece, second: _Piece) -> _Piece:
    crc = combine_crc32c(first.crc, second.crc, second.nbytes)
    return _Piece(first.offset, first.nbytes + second.nbytes, crc)
