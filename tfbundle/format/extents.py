"""Where payloads lie: the stretches of the shards that entries claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tfbundle.format.entries import BundleEntry

Placed = tuple[bytes, BundleEntry]


def sort_by_place(rows: Iterable[Placed]) -> list[Placed]:
    """Sort (key, entry) by shard, offset and size: the order in which the payloads were written."""
    return sorted(rows, key=lambda row: (row[1].shard_id, row[1].offset, row[1].size))


def find_overlaps(rows: Iterable[Placed]) -> Iterator[tuple[Placed, Placed]]:
    """Yield pairs of rows, as ``sort_by_place`` leaves them, where the second starts within the first.

    No writer makes such a pair; a small index full of them could ask for any amount of output.
    """
    last: Placed | None = None
    for row in rows:
        entry = row[1]
        if not entry.size or entry.slices:
            continue
        if last and last[1].shard_id == entry.shard_id and entry.offset < last[1].offset + last[1].size:
            yield last, row
        if not last or _end(entry) > _end(last[1]):
            last = row


def _end(entry: BundleEntry) -> tuple[int, int]:
    return entry.shard_id, entry.offset + entry.size
