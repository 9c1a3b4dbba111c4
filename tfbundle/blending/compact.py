"""Writing a copy of a bundle in which one tensor is another, and no byte is left that belongs to none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfbundle.blending.averaging import check_sources
from tfbundle.blending.blend import Blend
from tfbundle.blending.fit import NewTensor
from tfbundle.blending.lanes import Lane
from tfbundle.blending.placement import Placement, encode_placed_rows, place_payloads
from tfbundle.bundle.publish import publish_bundle, stage_shards
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import IfExists
from tfbundle.format.entries import LITTLE, BundleEntry, encode_entry
from tfbundle.format.extents import sort_by_place
from tfbundle.storage.base import staging
from tfbundle.streaming.progress import NoProgress


def write_compact(bundle: BundleReader, tensor: NewTensor, prefix: str, if_exists: IfExists) -> int:
    """Write the copy, every checksum verified; return its number of shards.

    Args:
        bundle: with payloads of its own: no V1 checkpoint.
        tensor: takes the place of the one of its name, or is new.
        prefix: of the copy.
        if_exists: whether another bundle is replaced.

    Raises:
        FormatError: a payload is damaged, or a file changed since it was opened. Nothing is left behind.
    """
    check_sources([bundle])
    index = bundle.index
    kept = _kept_rows(bundle, tensor)
    columns = index.columns
    home = tensor.old.shard_id if tensor.old is not None and not tensor.old.slices else 0
    sizes = np.append(columns.size[kept], len(tensor.payload))
    current = np.append(columns.shard_id[kept], np.int32(home))
    placement = place_payloads(sizes, current, max(1, index.header.num_shards))
    num_shards = len(placement.shard_nbytes)
    with staging(bundle.storage, replace=if_exists == "replace") as stage:
        files = stage_shards(stage, bundle.storage, prefix, placement.shard_nbytes)
        lane = Lane(bundle, kept)
        blend = Blend([lane], placement, files, NoProgress())
        blend.copy_rows()
        if tensor.payload:
            files[placement.shard_id[-1]].write_at(int(placement.offset[-1]), tensor.payload)
        lane.check_unchanged()
        rows = dict(encode_placed_rows(index, kept, placement, sizes, blend.crcs))
        rows |= {key: index.rows[key] for key in _partitioned(bundle) if key != tensor.key}
        rows[tensor.key] = encode_entry(_place(tensor, placement))
        header = replace(index.header, num_shards=num_shards, endianness=LITTLE)
        publish_bundle(stage, bundle.storage, prefix, header, sorted(rows.items()), if_exists)
    return num_shards


def _kept_rows(bundle: BundleReader, tensor: NewTensor) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the numbers of the rows whose payload is copied, in the order in which these lie in the data files."""
    index = bundle.index
    kept = ~index.columns.sliced
    if tensor.old is not None:
        pieces = [key for key, _ in index.slice_rows(tensor.key)] if tensor.old.slices else []
        kept[[index.row_number(key) for key in (tensor.key, *pieces)]] = False
    order = sort_by_place(index.columns)
    found: np.ndarray[tuple[int], np.dtype[np.intp]] = order[kept[order]]
    return found


def _partitioned(bundle: BundleReader) -> list[bytes]:
    keys = bundle.index.keys_in_order
    return [keys[row] for row in np.flatnonzero(bundle.index.columns.sliced).tolist()]


def _place(tensor: NewTensor, placement: Placement) -> BundleEntry:
    return replace(tensor.entry, shard_id=int(placement.shard_id[-1]), offset=int(placement.offset[-1]))
