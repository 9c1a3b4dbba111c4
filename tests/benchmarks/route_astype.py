"""A contender: halves a checkpoint the plain way, tensor by tensor in windows, with numpy's ``astype``.

Runs as ``python -m tests.benchmarks.route_astype SOURCE TARGET``. It shares the index with ``tfbundle`` and checks and
makes the same checksums, so that what differs is the cast and how the bytes get to it. Nothing is counted, and it can
do no more than the checkpoints made here need: one data file, no slices to join.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

import numpy as np

from tfbundle.bundle.opening import open_bundle
from tfbundle.format.dtypes import FLOAT16, FLOAT32
from tfbundle.format.entries import BundleEntry, BundleHeader
from tfbundle.format.index import encode_index
from tfbundle.format.naming import data_filename, index_filename
from tfbundle.sstable.checksum import crc32c, mask_crc32c

WINDOW_NBYTES = 1 << 20


def convert(entry: BundleEntry, source: BinaryIO, target: BinaryIO) -> BundleEntry:
    """Read, check, cast and write one tensor; return its new entry."""
    is_cast = entry.dtype == FLOAT32.number
    offset, crc_in, crc_out = target.tell(), 0, 0
    source.seek(entry.offset)
    for start in range(0, entry.size, WINDOW_NBYTES):
        data = source.read(min(WINDOW_NBYTES, entry.size - start))
        crc_in = crc32c(data, crc_in)
        if is_cast:
            with np.errstate(all="ignore"):
                data = np.frombuffer(data, "<f4").astype("<f2").tobytes()
        crc_out = crc32c(data, crc_out)
        target.write(data)
    if mask_crc32c(crc_in) != entry.crc32c:
        raise ValueError("the source is damaged")
    dtype = FLOAT16.number if is_cast else entry.dtype
    return BundleEntry(dtype, entry.shape, 0, offset, target.tell() - offset, mask_crc32c(crc_out))


def halve(source: str, target: str) -> None:
    """Halve a checkpoint of one data file."""
    with open_bundle(source) as bundle:
        rows = list(bundle.index.items())
    with open(data_filename(source, 0, 1), "rb") as values, open(data_filename(target, 0, 1), "wb") as halves:
        entries = [(key, convert(entry, values, halves)) for key, entry in rows]
    with open(index_filename(target), "wb") as index:
        encode_index(index.write, BundleHeader(), entries)


if __name__ == "__main__":
    halve(sys.argv[1], sys.argv[2])
