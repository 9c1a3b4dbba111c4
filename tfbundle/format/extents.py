"""Where payloads lie: the stretches of the shards that entries claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError, TruncatedError
from tfbundle.format.columns import EntryColumns
from tfbundle.format.index import BundleIndex

Rows = NDArray[np.intp]

MAX_OVERLAP = 8
"""How many payloads over the same bytes are told apart; more of them are no accident."""


def sort_by_place(columns: EntryColumns) -> Rows:
    """Return the numbers of all rows by shard, offset and size: the order in which the payloads were written."""
    return np.lexsort((columns.size, columns.offset, columns.shard_id))


def cut_runs(cut: NDArray[np.bool_], num_rows: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the runs that remain when neighbours are cut apart.

    Args:
        cut: for each row but the last, whether it is cut from the next.
        num_rows: how many rows there are.

    Example:
        >>> list(cut_runs(np.array([False, True]), 3))
        [(0, 2), (2, 3)]
    """
    if num_rows:
        yield from pairwise([0, *(np.flatnonzero(cut) + 1).tolist(), num_rows])


class RowWindow(NamedTuple):
    """A stretch of neighbouring payloads.

    Attributes:
        start: in bytes from the start of the first payload of all.
        first: number of the first row in it.
        bounds: where its rows begin, in bytes from the start of the window, and where the last ends.
    """

    start: int
    first: int
    bounds: list[int]


def iter_row_windows(sizes: NDArray[np.int64], window_nbytes: int) -> Iterator[RowWindow]:
    """Cut neighbouring payloads, given their sizes, none of them 0, into windows.

    Example:
        >>> [tuple(window) for window in iter_row_windows(np.array([4, 12]), 8)]
        [(0, 0, [0, 4, 8]), (8, 1, [0, 8])]
    """
    ends = np.cumsum(sizes)
    total = int(ends[-1])
    for start in range(0, total, window_nbytes):
        end = min(start + window_nbytes, total)
        first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, end))
        yield RowWindow(start, first, [0, *(ends[first:last] - start).tolist(), end - start])


def check_places(index: BundleIndex, order: Rows, shard_nbytes: Sequence[int]) -> None:
    """Refuse payloads outside their shard, and payloads that share bytes, which no writer makes.

    Args:
        index: whose payloads.
        order: as ``sort_by_place`` gives it.
        shard_nbytes: size of each shard.

    Raises:
        FormatError: a shard that does not exist, or an overlap.
        TruncatedError: a payload ends behind its shard.
    """
    columns = index.columns
    sizes = np.array([*shard_nbytes, 0], np.int64)
    exists = columns.shard_id < len(shard_nbytes)
    room = sizes[np.where(exists, columns.shard_id, -1)] - columns.size
    wrong = ~columns.sliced & ~(exists & ((columns.size == 0) | (columns.offset <= room)))
    for row in order[wrong[order]].tolist():
        raise _misplaced(index, row, shard_nbytes)
    for first, second in find_overlaps(columns, order):
        raise FormatError(describe_overlap(index, first, second), "", index.label(index.keys_in_order[second]))


def _misplaced(index: BundleIndex, row: int, shard_nbytes: Sequence[int]) -> FormatError:
    key = index.keys_in_order[row]
    entry = index[key]
    if entry.shard_id >= len(shard_nbytes):
        return FormatError(f"lies in shard {entry.shard_id} of {len(shard_nbytes)}", "", index.label(key))
    return TruncatedError(
        f"Read less bytes than requested: payload ends at {entry.offset + entry.size}, shard {entry.shard_id} at "
        f"{shard_nbytes[entry.shard_id]}: a partial copy, or a shard of another checkpoint",
        "",
        index.label(key),
    )


def find_overlaps(columns: EntryColumns, order: Rows) -> Iterator[tuple[int, int]]:
    """Yield numbers of rows, taken in order, where the payload of the second starts within that of the first.

    No writer makes such a pair; a small index full of them could ask for any amount of output. Ends of payloads must
    fit in 63 bits.
    """
    rows = order[(columns.size > 0)[order]]
    shards = columns.shard_id[rows]
    for first, last in cut_runs(shards[1:] != shards[:-1], len(rows)):
        here = rows[first:last]
        ends = columns.offset[here] + columns.size[here]
        reach = np.maximum.accumulate(ends)
        is_farther = np.concatenate([[True], ends[1:] > reach[:-1]])
        farthest = np.maximum.accumulate(np.where(is_farther, np.arange(len(here)), 0))
        for position in np.flatnonzero(columns.offset[here[1:]] < reach[:-1]).tolist():
            yield int(here[farthest[position]]), int(here[position + 1])


def check_sum(columns: EntryColumns, shard_nbytes: Sequence[int], times: int) -> None:
    """Refuse payloads that are larger together than the shards they lie in: a small file would make endless work.

    Those that end behind their shard do not count: nobody reads them.

    Args:
        columns: of the index.
        shard_nbytes: size of each shard, 0 for one that is missing.
        times: how many times as large they may be.

    Raises:
        FormatError: they are larger.
    """
    sizes = np.array([*shard_nbytes, 0], np.int64)
    shard_id = np.clip(columns.shard_id, -1, len(shard_nbytes))
    read = columns.size[columns.size <= sizes[shard_id] - columns.offset]
    total = (int((read >> 32).sum()) << 32) + int((read & 0xFFFFFFFF).sum())
    if total > times * sum(shard_nbytes):
        most = sum(shard_nbytes)
        raise FormatError(f"payloads of {total} bytes in data files of {most}: many share bytes, which no writer makes")


def describe_overlap(index: BundleIndex, first: int, second: int) -> str:
    """Say of two rows that the second starts within the first."""
    first_key = index.keys_in_order[first]
    first_entry, second_entry = index[first_key], index[index.keys_in_order[second]]
    return (
        f"payload starts at {second_entry.offset}, within that of {index.label(first_key)}, "
        f"{first_entry.size} bytes from {first_entry.offset} on"
    )
