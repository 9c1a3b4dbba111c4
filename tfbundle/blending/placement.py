"""Places of payloads in new data files, and index rows that say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.format.entries import encode_entry
from tfbundle.format.index import BundleIndex
from tfbundle.format.plain import encode_plain_entry
from tfbundle.sstable.checksum import mask_crc32c_array
from tfbundle.streaming.layout import Layout


class Placement(NamedTuple):
    """Where payloads go, in columns by position.

    Attributes:
        shard_id: which target shard.
        offset: where the payload starts there, in bytes.
        shard_nbytes: size of each target shard.
    """

    shard_id: NDArray[np.int32]
    offset: NDArray[np.int64]
    shard_nbytes: tuple[int, ...]


def place_payloads(
    sizes: NDArray[np.int64], current: NDArray[np.int32], num_shards: int, layout: Layout = Layout()
) -> Placement:
    """Give payloads their places, one after the other without gaps.

    Args:
        sizes: bytes of each, in the order in which they are written.
        current: the shard that each would stay in.
        num_shards: how many shards there are now.
        layout: other shards.

    Example:
        >>> place_payloads(np.array([8, 4, 2]), np.array([0, 1, 0], np.int32), 2).offset
        array([0, 0, 8])
    """
    shard_id, num_shards = layout.assign(sizes, current, num_shards)
    known = np.minimum(shard_id, num_shards)  # behind the last, what a damaged index puts in no shard
    shard_nbytes = np.zeros(num_shards + 1, np.int64)
    np.add.at(shard_nbytes, known, sizes)
    before = np.cumsum(shard_nbytes) - shard_nbytes  # bytes of all shards before each
    order = np.argsort(known, kind="stable")
    offset = np.empty(len(sizes), np.int64)
    offset[order] = np.cumsum(sizes[order]) - sizes[order] - before[known[order]]
    return Placement(shard_id, offset, tuple(shard_nbytes[:-1].tolist()))


def encode_placed_rows(
    index: BundleIndex, rows: NDArray[np.intp], placement: Placement, sizes: NDArray[np.int64], crcs: NDArray[np.uint32]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and encoded entry of rows that keep dtype and shape, and are plain tensors in their new places.

    Args:
        index: where they come from; fields of their entries that this package does not know stay.
        rows: their numbers there, in the order of the placement.
        placement: where their payloads are now.
        sizes: bytes of each payload.
        crcs: checksum of each payload, unmasked.
    """
    numbers = (placement.shard_id, placement.offset, sizes, mask_crc32c_array(crcs))
    heads = index.columns.head_nbytes[rows].tolist()
    columns = [column[: len(rows)].tolist() for column in numbers]
    for row, head_nbytes, shard_id, offset, size, crc in zip(rows.tolist(), heads, *columns, strict=True):
        key = index.keys_in_order[row]
        if head_nbytes:
            yield key, encode_plain_entry(index.rows[key][:head_nbytes], shard_id, offset, size, crc)
        else:
            moved = replace(index[key], slices=(), shard_id=shard_id, offset=offset, size=size, crc32c=crc)
            yield key, encode_entry(moved)
