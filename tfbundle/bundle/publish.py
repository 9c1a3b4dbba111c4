"""Making a staged bundle visible: its index last, and what it replaces gone.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``BundleWriter::Finish``).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence

from tfbundle.bundle.opening import read_index
from tfbundle.bundle.target import IfExists, check_room
from tfbundle.errors import BundleError
from tfbundle.format.entries import BundleHeader
from tfbundle.format.index import encode_index_rows
from tfbundle.format.naming import data_filename, index_filename, strip_data_suffix
from tfbundle.storage import paths
from tfbundle.storage.base import Stage, StagedFile, Storage

_MAX_UNLISTED_SHARDS = 100_000  # an index may claim any number


def stage_shards(stage: Stage, storage: Storage, prefix: str, shard_nbytes: Sequence[int]) -> list[StagedFile]:
    """Create every data file of a bundle at its full size.

    Raises:
        OSError: there is not enough room for all of them.
    """
    check_room(prefix, sum(shard_nbytes), storage)
    stage.foresee(index_filename(prefix))
    files = []
    for shard, nbytes in enumerate(shard_nbytes):
        files.append(stage.create(data_filename(prefix, shard, len(shard_nbytes))))
        files[-1].reserve(nbytes)
    return files


def publish_bundle(
    stage: Stage,
    storage: Storage,
    prefix: str,
    header: BundleHeader,
    rows: Iterable[tuple[bytes, bytes]],
    if_exists: IfExists,
) -> None:
    """Write the index beside the staged shards, publish them all, and remove what a replaced bundle leaves behind.

    Args:
        stage: where the shards are.
        storage: that of the stage.
        prefix: of the bundle.
        header: of the index.
        rows: of the index: keys, ascending, and encoded entries.
        if_exists: whether another bundle is replaced.
    """
    path = index_filename(prefix)
    _write_index(stage.create(path), header, rows)
    unlisted = _list_unlisted_shards(prefix, storage) if if_exists == "replace" else None

    def clean_up() -> None:
        if if_exists == "replace":
            _remove_replaced_shards(prefix, header.num_shards, storage, unlisted)

    stage.publish(last=path, clean_up=clean_up)


def publish_in_place(
    stage: Stage,
    storage: Storage,
    prefix: str,
    header: BundleHeader,
    rows: Iterable[tuple[bytes, bytes]],
    *,
    check: Callable[[], None],
) -> None:
    """Write a new index for a bundle that is there, whose number of shards is another, and publish it all.

    Readers see the old bundle until the new index takes the place of the old one. Otherwise as ``publish_bundle``.
    ``check`` is called when nobody else can publish there any more; it raises an error if the bundle is another by now.
    """
    path = index_filename(prefix)
    _write_index(stage.create(path), header, rows)
    unlisted = _list_unlisted_shards(prefix, storage)
    stage.publish_over(
        path, check=check, clean_up=lambda: _remove_replaced_shards(prefix, header.num_shards, storage, unlisted)
    )


def _write_index(file: StagedFile, header: BundleHeader, rows: Iterable[tuple[bytes, bytes]]) -> None:
    end = 0

    def append(piece: bytes) -> None:
        nonlocal end
        file.write_at(end, piece)
        end += len(piece)

    encode_index_rows(append, header, rows)


def _list_unlisted_shards(prefix: str, storage: Storage) -> list[str] | None:
    """Return the names of the data files of the bundle in place, by its index, where the directory may not be listed.

    None if it can be listed, or if the index cannot be read.
    """
    index = index_filename(prefix)
    if not storage.exists(index):
        return []
    try:
        if paths.basename(index) in storage.list_directory(paths.dirname(prefix)):
            return None
        num_shards = read_index(prefix, storage).header.num_shards
    except (BundleError, OSError):
        return None
    if num_shards > _MAX_UNLISTED_SHARDS:
        return None
    return [paths.basename(data_filename(prefix, shard, num_shards)) for shard in range(num_shards)]


def _remove_replaced_shards(prefix: str, num_shards: int, storage: Storage, unlisted: list[str] | None) -> None:
    """Remove stale shards once the new bundle is there.

    Raises:
        OSError: one stays where it is; the message says that the bundle is complete.
    """
    try:
        remove_stale_shards(prefix, num_shards, storage, unlisted)
    except OSError as error:
        state = f"{prefix} is complete, but old data files may be left; tfbundle verify --finish removes them"
        raise OSError(error.errno, f"{error.strerror}; {state}", error.filename) from error


def remove_stale_shards(prefix: str, num_shards: int, storage: Storage, unlisted: list[str] | None = None) -> None:
    """Remove data files that a replaced bundle left behind: the same prefix, another number of shards.

    To be called while nobody else publishes there, whose data files these could be.

    Args:
        prefix: of the bundle, which is complete.
        num_shards: of the bundle.
        storage: where it is.
        unlisted: names of the replaced bundle's data files, if known; for a directory that may not be listed.

    Raises:
        OSError: not all of them could be removed, or nobody can tell what is there.
    """
    directory, base = paths.split(prefix)
    current = {paths.basename(data_filename(prefix, shard, num_shards)) for shard in range(num_shards)}
    failed: OSError | None = None
    names: list[str] | None = storage.list_directory(directory)
    if paths.basename(index_filename(prefix)) not in (names or ()):
        names = unlisted
    if names is None:
        raise OSError(errno.EACCES, "the directory may not be listed", directory)
    for name in names:
        if strip_data_suffix(name) == base and name not in current:
            try:
                storage.remove(paths.join(directory, name))
            except OSError as error:
                failed = failed or error
    if failed:
        raise failed
