"""Finding the bundle a path means: prefix, any of its files, or a directory that holds it.

Source: TensorFlow ``python/checkpoint/checkpoint_management.py`` (``latest_checkpoint``); SavedModel's layout.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from tfbundle.bundle.leftovers import describe_unfinished, describe_unpublished
from tfbundle.errors import BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.format.naming import (
    INDEX_SUFFIX,
    META_SUFFIX,
    SAVED_MODEL_PREFIX,
    STATE_FILENAME,
    index_filename,
    parse_v1_shard,
    strip_data_suffix,
    v1_shard_filename,
)
from tfbundle.sstable.footer import FOOTER_NBYTES, TABLE_MAGIC
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import ReadableFile, Storage
from tfbundle.storage.temporary import parse_temporary

PathLike = str | os.PathLike[str]

SAVED_MODEL_FILENAME = "saved_model.pb"
_GRAPH_SUFFIX = ".pb"
_NO_LISTING = "a web server cannot list others: give the prefix of a checkpoint"
_LFS_START = b"version https://git-lfs"


class Location(NamedTuple):
    """Where a checkpoint is.

    Attributes:
        prefix: its path without ``.index``, or without the ending of V1 shards.
        v1_files: the tables of a V1 checkpoint; empty for a bundle with an index.
    """

    prefix: str
    v1_files: tuple[str, ...] = ()


def find_bundle(path: PathLike, storage: Storage) -> Location:
    """Return where the checkpoint is that ``path`` means.

    Args:
        path: a prefix; its ``.index``, ``.meta`` or a ``.data-…`` file; a V1 checkpoint's file, or one of its shards; a
            ``checkpoint`` file; a directory with one of those, or with a single ``.index``; a SavedModel directory
            or its ``saved_model.pb``.
        storage: where to look.

    Raises:
        BundleNotFoundError: no checkpoint there; the message says what was found instead.
        UnsupportedError: it is another kind of file.
    """
    text = storage.admit(path)
    found = _find_at(text, storage)
    if found is not None:
        return found
    if storage.is_directory(text):
        return _find_in_directory(text, storage)
    if paths.basename(text) in (STATE_FILENAME, SAVED_MODEL_FILENAME) and storage.exists(text):
        return _find_in_directory(paths.dirname(text), storage)
    raise _explain_missing(text, storage)


def _find_at(path: str, storage: Storage) -> Location | None:
    """Look for files that belong to a path; a bundle with an index goes before a V1 checkpoint, as in TensorFlow."""
    candidates = _prefix_candidates(path)
    for prefix in candidates:
        if storage.exists(index_filename(prefix)):
            return Location(prefix)
    for prefix in candidates:
        if files := _find_v1_files(prefix, storage):
            return Location(parse_v1_shard(files[0])[0], files)
    return None


def _prefix_candidates(path: str) -> list[str]:
    """Return the prefixes a path may mean, most literal first: dots and digits are part of a name."""
    candidates = [path]
    candidates += [path.removesuffix(suffix) for suffix in (INDEX_SUFFIX, META_SUFFIX) if path.endswith(suffix)]
    if (prefix := strip_data_suffix(path)) is not None:
        candidates.append(prefix)
    return candidates


def _find_v1_files(path: str, storage: Storage) -> tuple[str, ...]:
    """Return the tables of a V1 checkpoint: one file, or all its shards; none if there is no such thing.

    A name that tells of more shards than any checkpoint has is not that of a shard.

    Raises:
        BundleNotFoundError: some of its shards are missing.
    """
    prefix, num_shards = parse_v1_shard(path)
    if num_shards is None:
        if storage.exists(path) and not storage.is_directory(path) and _is_table(path, storage):
            return (path,)
        directory, base = paths.split(path)
        shards = [parse_v1_shard(name) for name in storage.list_directory(directory)]
        counts = [count for name, count in shards if name == base and count is not None]
        if not counts:
            return ()
        num_shards = max(counts)
    directory, base = paths.split(prefix)
    present = set(storage.list_directory(directory))
    names = [v1_shard_filename(base, shard, num_shards) for shard in range(num_shards)]
    missing = [name for name in names if name not in present]
    if len(missing) == len(names):
        return ()
    if missing:
        path = paths.join(directory, missing[0])
        raise BundleNotFoundError(f"No such file or directory: one of {num_shards} shards", path)
    return tuple(paths.join(directory, name) for name in names)


def _is_table(path: str, storage: Storage) -> bool:
    file = storage.open(path)
    try:
        end = file.read(max(0, file.nbytes - FOOTER_NBYTES), min(FOOTER_NBYTES, file.nbytes))
        return end.endswith(TABLE_MAGIC)
    finally:
        file.close()


def _find_in_directory(directory: str, storage: Storage) -> Location:
    prefixes = (
        paths.join(directory, SAVED_MODEL_PREFIX),
        _latest_or_none(directory, storage),
        paths.join(directory, ""),
    )
    for prefix in prefixes:
        found = None if prefix is None else _find_at(prefix, storage)
        if found is not None:
            return found
    names = [name for name in storage.list_directory(directory) if parse_temporary(name) is None]
    bases = {name.removesuffix(INDEX_SUFFIX) for name in names if name.endswith(INDEX_SUFFIX)}
    bases |= {base for base, num_shards in map(parse_v1_shard, names) if num_shards is not None}
    if len(bases) == 1 and (found := _find_at(paths.join(directory, *bases), storage)) is not None:
        return found
    if bases:
        raise BundleNotFoundError(
            f"Couldn't find 'checkpoint' file that names the latest of {len(bases)} checkpoints; "
            f"give one of {', '.join(sorted(bases)[:8])}",
            directory,
        )
    if SAVED_MODEL_FILENAME in names:
        raise BundleNotFoundError("this SavedModel has no variables/variables.index", directory)
    missing = "Couldn't find 'checkpoint' file or checkpoints in given directory"
    if not storage.can_list(directory):
        missing = f"Couldn't find 'checkpoint' file in given directory, {_NO_LISTING}"
    unfinished = [*_unfinished_in(directory, storage), *describe_unpublished(directory, storage)]
    raise BundleNotFoundError("; ".join([missing, *unfinished]), directory)


def _unfinished_in(directory: str, storage: Storage) -> list[str]:
    """Describe bundles in a directory that are staged and have no index yet."""
    temporaries = filter(None, map(parse_temporary, storage.list_directory(directory)))
    indexes = {each.path for each in temporaries if each.path.endswith(INDEX_SUFFIX) and not each.rest}
    prefixes = [paths.join(directory, index.removesuffix(INDEX_SUFFIX)) for index in sorted(indexes)]
    return [f"{prefix}: {text}" for prefix in prefixes if (text := describe_unfinished(prefix, storage))]


def is_saved_model(path: str, storage: Storage) -> bool:
    """Tell whether a path is that of a SavedModel's directory, or of its ``saved_model.pb``."""
    if paths.basename(path) == SAVED_MODEL_FILENAME:
        return storage.exists(path)
    return storage.is_directory(path) and storage.exists(paths.join(path, SAVED_MODEL_FILENAME))


