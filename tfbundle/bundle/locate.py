"""Finding the bundle a path means: prefix, any of its files, or a directory that holds it.

Source: TensorFlow ``python/checkpoint/checkpoint_management.py`` (``latest_checkpoint``); SavedModel's layout.
"""

from __future__ import annotations

import difflib
import os

from tfbundle.errors import BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.format.naming import (
    INDEX_SUFFIX,
    META_SUFFIX,
    index_filename,
    is_v1_shard_name,
    strip_data_suffix,
)
from tfbundle.format.state import MAX_STATE_NBYTES, STATE_FILENAME, CheckpointState, parse_state
from tfbundle.sstable.footer import FOOTER_NBYTES, TABLE_MAGIC
from tfbundle.storage.base import ReadableFile, Storage
from tfbundle.storage.local import LocalStorage

PathLike = str | os.PathLike[str]

SAVED_MODEL_FILENAME = "saved_model.pb"
_SAVED_MODEL_PREFIX = os.path.join("variables", "variables")
_LFS_START = b"version https://git-lfs"


def find_prefix(path: PathLike, storage: Storage) -> str:
    """Return the prefix of the bundle that ``path`` means.

    Args:
        path: a prefix; its ``.index``, ``.meta`` or a ``.data-…`` file; a ``checkpoint`` file; a directory with one of
            those, or with a single ``.index``; a SavedModel directory or its ``saved_model.pb``.
        storage: where to look.

    Raises:
        BundleNotFoundError: no bundle there; the message says what was found instead.
        UnsupportedError: it is another kind of file.
    """
    text = os.fspath(path)
    for prefix in _prefix_candidates(text):
        if storage.exists(index_filename(prefix)):
            return prefix
    if storage.is_directory(text):
        return _find_in_directory(text, storage)
    if os.path.basename(text) == STATE_FILENAME and storage.exists(text):
        return _find_in_directory(os.path.dirname(text), storage)
    if os.path.basename(text) == SAVED_MODEL_FILENAME and storage.exists(text):
        return _find_in_directory(os.path.dirname(text), storage)
    raise _explain_missing(text, storage)


def _prefix_candidates(path: str) -> list[str]:
    """Return the prefixes a path may mean, most literal first: dots and digits are part of a name."""
    candidates = [path]
    candidates += [path.removesuffix(suffix) for suffix in (INDEX_SUFFIX, META_SUFFIX) if path.endswith(suffix)]
    if (prefix := strip_data_suffix(path)) is not None:
        candidates.append(prefix)
    return candidates


def _find_in_directory(directory: str, storage: Storage) -> str:
    prefixes = (
        os.path.join(directory, _SAVED_MODEL_PREFIX),
        _latest_or_none(directory, storage),
        os.path.join(directory, ""),
    )
    for prefix in prefixes:
        if prefix is not None and storage.exists(index_filename(prefix)):
            return prefix
    names = storage.list_directory(directory)
    indexes = [name.removesuffix(INDEX_SUFFIX) for name in names if name.endswith(INDEX_SUFFIX)]
    if len(indexes) == 1:
        return os.path.join(directory, indexes[0])
    if indexes:
        raise BundleNotFoundError(
            f"Couldn't find 'checkpoint' file that names the latest of {len(indexes)} checkpoints; "
            f"give one of {', '.join(indexes[:8])}",
            directory,
        )
    if SAVED_MODEL_FILENAME in names:
        raise BundleNotFoundError("this SavedModel has no variables/variables.index", directory)
    raise BundleNotFoundError("Couldn't find 'checkpoint' file or checkpoints in given directory", directory)


def read_state(directory: str, storage: Storage) -> CheckpointState | None:
    """Return what the directory's ``checkpoint`` file says, None if there is no such file.

    Raises:
        FormatError: the file does not parse, or is far too large for one.
    """
    path = os.path.join(directory, STATE_FILENAME)
    if not storage.exists(path):
        return None
    file = storage.open(path)
    try:
        if file.nbytes > MAX_STATE_NBYTES:
            raise FormatError(f"{file.nbytes} bytes are too many for a checkpoint state file")
        return parse_state(file.read(0, file.nbytes).decode("utf-8"))
    except FormatError as error:
        raise error.add_path(path) from error
    except UnicodeDecodeError as error:
        raise FormatError(f"not a checkpoint state file: {error}", path) from error
    finally:
        file.close()


