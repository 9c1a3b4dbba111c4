"""Comparing all payloads of numbers with their checksums in one pass over the shards.

Neighbouring payloads are read together, so that a million small tensors take little longer than a large one. Whatever
is out of the ordinary is left to ``Payloads``, one row at a time, which tells what is wrong.
"""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.shards import Shards
from tfbundle.errors import BundleError
from tfbundle.format.columns import EntryColumns
from tfbundle.format.dtypes import ELEMENT_NBYTES
from tfbundle.format.extents import cut_runs, iter_row_windows, sort_by_place
from tfbundle.format.payload_checksum import add_row_crcs
from tfbundle.sstable.checksum import mask_crc32c_array
from tfbundle.storage.base import ReadableFile
from tfbundle.storage.buffers import WINDOW_NBYTES, Bytes, aligned_buffer, at_offset


def confirm_payloads(columns: EntryColumns, shards: Shards) -> NDArray[np.bool_]:
    """Tell which rows are plain, lie in their shard and match their checksum.

    Args:
        columns: of the index.
        shards: the data files; one that cannot be opened or read confirms nothing.
    """
    order = sort_by_place(columns)
    rows = order[(columns.plain & (ELEMENT_NBYTES[columns.dtype] > 0) & (columns.size > 0))[order]]
    confirmed = np.zeros(len(columns), np.bool_)
    shard_ids = columns.shard_id[rows]
    buffer = aligned_buffer()
    for start, end in cut_runs(shard_ids[1:] != shard_ids[:-1], len(rows)):
        with contextlib.suppress(BundleError, OSError):
            file = shards.open(int(shard_ids[start]))
            _confirm_shard(columns, rows[start:end], file, buffer, confirmed)
    return confirmed


def _confirm_shard(
    columns: EntryColumns, rows: NDArray[np.intp], file: ReadableFile, buffer: Bytes, confirmed: NDArray[np.bool_]
) -> None:
    rows = rows[columns.offset[rows] <= file.nbytes - columns.size[rows]]
    ends = columns.offset[rows] + columns.size[rows]
    file.expect(zip(columns.offset[rows], columns.size[rows], strict=True))
    for start, end in cut_runs(ends[:-1] != columns.offset[rows[1:]], len(rows)):
        here = rows[start:end]
        crcs = _read_crcs(file, int(columns.offset[here[0]]), columns.size[here], buffer)
        confirmed[here] = mask_crc32c_array(np.array(crcs, np.uint32)) == columns.crc32c[here]


def _read_crcs(file: ReadableFile, offset: int, sizes: NDArray[np.int64], buffer: Bytes) -> list[int]:
    """Return the checksums of payloads that lie side by side."""
    crcs = [0] * len(sizes)
    for start, first, bounds in iter_row_windows(sizes, WINDOW_NBYTES):
        window = at_offset(buffer, offset + start)[: bounds[-1]].data
        file.read_into(offset + start, window)
        add_row_crcs(window, bounds, first, crcs)
    return crcs