def is_frozen_graph(path: str, storage: Storage) -> bool:
    """Tell whether a path is that of a ``.pb`` file that is neither a SavedModel's nor a checkpoint's."""
    return (
        path.endswith(_GRAPH_SUFFIX)
        and paths.basename(path) != SAVED_MODEL_FILENAME
        and not storage.exists(index_filename(path))
        and storage.exists(path)
        and not storage.is_directory(path)
    )


def latest(directory: PathLike, /, *, allow_outside: bool = False, storage: Storage | None = None) -> str | None:
    """Return the prefix of the checkpoint that a directory's ``checkpoint`` file calls the latest.

    Args:
        directory: where the file is.
        allow_outside: follow a path that leads out of the directory; otherwise it stands for the checkpoint of the
            same name within, as after a move.
        storage: where the directory is; wherever the path leads by default.

    Returns:
        None if there is no such file, or no checkpoint where it points.

    Raises:
        FormatError: the file does not parse.

    Example:
        >>> latest("no/such/directory") is None
        True
    """
    from tfbundle.bundle.state_file import latest_prefix

    storage = storage or Anywhere()
    prefix = latest_prefix(storage.admit(directory), storage, allow_outside=allow_outside)
    return prefix if prefix is not None and _find_at(prefix, storage) is not None else None


def _latest_or_none(directory: str, storage: Storage) -> str | None:
    from tfbundle.bundle.state_file import latest_prefix

    try:
        return latest_prefix(directory, storage)
    except (FormatError, UnsupportedError):
        return None  # a damaged state file does not hide a bundle that can be found without it


def _explain_missing(path: str, storage: Storage) -> Exception:
    prefix = _prefix_candidates(path)[-1]
    if unfinished := describe_unfinished(prefix, storage):
        return BundleNotFoundError(f"Failed to find any matching files; {unfinished}", path)
    if storage.exists(path):
        return _explain_file(path, storage)
    if unpublished := describe_unpublished(path, storage):
        return BundleNotFoundError("; ".join(["Failed to find any matching files", *unpublished]), path)
    if not storage.can_list(path):
        return BundleNotFoundError(f"Failed to find any matching files; it is no prefix, and {_NO_LISTING}", path)
    directory, base = paths.split(prefix)
    names = storage.list_directory(directory)
    shards = [name for name in names if strip_data_suffix(name) == base]
    if shards:
        return BundleNotFoundError(
            f"Failed to find any matching files for {base}{INDEX_SUFFIX}: {shards[0]} is there, but without its "
            "index nobody knows the tensors in it",
            path,
        )
    import difflib

    known = [
        name.removesuffix(INDEX_SUFFIX) for name in names if name.endswith(INDEX_SUFFIX) if not parse_temporary(name)
    ]
    close = difflib.get_close_matches(base, known, 3) or known[:3]
    hint = f"found {', '.join(close)}" if close else "expected a prefix, a file of a checkpoint, or its directory"
    return BundleNotFoundError(f"Failed to find any matching files; {hint}", path)


def _explain_file(path: str, storage: Storage) -> Exception:
    """Say what a file is that is no part of a bundle with an index."""
    file = storage.open(path)
    try:
        check_not_pointer(file)
    except FormatError as error:
        return error
    finally:
        file.close()
    if (prefix := _prefix_candidates(path)[-1]) != path:
        missing = index_filename(paths.basename(prefix))
        return BundleNotFoundError(f"Failed to find any matching files for {missing}, which belongs to it", path)
    return UnsupportedError("neither a checkpoint's prefix nor one of its files", path)


def check_not_pointer(file: ReadableFile) -> None:
    """Refuse the stand-in that Git LFS leaves where it did not fetch a file.

    Raises:
        FormatError: the file is such a pointer.
    """
    if file.nbytes < 1024 and file.read(0, min(file.nbytes, len(_LFS_START))) == _LFS_START:
        raise FormatError("a Git LFS pointer instead of the file itself; fetch it with 'git lfs pull'", file.path)
