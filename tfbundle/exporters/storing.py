"""Storing arrays as a bundle: places for all of them first, then window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tfbundle.bundle.publish import publish_bundle, stage_shards
from tfbundle.bundle.target import check_room
from tfbundle.errors import UnsupportedError
from tfbundle.exporters.arrays import Incoming, open_array
from tfbundle.exporters.turning import TILE_NBYTES, turn
from tfbundle.format.dtypes import STRING
from tfbundle.format.entries import BundleEntry, BundleHeader, encode_entry
from tfbundle.format.naming import data_filename
from tfbundle.format.payload_checksum import payload_checksum
from tfbundle.sstable.checksum import crc32c, mask_crc32c
from tfbundle.storage.base import ReadableFile, StagedFile, Storage, staging
from tfbundle.storage.buffers import WINDOW_NBYTES, Bytes, aligned_buffer
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.run import RunOptions
from tfbundle.streaming.workspace import swap_bytes

_MAX_RANK = 254


class StoringPlan(NamedTuple):
    """Where everything goes; by key, which ascend.

    Attributes:
        arrays: those whose payloads come from files.
        texts: payloads of string scalars.
        entries: of all of them, but for the checksums.
        shard_nbytes: size of each data file.
    """

    arrays: Mapping[bytes, Incoming]
    texts: Mapping[bytes, bytes]
    entries: dict[bytes, BundleEntry]
    shard_nbytes: tuple[int, ...]


def plan_storing(arrays: Mapping[bytes, Incoming], texts: Mapping[bytes, bytes], layout: Layout) -> StoringPlan:
    """Give every payload its place, in the order of keys, without gaps.

    Raises:
        UnsupportedError: a tensor of more dimensions than a bundle holds.
    """
    entries = {key: _entry_of(array) for key, array in arrays.items()}
    for key, payload in texts.items():
        crc = payload_checksum(STRING, 1)
        crc.update(payload)
        entries[key] = BundleEntry(dtype=STRING.number, size=len(payload), crc32c=mask_crc32c(crc.finish()))
    entries = dict(sorted(entries.items()))
    sizes = np.array([entry.size for entry in entries.values()], np.int64)
    shards, num_shards = layout.assign(sizes, np.zeros(len(sizes), np.int32), 1)
    ends = [0] * num_shards
    for (key, entry), shard in zip(entries.items(), shards.tolist(), strict=True):
        entries[key] = replace(entry, shard_id=shard, offset=ends[shard])
        ends[shard] += entry.size
    return StoringPlan(arrays, texts, entries, tuple(ends))


def _entry_of(array: Incoming) -> BundleEntry:
    if len(array.shape) > _MAX_RANK:
        raise UnsupportedError(f"tensor {array.name!r} has {len(array.shape)} dimensions, {_MAX_RANK} are the most")
    nbytes = math.prod(array.shape) * array.dtype.nbytes
    return BundleEntry(dtype=array.dtype.number, shape=array.shape, size=nbytes)


def store(plan: StoringPlan, prefix: str, storage: Storage, options: RunOptions) -> None:
    """Write the bundle and publish it.

    Raises:
        FormatError: a file is damaged, or changed meanwhile. Nothing is left behind.
    """
    with staging(storage, replace=options.if_exists == "replace") as stage:
        files = stage_shards(stage, storage, prefix, plan.shard_nbytes)
        options.progress.start(sum(plan.entries[key].size for key in plan.arrays))
        try:
            for key, payload in plan.texts.items():
                files[plan.entries[key].shard_id].write_at(plan.entries[key].offset, payload)
            stored = dict(plan.entries)
            for key, array in plan.arrays.items():
                entry = plan.entries[key]
                target = _Target(files[entry.shard_id], entry.offset, storage, options.progress.advance)
                crc = _store_array(array, entry.size, target, prefix)
                stored[key] = replace(entry, crc32c=mask_crc32c(crc))
        finally:
            options.progress.finish()
        header = BundleHeader(num_shards=len(files))
        rows = ((key, encode_entry(entry)) for key, entry in stored.items())
        publish_bundle(stage, storage, prefix, header, rows, options.if_exists)


class _Target(NamedTuple):
    """Where a payload is written, and who is told."""

    file: StagedFile
    offset: int
    storage: Storage
    advance: Callable[[int], None]


def _store_array(array: Incoming, nbytes: int, target: _Target, prefix: str) -> int:
    """Write the payload of an array; return its crc32c."""
    if is_turned(array):
        return _turn_array(array, nbytes, target, prefix)
    buffer = aligned_buffer(WINDOW_NBYTES)
    crc = done = 0
    with closing(open_array(array, target.storage)) as reader:
        for start in range(0, nbytes, WINDOW_NBYTES):
            window = buffer[: min(WINDOW_NBYTES, nbytes - start)]
            reader.read_into(window.data)
            _make_native(window, array)
            crc = crc32c(window.data, crc)
            target.file.write_at(target.offset + done, window.data)
            done += len(window)
            target.advance(len(window))
        reader.finish()
    return crc


def is_turned(array: Incoming) -> bool:
    """Tell whether the elements of an array come in another order than a bundle has them in."""
    return array.in_columns and sum(size > 1 for size in array.shape) > 1


def _make_native(window: Bytes, array: Incoming) -> None:
    """Give elements the byte order of a bundle, and let them have no bits that their type lacks."""
    swap_bytes(window, array.swap)
    if array.dtype.bits < 8:
        window &= np.uint8((1 << array.dtype.bits) - 1)


def _turn_array(array: Incoming, nbytes: int, target: _Target, prefix: str) -> int:
    """Write the payload of an array in Fortran order, tile by tile; return its crc32c."""

    def write_at(at: int, data: Bytes) -> None:
        _make_native(data, array)
        target.file.write_at(target.offset + at, data.data)
        target.advance(len(data))

    width = array.dtype.nbytes
    if nbytes <= TILE_NBYTES:
        with closing(open_array(array, target.storage)) as reader:
            turn(array.shape, width, lambda _, buffer: reader.read_into(buffer), write_at)
            reader.finish()
    elif array.packed is None:
        with closing(array.file.open(target.storage)) as file:
            turn(array.shape, width, lambda at, buffer: file.read_into(array.offset + at, buffer), write_at)
            file.check_unchanged()
    else:
        with _unpacked(array, nbytes, target.storage, prefix) as spool:
            turn(array.shape, width, spool.read_into, write_at)
    return _read_crc(target, nbytes)


@contextmanager
def _unpacked(array: Incoming, nbytes: int, storage: Storage, prefix: str) -> Iterator[ReadableFile]:
    """Give a file beside the target with an array of an archive, which cannot be read but from first to last."""
    check_room(prefix, nbytes, storage)
    buffer = aligned_buffer(WINDOW_NBYTES)
    with staging(storage, replace=False) as stage, closing(open_array(array, storage)) as reader:
        spool = stage.create(data_filename(prefix, 0, 1))
        for start in range(0, nbytes, WINDOW_NBYTES):
            window = buffer[: min(WINDOW_NBYTES, nbytes - start)]
            reader.read_into(window.data)
            spool.write_at(start, window.data)
        reader.finish()
        with closing(storage.open(spool.path)) as file:
            yield file


def _read_crc(target: _Target, nbytes: int) -> int:
    """Return the crc32c of a payload that was not written from first to last."""
    buffer = aligned_buffer(WINDOW_NBYTES)
    crc = 0
    with closing(target.storage.open(target.file.path)) as file:
        for start in range(0, nbytes, WINDOW_NBYTES):
            window = buffer[: min(WINDOW_NBYTES, nbytes - start)]
            file.read_into(target.offset + start, window.data)
            crc = crc32c(window.data, crc)
    return crc
