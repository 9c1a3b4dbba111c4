"""Opening what TensorFlow's reader opens, by its rules: a prefix, one file of V1, or a pattern of files.

Source: TensorFlow ``c/checkpoint_reader.cc`` (the constructor), ``core/util/tensor_slice_reader.cc`` (``LoadShard``).
"""

from __future__ import annotations

import os

from tfbundle.bundle.locate import Location
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.shards import Shards
from tfbundle.bundle.v1 import open_v1
from tfbundle.compat.globbing import glob_paths, local_path
from tfbundle.compat.heads import Head, list_heads
from tfbundle.compat.op_errors import CODES, DataLossError, InternalError, NotFoundError, OpError, UnimplementedError
from tfbundle.errors import BundleError, TruncatedError, escape
from tfbundle.format.entries import HEADER_KEY
from tfbundle.format.naming import index_filename, name_to_key
from tfbundle.pb import parse_message
from tfbundle.sstable.reader import open_table
from tfbundle.storage.base import ReadableFile
from tfbundle.storage.local import LocalStorage

_FAILED = "Unsuccessful TensorSliceReader constructor: Failed to"


def open_checkpoint(filename: bytes) -> tuple[BundleReader, list[Head]]:
    """Open a checkpoint and list its tensors, in the order in which TensorFlow's reader comes to know them.

    That is the order of the keys, in V1 checkpoints that of the lists in their files.

    Raises:
        NotFoundError: there is none.
        DataLossError, InternalError: there is a file, which is no V1 checkpoint.
        OpError: the index is damaged.
        ValueError: the path is on a file system of another kind.
    """
    storage = LocalStorage()
    try:
        prefix = local_path(os.fsdecode(filename))
        files = () if storage.exists(index_filename(prefix)) else tuple(glob_paths(prefix))
        if files:
            return _open_v1(prefix, files, storage)
        if not storage.exists(index_filename(prefix)):
            text = f"{_FAILED} find any matching files for {escape(prefix)}"
            raise NotFoundError(None, None, text)
        bundle = open_bundle(prefix, storage=storage)
        return bundle, list_heads(bundle)
    except UnimplementedError as error:
        raise ValueError(f"{_FAILED} get matching files: {error}") from error
    except TruncatedError as error:
        if error.part == "footer":
            raise unknown_error(str(error)) from error
        raise IndexError(str(error)) from error
    except (BundleError, OSError) as error:
        raise unknown_error(str(error)) from error


def unknown_error(text: str) -> OpError:
    """Return the error that TensorFlow's reader makes of all that it does not know better."""
    return OpError(None, None, text, CODES["UNKNOWN"])


def _open_v1(prefix: str, files: tuple[str, ...], storage: LocalStorage) -> tuple[BundleReader, list[Head]]:
    """Open V1 tables. One without a list of tensors has none; the index of a bundle looks so from here."""
    lists = {path: _read_list(path, storage) for path in files}
    location = Location(prefix, tuple(path for path, keys in lists.items() if keys is not None))
    index, payloads = open_v1(location, storage)
    bundle = BundleReader(index, payloads, Shards(prefix, 0, storage), storage)
    heads = {head.key: head for head in list_heads(bundle)}
    in_order = dict.fromkeys(key for keys in lists.values() for key in keys or ())
    return bundle, [heads[key] for key in in_order if key in heads]


def _read_list(path: str, storage: LocalStorage) -> list[bytes] | None:
    """Return the keys of the tensors that a table lists, or None."""
    try:
        file = storage.open(path)
    except (BundleError, OSError) as error:
        raise DataLossError(None, None, f"Unable to open table file {error}") from error
    try:
        return _decode_list(file)
    finally:
        file.close()


def _decode_list(file: ReadableFile) -> list[bytes] | None:
    try:
        table = open_table(file.read, file.nbytes)
    except BundleError as error:
        text = (
            f"Unable to open table file {escape(file.path)}: {error}: perhaps your file is in a different file format"
        )
        raise DataLossError(None, None, text) from error
    text = f"Failed to find the saved tensor slices at the beginning of the checkpoint file: {escape(file.path)}"
    try:
        meta = table.get(HEADER_KEY)
        if meta is None:
            raise InternalError(None, None, text)
        message = parse_message("SavedTensorSlices", meta)
    except BundleError as error:
        raise InternalError(None, None, f"{text}: {error}") from error
    return [name_to_key(tensor.name) for tensor in message.meta.tensor] if message.HasField("meta") else None
