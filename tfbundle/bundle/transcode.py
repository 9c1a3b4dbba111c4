"""Making a bundle of a V1 checkpoint, so that everything else can treat it like any other source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import check_room
from tfbundle.bundle.writer import BundleWriter, create_bundle
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.entries import BundleHeader, encode_entry
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import data_filename, index_filename
from tfbundle.storage import paths
from tfbundle.storage.base import Storage
from tfbundle.storage.temporary import new_owner, temporary_path

_MOST_EXPANSION = 8  # an integer of eight bytes in a varint of one


def is_copied_here(bundle: BundleReader, target_prefix: str) -> bool:
    """Tell whether ``readable_bundle`` makes a copy that only this machine can see, and no worker elsewhere."""
    return bundle.is_v1 and paths.is_url(target_prefix)


@contextmanager
def readable_bundle(bundle: BundleReader, target_prefix: str) -> Iterator[BundleReader]:
    """Give a reader whose payloads have a bundle's form: the same one, or for a V1 checkpoint that of a copy.

    The copy stands beside the target under a temporary name while the block runs; that of a remote target on this
    machine. It is made a row at a time.
    """
    if not bundle.is_v1:
        yield bundle
        return
    if is_copied_here(bundle, target_prefix):  # nothing there has a temporary name
        import tempfile

        with tempfile.TemporaryDirectory() as scratch, readable_bundle(bundle, os.path.join(scratch, "v1")) as copy:
            yield copy
        return
    prefix = temporary_path(target_prefix, new_owner())
    missing = _missing_directories(paths.dirname(prefix), bundle.storage)
    try:
        check_room(target_prefix, _copy_nbytes(bundle), bundle.storage)
        with create_bundle(prefix, storage=bundle.storage) as writer:
            for table in bundle.tables:
                table.expect([(0, table.nbytes)])
            copy_tensors(bundle, writer)
            bundle.check_unchanged()
        with bundle.storage.hold(index_filename(prefix)), open_bundle(prefix, storage=bundle.storage) as copy:
            yield copy
    finally:
        for path in (index_filename(prefix), data_filename(prefix, 0, 1)):
            bundle.storage.remove(path)
        for directory in missing:  # empty only if no target was written
            bundle.storage.remove_empty_directory(directory)


def _copy_nbytes(bundle: BundleReader) -> int:
    """Return about how much room the copy takes, and no more than the tables can hold: what they claim may be wrong."""
    claimed = sum(entry.size for _, entry in bundle.index.items())
    return min(claimed, _MOST_EXPANSION * sum(table.nbytes for table in bundle.tables))


def _missing_directories(path: str, storage: Storage) -> list[str]:
    """Return the directories on the way to a path that do not exist, deepest first."""
    missing = []
    while path and not storage.is_directory(path):
        missing.append(path)
        path = paths.dirname(path)
    return missing


def pack_index(index: BundleIndex) -> tuple[BundleIndex, list[int]]:
    """Return an index in which every row has a place, one after the other in one shard, and that shard's size.

    A plan can be made of that without a copy. Sizes of strings are the least they can be: the tables tell no others.
    """
    rows: dict[bytes, bytes] = {}
    end = 0
    for key, entry in index.items():
        rows[key] = encode_entry(entry if entry.slices else replace(entry, offset=end, raw=b""))
        end += entry.size
    return BundleIndex(BundleHeader(), rows), [end]


def copy_tensors(bundle: BundleReader, writer: BundleWriter) -> None:
    """Add every tensor of a bundle to a writer, slices as slices."""
    for name in bundle:
        entry = bundle.entry(name)
        dtype = dtype_name(entry.dtype)
        if not entry.slices:
            writer.add(name, bundle[name], dtype=dtype)
            continue
        for extents in entry.slices:
            where = tuple(slice(start, None if length < 0 else start + length) for start, length in extents)
            writer.add_slice(name, bundle.read(name, where), shape=entry.shape, extents=extents, dtype=dtype)
