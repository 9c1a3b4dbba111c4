"""Finding the rows that two bundles have byte for byte alike, in one pass over the shards of both.

Neighbouring payloads are read together, and bytes that are the same on both sides need their checksum once only.
Whatever is out of the ordinary, different or damaged is left to the caller, one tensor at a time.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.reader import BundleReader
from tfbundle.errors import BundleError
from tfbundle.format.dtypes import ELEMENT_NBYTES
from tfbundle.format.extents import Rows, cut_runs, iter_row_windows
from tfbundle.format.payload_checksum import add_row_crcs
from tfbundle.sstable.checksum import mask_crc32c_array
from tfbundle.storage.base import ReadableFile
from tfbundle.storage.buffers import WINDOW_NBYTES, Bytes, aligned_buffer, at_offset

Flags = NDArray[np.bool_]


class _Side(NamedTuple):
    """Where payloads lie in one bundle, in columns."""

    shard_id: NDArray[np.int32]
    offset: NDArray[np.int64]
    crc32c: NDArray[np.uint32]

    def neighbours(self, size: NDArray[np.int64]) -> Flags:
        """Tell for each payload but the last whether the next one follows it."""
        found: Flags = self.shard_id[:-1] == self.shard_id[1:]
        found &= self.offset[:-1] + size[:-1] == self.offset[1:]
        return found


def have_same_checksums(left: BundleReader, right: BundleReader, left_rows: Rows, right_rows: Rows) -> Flags:
    """Tell which pairs of rows have the same dtype, size and stored checksum. Reads nothing.

    Args:
        left: one bundle.
        right: the other one; its rows can only be told alike if its byte order is the same.
        left_rows: numbers of rows.
        right_rows: numbers of the rows that these are compared with.
    """
    if left.is_v1 or right.is_v1 or left.index.header.endianness != right.index.header.endianness:
        return np.zeros(len(left_rows), np.bool_)
    here, there = left.index.scanned, right.index.scanned
    same: Flags = here.plain[left_rows] & there.plain[right_rows]
    for column, other in ((here.dtype, there.dtype), (here.size, there.size), (here.crc32c, there.crc32c)):
        same &= column[left_rows] == other[right_rows]
    return same


def find_twins(left: BundleReader, right: BundleReader, left_rows: Rows, right_rows: Rows) -> Flags:
    """Tell which pairs of rows hold the same bytes of numbers, and match their checksums.

    Reads the payloads of those that may, whole. Args: as for ``have_same_checksums``.
    """
    columns = left.index.scanned
    found = have_same_checksums(left, right, left_rows, right_rows)
    pairs = np.flatnonzero(found & (ELEMENT_NBYTES[columns.dtype[left_rows]] > 0) & (columns.size[left_rows] > 0))
    found = np.zeros(len(left_rows), np.bool_)
    pairs = pairs[np.lexsort((columns.offset[left_rows[pairs]], columns.shard_id[left_rows[pairs]]))]
    here, there = _side(left, left_rows[pairs]), _side(right, right_rows[pairs])
    size = columns.size[left_rows[pairs]]
    buffers = aligned_buffer(), aligned_buffer()
    for start, end in cut_runs(~(here.neighbours(size) & there.neighbours(size)), len(pairs)):
        run = np.arange(start, end)
        with contextlib.suppress(BundleError, OSError):
            files = (left.shards.open(int(here.shard_id[start])), right.shards.open(int(there.shard_id[start])))
            offsets = int(here.offset[start]), int(there.offset[start])
            alike, crcs = _compare_run(files, offsets, size[run], buffers)
            found[pairs[run]] = alike & (crcs == here.crc32c[run])
    return found


def _side(bundle: BundleReader, rows: Rows) -> _Side:
    columns = bundle.index.scanned
    return _Side(columns.shard_id[rows], columns.offset[rows], columns.crc32c[rows])


def _compare_run(
    files: tuple[ReadableFile, ReadableFile],
    offsets: tuple[int, int],
    sizes: NDArray[np.int64],
    buffers: tuple[Bytes, Bytes],
) -> tuple[Flags, NDArray[np.uint32]]:
    """Return which payloads of a run are the same on both sides, and the masked checksums of these."""
    alike = np.ones(len(sizes), np.bool_)
    crcs = [0] * len(sizes)
    for file, offset in zip(files, offsets, strict=True):
        file.expect([(offset, int(sizes.sum()))])
    for start, first, bounds in iter_row_windows(sizes, WINDOW_NBYTES):
        here, there = (
            at_offset(buffer, offset + start)[: bounds[-1]] for buffer, offset in zip(buffers, offsets, strict=True)
        )
        files[0].read_into(offsets[0] + start, here.data)
        files[1].read_into(offsets[1] + start, there.data)
        if same_bytes(here, there):
            add_row_crcs(here.data, bounds, first, crcs)
        else:
            alike[first : first + len(bounds) - 1] = False
    return alike, mask_crc32c_array(np.array(crcs, np.uint32))


def same_bytes(left: Bytes, right: Bytes) -> bool:
    """Tell whether two stretches of bytes of the same length are the same; eight bytes at a time."""
    bulk = len(left) & -8
    if not np.array_equal(left[:bulk].view(np.uint64), right[:bulk].view(np.uint64)):
        return False
    return bool(np.array_equal(left[bulk:], right[bulk:]))
