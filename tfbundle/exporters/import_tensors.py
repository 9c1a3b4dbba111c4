"""Importing: a checkpoint of the tensors in the files of others, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tfbundle.bundle.beside import settle
from tfbundle.bundle.leftovers import find_strays
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.target import check_target, room_note, target_prefix
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.errors import BundleExistsError, UnsupportedError
from tfbundle.exporters.arrays import Source
from tfbundle.exporters.incoming import Chosen, ImportOptions, choose
from tfbundle.exporters.metadata import encode_metadata
from tfbundle.exporters.opening import open_source
from tfbundle.exporters.safetensors_header import METADATA_NAME
from tfbundle.exporters.storing import StoringPlan, is_turned, plan_storing, store
from tfbundle.format.naming import data_filename, index_filename, key_to_name, name_to_key
from tfbundle.format.strings import encode_strings
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage
from tfbundle.storage.paths import is_url
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.run import RunOptions

_METADATA_NOTE = "metadata is kept as the string tensor {0}: {1}; export puts it back"


@dataclass(frozen=True)
class ImportedTensor:
    """What became of one array.

    Attributes:
        name: its name in the source.
        target_name: name of the tensor; empty if there is none.
        reason: why there is none; else empty.
        dtype: name of the tensor's element type.
        shape: size of each dimension.
        nbytes: bytes of payload.
    """

    name: str
    target_name: str
    reason: str = ""
    dtype: str = ""
    shape: tuple[int, ...] = ()
    nbytes: int = 0


@dataclass(frozen=True)
class ImportReport:
    """What an import did, or would do.

    Attributes:
        source: path of the file, the index or the directory.
        target: prefix of the checkpoint.
        dry_run: whether nothing was written.
        tensors: what became of each array: tensors in key order, and then what was left out.
        num_shards: how many data files the checkpoint has.
        nbytes: bytes of payload.
        metadata: text that came with the arrays.
        notes: what the user should know beyond that.
    """

    source: str
    target: str
    dry_run: bool
    tensors: tuple[ImportedTensor, ...]
    num_shards: int
    nbytes: int
    metadata: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain lists, dictionaries, text and numbers."""
        return asdict(replace(self, metadata=dict(self.metadata)))


def import_tensors(
    source: PathLike,
    target: PathLike,
    /,
    *,
    selection: Selection = Selection(),
    naming: Naming = Naming(),
    layout: Layout = Layout(),
    files: ImportOptions = ImportOptions(),
    options: RunOptions = RunOptions(),
) -> ImportReport:
    """Write a checkpoint of the tensors in safetensors files, a ``.npz`` archive or ``.npy`` files.

    Reads and writes in windows of 1 MiB, whatever the size of a tensor; arrays in Fortran order take 16 MiB more. A
    graph restores the result by the tensors' names, as those of TF1 are.

    Args:
        source: a safetensors file or the index of several, an archive, a ``.npy`` file, or a directory with one of
            these, or with ``.npy`` files. What is in a file counts, not its name.
        target: a prefix, or a directory in which the checkpoint takes the source's name.
        selection: which tensors: ``drop``, ``select`` and ``optimizer="drop"``.
        naming: what tensors are called in the checkpoint.
        layout: how many data files there are.
        files: what to do with arrays that cannot be tensors, and what raw bits are.
        options: overwriting, dry run, progress.

    Returns:
        What became of each array.

    Raises:
        BundleNotFoundError: no source, or one of its files is missing.
        BundleExistsError: the target is there already.
        FormatError: a file is damaged or made to do harm, or changed while it was read. Nothing is left behind.
        UnsupportedError: arrays that cannot be tensors; the message names them.
        ValueError: a pattern matches nothing, or new names collide.
        OSError: reading or writing failed. Nothing is left behind.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> folder = tempfile.mkdtemp()
        >>> np.savez(folder + "/weights.npz", w=np.ones(4, np.float32), step=np.int64(7))
        >>> tfbundle.import_tensors(folder + "/weights.npz", folder + "/model").nbytes
        24
        >>> tfbundle.load(folder + "/model")["step"].item()
        7
    """
    storage = Anywhere()
    storage.check_writable(storage.admit(target))
    found = open_source(source, storage)
    chosen = choose(found, selection, naming, files)
    texts = _texts(found, chosen)
    plan = plan_storing(chosen.arrays, texts, layout)
    prefix = target_prefix(target, found.stem, storage)
    _check_order(chosen, prefix)
    notes = [
        *found.notes,
        *([_METADATA_NOTE.format(METADATA_NAME, ", ".join(sorted(found.metadata)))] if texts else []),
    ]
    if options.dry_run:
        notes.append(room_note(prefix, sum(plan.shard_nbytes), storage))
    else:
        check_target(prefix, len(plan.shard_nbytes), options.if_exists, storage)
        _check_not_source(found, prefix, len(plan.shard_nbytes), storage)
        store(plan, prefix, storage, options)
        notes += settle([found.path], prefix, len(plan.shard_nbytes), storage)
    return ImportReport(
        found.path,
        prefix,
        options.dry_run,
        (*_describe_kept(chosen, plan), *(ImportedTensor(name, "", why) for name, why in chosen.left_out.items())),
        len(plan.shard_nbytes),
        sum(plan.shard_nbytes),
        found.metadata,
        tuple(notes),
    )


def _texts(source: Source, chosen: Chosen) -> dict[bytes, bytes]:
    """Return the payloads that are no arrays, by key: the metadata, if there is any and it is wanted."""
    if not source.metadata or METADATA_NAME in chosen.left_out:
        return {}
    return {name_to_key(METADATA_NAME): encode_strings([encode_metadata(source.metadata)])}


def _check_not_source(source: Source, prefix: str, num_shards: int, storage: Storage) -> None:
    """Refuse to replace a file that is read.

    Raises:
        BundleExistsError: a file of the checkpoint would be one.
    """
    targets = [index_filename(prefix), *(data_filename(prefix, shard, num_shards) for shard in range(num_shards))]
    targets += find_strays(prefix, num_shards, storage)  # which go when an old checkpoint is replaced
    for path in filter(storage.exists, targets):
        if any(storage.is_same(file.path, path) for file in source.files):
            raise BundleExistsError("the target is a file of the source; choose another one", path)


def _check_order(chosen: Chosen, prefix: str) -> None:
    """Refuse arrays that cannot be uploaded from their first to their last byte.

    Raises:
        UnsupportedError: there is one.
    """
    turned = next((array.name for array in chosen.arrays.values() if is_turned(array)), None)
    if is_url(prefix) and turned is not None:
        raise UnsupportedError(
            f"array {turned!r} is in Fortran order; import to a disk, and copy the checkpoint", prefix
        )


def _describe_kept(chosen: Chosen, plan: StoringPlan) -> Iterator[ImportedTensor]:
    for key, array in chosen.arrays.items():
        nbytes = plan.entries[key].size
        yield ImportedTensor(array.name, key_to_name(key), "", array.dtype.name, array.shape, nbytes)
