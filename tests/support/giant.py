"""A checkpoint of one tensor as large as one likes, made without holding it."""

from __future__ import annotations

import os
from pathlib import Path

from tfbundle.format.entries import BundleEntry, BundleHeader
from tfbundle.format.index import encode_index
from tfbundle.format.naming import data_filename, index_filename
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.sstable.checksum import crc32c, mask_crc32c

_CHUNK_NBYTES = 1 << 20


def write_giant(prefix: str | Path, nbytes: int) -> str:
    """Write a float32 tensor ``giant`` of zeros, which take no room on the disk, and return the prefix."""
    prefix = os.fspath(prefix)
    with open(data_filename(prefix, 0, 1), "wb") as file:
        file.truncate(nbytes)
    entry = BundleEntry(shape=(nbytes // 4,), size=nbytes, crc32c=mask_crc32c(_crc_of_zeros(nbytes)))
    with open(index_filename(prefix), "wb") as file:
        encode_index(file.write, BundleHeader(), [(b"giant", entry)])
    return prefix


def write_giant_partition(prefix: str | Path, shape: tuple[int, int], parts: int, axis: int) -> str:
    """Write a float32 tensor ``giant`` of zeros in equal slices along one axis, sparse, over two shards."""
    prefix = os.fspath(prefix)
    size = shape[axis] // parts
    part_shape = tuple(size if number == axis else dim for number, dim in enumerate(shape))
    nbytes = part_shape[0] * part_shape[1] * 4
    crc = mask_crc32c(_crc_of_zeros(nbytes))
    extents = [tuple((number * size, size) if at == axis else (0, -1) for at in (0, 1)) for number in range(parts)]
    entries = {b"giant": BundleEntry(shape=shape, slices=tuple(extents))}
    ends = [0, 0]
    for number, extent in enumerate(extents):
        shard = number % 2
        entry = BundleEntry(shape=part_shape, shard_id=shard, offset=ends[shard], size=nbytes, crc32c=crc)
        entries[encode_slice_key(b"giant", extent)] = entry
        ends[shard] += nbytes
    for shard, end in enumerate(ends):
        with open(data_filename(prefix, shard, 2), "wb") as file:
            file.truncate(end)
    with open(index_filename(prefix), "wb") as file:
        encode_index(file.write, BundleHeader(2), sorted(entries.items()))
    return prefix


def _crc_of_zeros(nbytes: int) -> int:
    crc = 0
    for start in range(0, nbytes, _CHUNK_NBYTES):
        crc = crc32c(bytes(min(_CHUNK_NBYTES, nbytes - start)), crc)
    return crc


def write_giant_shards(prefix: str | Path, nbytes: int, num_shards: int) -> str:
    """Write float32 tensors of zeros, sparse, as many as there are data files, each of that size."""
    prefix = os.fspath(prefix)
    crc = mask_crc32c(_crc_of_zeros(nbytes))
    entries = {}
    for shard in range(num_shards):
        entries[b"giant%05d" % shard] = BundleEntry(shape=(nbytes // 4,), shard_id=shard, size=nbytes, crc32c=crc)
        with open(data_filename(prefix, shard, num_shards), "wb") as file:
            file.truncate(nbytes)
    with open(index_filename(prefix), "wb") as file:
        encode_index(file.write, BundleHeader(num_shards), sorted(entries.items()))
    return prefix
