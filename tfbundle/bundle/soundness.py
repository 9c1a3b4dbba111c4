"""Telling the sound rows of a bundle from the damaged ones, without stopping at the first that fails."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection
from dataclasses import dataclass

from tfbundle.bundle.locate import PathLike, find_bundle
from tfbundle.bundle.opening import opened_table
from tfbundle.bundle.payloads import Payloads
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.shards import Shards
from tfbundle.errors import (
    BundleError,
    BundleNotFoundError,
    ChecksumError,
    FormatError,
    TruncatedError,
    UnsupportedError,
)
from tfbundle.format.extents import MAX_OVERLAP, check_sum
from tfbundle.format.index import decode_sound_blocks
from tfbundle.format.naming import index_filename, key_to_name
from tfbundle.storage.base import Storage

_WRONG_STEP = "the index and the data files do not belong together: they are of different steps, or the copy is partial"

_UNREADABLE = {
    getattr(errno, name) for name in ("EIO", "EBADMSG", "ENODATA", "EREMOTEIO", "EUCLEAN") if hasattr(errno, name)
}
"""What the operating system says of bytes that the disk does not give back; trying again does not help."""


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong.

    Attributes:
        tensor: name of the tensor it concerns.
        kind: name of the error's class.
        message: the error itself, in one line.
    """

    tensor: str
    kind: str
    message: str


def check_rows(bundle: BundleReader) -> tuple[int, dict[str, BundleError]]:
    """Check all rows: most of them in one sweep, and one by one what that did not find sound.

    Returns:
        How many bytes of payload were read, and what is wrong with each damaged row, by the name of its key. Bytes
        that the disk does not give back are damage, too.

    Raises:
        FormatError: payloads that share so many bytes that reading them would not end.
        OSError: reading fails for another reason, such as a missing permission.
    """
    refuse_bomb(bundle)
    rows = bundle.find_unconfirmed()
    nbytes = int(bundle.index.scanned.size.sum()) - int(bundle.index.scanned.size[rows].sum())
    errors: dict[str, BundleError] = {}
    for row in rows.tolist():
        name = key_to_name(bundle.index.keys_in_order[row])
        try:
            bundle.check_slices(name)
            nbytes += bundle.check_payload(name)
        except BundleError as error:
            errors[name] = error
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            errors[name] = _describe_unreadable(bundle, row, error)
    return nbytes, errors


def refuse_bomb(bundle: BundleReader) -> None:
    """Refuse a bundle whose payloads are many times as large as its data files, before any is read.

    Raises:
        FormatError: they are.
    """
    if bundle.is_v1:  # whose rows have no places
        return
    columns = bundle.index.sound_columns()
    nbytes = [0] * bundle.shards.num_shards
    for shard in set(columns.shard_id.tolist()):
        with contextlib.suppress(BundleError, OSError):
            nbytes[shard] = bundle.shards.open(shard).nbytes
    try:
        check_sum(columns, nbytes, MAX_OVERLAP)
    except FormatError as error:
        raise error.add_path(index_filename(bundle.prefix)) from error


def _describe_unreadable(bundle: BundleReader, row: int, error: OSError) -> FormatError:
    path, label = str(error.filename or bundle.prefix), bundle.index.label(bundle.index.keys_in_order[row])
    return FormatError(f"cannot be read: {error.strerror or os.strerror(error.errno or 0)}", path, label)


def guess_cause(errors: Collection[BundleError], num_rows: int) -> str:
    """Guess why rows are damaged: where most of a bundle is, the files are not each other's.

    Returns:
        The likely cause, empty if nothing is wrong or nothing is likely.
    """
    if any(isinstance(error, BundleNotFoundError) for error in errors):
        return "a data file is missing; copy it from where the index came from"
    foreign = [error for error in errors if isinstance(error, (ChecksumError, TruncatedError))]
    if len(foreign) > 1 and 2 * len(foreign) >= num_rows:
        return _WRONG_STEP
    return ""


def open_damaged(path: PathLike, storage: Storage) -> tuple[BundleReader, list[FormatError]]:
    """Open a bundle as ``open_bundle`` does, but leave out the blocks of its index that are damaged.

    Returns:
        The bundle as far as it is known, and what is wrong with each other block; the names that stood there are lost.

    Raises:
        BundleNotFoundError: no bundle there.
        FormatError: the index is damaged where all of it depends on: footer, index block, or the block of the header.
        UnsupportedError: another kind of file, or a V1 checkpoint.
    """
    location = find_bundle(path, storage)
    if location.v1_files:
        raise UnsupportedError("a V1 checkpoint; only bundles with an index can be salvaged", location.prefix)
    identity = storage.identity(index_filename(location.prefix))  # before it is read
    with opened_table(location.prefix, storage) as table:
        index, errors = decode_sound_blocks(table)
    shards = Shards(location.prefix, index.header.num_shards, storage, identity)
    located = [error.add_path(index_filename(location.prefix)) for error in errors]
    return BundleReader(index, Payloads(index, shards, verify=True), shards, storage), located