def latest_prefix(directory: str, storage: Storage) -> str | None:
    """Return the prefix that the directory's ``checkpoint`` file calls the latest, None if there is no such file.

    A path that leads out of the directory, as absolute ones do after a move, is replaced by the file of the same
    name within it.
    """
    state = read_state(directory, storage)
    if state is None:
        return None
    inside = not os.path.isabs(state.latest) and ".." not in state.latest.split(os.sep)
    return os.path.join(directory, state.latest if inside else os.path.basename(state.latest))


def latest(directory: PathLike, /, *, storage: Storage | None = None) -> str | None:
    """Return the prefix of the checkpoint that a directory's ``checkpoint`` file calls the latest.

    Returns:
        None if there is no such file, or no bundle where it points.

    Raises:
        FormatError: the file does not parse.

    Example:
        >>> latest("no/such/directory") is None
        True
    """
    storage = storage or LocalStorage()
    prefix = latest_prefix(os.fspath(directory), storage)
    return prefix if prefix is not None and storage.exists(index_filename(prefix)) else None


def _latest_or_none(directory: str, storage: Storage) -> str | None:
    try:
        return latest_prefix(directory, storage)
    except (FormatError, UnsupportedError):
        return None  # a damaged state file does not hide a bundle that can be found without it


def _explain_missing(path: str, storage: Storage) -> Exception:
    if storage.exists(path):
        return _explain_file(path, storage)
    directory, base = os.path.split(_prefix_candidates(path)[-1])
    names = storage.list_directory(directory)
    shards = [name for name in names if strip_data_suffix(name) == base]
    if shards:
        return BundleNotFoundError(
            f"Failed to find any matching files for {base}{INDEX_SUFFIX}: {shards[0]} is there, but without its "
            "index nobody knows the tensors in it",
            path,
        )
    if any(is_v1_shard_name(name) and name.startswith(base + "-") for name in names):
        return UnsupportedError("a sharded V1 checkpoint, which is not supported", path)
    known = [name.removesuffix(INDEX_SUFFIX) for name in names if name.endswith(INDEX_SUFFIX)]
    close = difflib.get_close_matches(base, known, 3) or known[:3]
    hint = f"there is {', '.join(close)}" if close else "expected a prefix, a file of a checkpoint, or its directory"
    return BundleNotFoundError(f"Failed to find any matching files; {hint}", path)


def _explain_file(path: str, storage: Storage) -> Exception:
    """Say what a file is that is no part of a bundle with an index."""
    file = storage.open(path)
    try:
        check_not_pointer(file)
        end = file.read(max(0, file.nbytes - FOOTER_NBYTES), min(FOOTER_NBYTES, file.nbytes))
    except FormatError as error:
        return error
    finally:
        file.close()
    if end.endswith(TABLE_MAGIC):
        return UnsupportedError("a V1 checkpoint (one table with all values), which is not supported", path)
    if (prefix := _prefix_candidates(path)[-1]) != path:
        missing = index_filename(os.path.basename(prefix))
        return BundleNotFoundError(f"Failed to find any matching files for {missing}, which belongs to it", path)
    return UnsupportedError("neither a checkpoint's prefix nor one of its files", path)


def check_not_pointer(file: ReadableFile) -> None:
    """Refuse the stand-in that Git LFS leaves where it did not fetch a file.

    Raises:
        FormatError: the file is such a pointer.
    """
    if file.nbytes < 1024 and file.read(0, min(file.nbytes, len(_LFS_START))) == _LFS_START:
        raise FormatError("a Git LFS pointer instead of the file itself; fetch it with 'git lfs pull'", file.path)
