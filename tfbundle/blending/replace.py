"""Replacing one tensor of a bundle: in place, by one more data file and a new index, or in a copy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from tfbundle.blending.compact import write_compact
from tfbundle.blending.fit import Allow, NewTensor, fit_array
from tfbundle.bundle.beside import record_checkpoint
from tfbundle.bundle.leftovers import leftover_notes
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.publish import publish_in_place
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import IfExists, check_not_same, check_target, target_prefix
from tfbundle.bundle.transcode import readable_bundle
from tfbundle.bundle.writer import to_array
from tfbundle.choosing.names import TensorNames
from tfbundle.errors import FormatError, TensorNotFoundError, UnsupportedError
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.entries import BIG, MAX_NUM_SHARDS, encode_entry
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import OBJECT_GRAPH_KEY, data_filename, index_filename, key_to_name, name_to_key
from tfbundle.sstable.checksum import crc32c
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import ReadableFile, Stage, Storage, staging
from tfbundle.storage.buffers import WINDOW_NBYTES


@dataclass(frozen=True)
class ReplaceReport:
    """What a ``replace_tensor`` did.

    Attributes:
        target: prefix of the bundle that has the new tensor now.
        name: the tensor's full name.
        dtype: name of its element type.
        shape: size of each dimension.
        old_dtype: the element type before; empty for a tensor that is new.
        old_shape: the shape before.
        nbytes: bytes of the new payload.
        num_shards: how many data files the bundle has now.
        unused_nbytes: bytes in its data files that belong to no tensor.
        notes: what the user should know beyond the numbers.
    """

    target: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    old_dtype: str
    old_shape: tuple[int, ...]
    nbytes: int
    num_shards: int
    unused_nbytes: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


def replace_tensor(
    path: PathLike,
    name: str,
    value: ArrayLike,
    /,
    *,
    allow: Collection[Allow] = (),
    output: PathLike | None = None,
    if_exists: IfExists = "error",
) -> ReplaceReport:
    """Replace one tensor of a bundle; every other payload, checksum and entry stays as it is.

    In place, the data files get the names that one more demands, as hard links (copies where the file system has
    none); the one more holds the new payload; then a new index takes the place of the old one, and the old names go.
    Whoever reads sees the old or the new bundle at any moment; nothing is lost if this fails half-way. The old payload
    still takes its room: ``output`` writes a compact copy, every checksum verified.

    Args:
        path: of the bundle, as for ``open``.
        name: of the tensor; the closing ``/.ATTRIBUTES/VARIABLE_VALUE`` of a TF2 key may be left out.
        value: an array of the tensor's dtype and shape; bit patterns where numpy lacks the dtype, such as uint16 for
            bfloat16; bytes or text for strings. A partitioned tensor becomes a plain one.
        allow: ``"dtype"`` and ``"shape"`` permit others than before, ``"new"`` a tensor that is not there yet.
        output: leave the bundle alone, and write a copy here: a prefix, or a directory.
        if_exists: what to do with a bundle that is at ``output``: ``"error"`` or ``"replace"``.

    Raises:
        TensorNotFoundError: no such tensor.
        ValueError: another dtype or shape, which ``allow`` does not permit.
        BundleNotFoundError: no bundle, or one of its data files is missing.
        BundleExistsError: there is a bundle at ``output``, or it is the same one.
        FormatError: the bundle is damaged, or changed meanwhile.
        UnsupportedError: a V1 checkpoint or a big-endian bundle, without ``output``; or no dtype of TensorFlow's.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> prefix = tempfile.mkdtemp() + "/model"
        >>> tfbundle.save(prefix, {"w": np.ones(2, np.float32), "step": np.int64(7)})
        >>> tfbundle.replace_tensor(prefix, "step", np.int64(0)).num_shards
        2
        >>> tfbundle.load(prefix)["step"].item()
        0
    """
    storage = Anywhere()
    unknown = set(allow) - set(get_args(Allow))
    if unknown:
        raise ValueError(f"allow has {sorted(unknown)}, expected some of {get_args(Allow)}")
    storage.check_writable(storage.admit(path if output is None else output))
    with open_bundle(path, storage=storage) as bundle:
        key = name_to_key(_find_name(bundle, name, allow))
        old = bundle.entry(key_to_name(key)) if key in bundle.index else None
        tensor = fit_array(key, to_array(value), old, allow)
        notes = _notes(bundle, tensor)
        if output is None:
            prefix = bundle.prefix
            num_shards, unused = _replace_in_place(bundle, tensor, storage)
        else:
            prefix = target_prefix(output, bundle.prefix, storage)
            check_not_same(bundle, prefix, storage)
            check_target(prefix, bundle.index.header.num_shards, if_exists, storage)
            try:
                with readable_bundle(bundle, prefix) as readable:
                    num_shards, unused = write_compact(readable, tensor, prefix, if_exists), 0
            except FormatError as error:
                raise error.add_path(bundle.prefix) from error
            notes += record_checkpoint([bundle.prefix], prefix, storage)
        notes += leftover_notes(prefix, num_shards, storage)
        entry, before = tensor.entry, (dtype_name(old.dtype), old.shape) if old else ("", ())
        return ReplaceReport(
            prefix,
            key_to_name(key),
            dtype_name(entry.dtype),
            entry.shape,
            *before,
            entry.size,
            num_shards,
            unused,
            tuple(notes),
        )


def _find_name(bundle: BundleReader, name: str, allow: Collection[Allow]) -> str:
    """Return the full name of the tensor that a name means."""
    known = TensorNames(tuple(bundle))
    if found := known.find(name) or known.find(name.removesuffix(":0")):
        return found.name
    if not name or name in bundle:
        raise ValueError("a tensor needs a name that is not empty and not the key of a slice")
    if "new" in allow:
        return name
    try:
        bundle.entry(name)
    except TensorNotFoundError as error:
        remedy = "--add (allow=['new']) would add it"
        raise TensorNotFoundError(error.name, error.matches, error.path, remedy) from None
    return name


def _notes(bundle: BundleReader, tensor: NewTensor) -> list[str]:
    found = []
    if tensor.old is None and OBJECT_GRAPH_KEY in bundle.index:
        found.append("the object graph does not know the new tensor, so that tf.train.Checkpoint does not restore it")
    if tensor.old is not None and tensor.old.slices:
        found.append(f"the tensor was partitioned into {len(tensor.old.slices)} slices and is a plain one now")
    return found


def _replace_in_place(bundle: BundleReader, tensor: NewTensor, storage: Storage) -> tuple[int, int]:
    """Give the bundle one more data file; return how many there are now, and how many bytes in them are not used."""
    header, prefix = bundle.index.header, bundle.prefix
    if bundle.is_v1 or header.endianness == BIG:
        kind = "a V1 checkpoint" if bundle.is_v1 else "a big-endian bundle"
        raise UnsupportedError(f"{kind} cannot be changed in place; --output DST writes a changed copy", prefix)
    if header.num_shards >= MAX_NUM_SHARDS:
        raise UnsupportedError(f"{header.num_shards} data files already; --output DST writes a compact copy", prefix)
    fingerprint = _index_fingerprint(prefix, storage)
    shards, num_shards = bundle.open_shards(), header.num_shards + 1
    rows = _replace_row(bundle.index, tensor, shard_id=num_shards - 1)
    used_nbytes = _used_nbytes(BundleIndex(header, rows), tensor, prefix)
    with staging(storage, replace=True) as stage:
        for number, shard in enumerate(shards):
            _take_over(stage, shard, data_filename(prefix, number, num_shards))
        file = stage.create(data_filename(prefix, num_shards - 1, num_shards))
        if tensor.payload:
            file.write_at(0, tensor.payload)

        def check() -> None:
            bundle.check_unchanged()
            if _index_fingerprint(prefix, storage) != fingerprint:
                raise FormatError(
                    "the index changed meanwhile; run again when nothing writes to it", index_filename(prefix)
                )

        header = replace(header, num_shards=num_shards)
        publish_in_place(stage, storage, prefix, header, sorted(rows.items()), check=check)
    total = sum(shard.nbytes for shard in shards) + len(tensor.payload)
    return num_shards, max(0, total - used_nbytes)


def _used_nbytes(index: BundleIndex, tensor: NewTensor, prefix: str) -> int:
    """Return the bytes of all payloads of the new index.

    Raises:
        FormatError: an entry is damaged, or names a data file that does not exist, which the new one must not become.
    """
    num_shards = index.header.num_shards
    try:
        columns = index.columns
        for row in np.flatnonzero(columns.shard_id >= num_shards).tolist():
            if (key := index.keys_in_order[row]) != tensor.key:
                raise FormatError(f"lies in shard {columns.shard_id[row]} of {num_shards}", "", index.label(key))
    except FormatError as error:
        raise error.add_path(index_filename(prefix)) from error
    return int(columns.size.sum())


def _index_fingerprint(prefix: str, storage: Storage) -> tuple[int, int]:
    file = storage.open(index_filename(prefix))
    try:
        return file.nbytes, crc32c(file.read(0, file.nbytes))
    finally:
        file.close()


def _replace_row(index: BundleIndex, tensor: NewTensor, shard_id: int) -> dict[bytes, bytes]:
    """Return all rows, those of the old tensor replaced by one of the new."""
    gone = {key for key, _ in index.slice_rows(tensor.key)} if tensor.old is not None and tensor.old.slices else set()
    rows = {key: value for key, value in index.rows.items() if key not in gone}
    rows[tensor.key] = encode_entry(replace(tensor.entry, shard_id=shard_id, offset=0))
    return rows


def _take_over(stage: Stage, file: ReadableFile, path: str) -> None:
    """Let a data file be published under another name, too."""
    try:
        stage.link(file.path, path)
    except OSError:  # no hard links here, or not to this file
        copy = stage.create(path)
        copy.reserve(file.nbytes)
        for start in range(0, file.nbytes, WINDOW_NBYTES):
            copy.write_at(start, file.read(start, min(WINDOW_NBYTES, file.nbytes - start)))
