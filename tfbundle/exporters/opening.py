"""Finding out what there is to import, by what files hold, and then by what they are called."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from tfbundle.bundle.locate import PathLike, check_not_pointer
from tfbundle.errors import BundleNotFoundError, UnsupportedError
from tfbundle.exporters.arrays import Source
from tfbundle.exporters.npy_frame import LIST_NAME
from tfbundle.exporters.npy_source import open_npy, open_npy_directory
from tfbundle.exporters.npz_frame import MEMBER_SUFFIX, SUFFIX
from tfbundle.exporters.npz_source import open_npz
from tfbundle.exporters.safetensors_frame import INDEX_SUFFIX, is_shard
from tfbundle.exporters.safetensors_frame import SUFFIX as SAFETENSORS_SUFFIX
from tfbundle.exporters.safetensors_source import open_safetensors, open_safetensors_index
from tfbundle.exporters.zip_records import END_MAGIC, LOCAL_MAGIC
from tfbundle.format.naming import INDEX_SUFFIX as CHECKPOINT_SUFFIX
from tfbundle.format.naming import index_filename
from tfbundle.format.npy import NPY_MAGIC
from tfbundle.storage import paths
from tfbundle.storage.base import Storage
from tfbundle.storage.temporary import parse_temporary

_NOTHING_TO_DO = "a checkpoint already; import takes safetensors, .npz and .npy files"


def open_source(path: PathLike, storage: Storage) -> Source:
    """Return what a path leads to: a safetensors file or index, a ``.npz`` archive, a ``.npy`` file, or a directory.

    A directory holds ``.npy`` files, or one safetensors file or index, or one archive.

    Raises:
        BundleNotFoundError: nothing there, or nothing of this kind.
        FormatError: it is damaged.
        UnsupportedError: it is a checkpoint.
    """
    text = storage.admit(path)
    if storage.is_directory(text):
        return _open_directory(text, storage)
    if not storage.exists(text) and storage.exists(index_filename(text)):
        raise UnsupportedError(_NOTHING_TO_DO, index_filename(text))
    with closing(storage.open(text)) as file:
        check_not_pointer(file)
        start = file.read(0, min(file.nbytes, len(NPY_MAGIC)))
    if start.startswith((LOCAL_MAGIC, END_MAGIC)) or text.endswith(SUFFIX):
        return open_npz(text, storage)
    if start.startswith(NPY_MAGIC) or text.endswith(MEMBER_SUFFIX):
        return open_npy(text, storage)
    if text.endswith(".json"):
        return open_safetensors_index(text, storage)
    if text.endswith(CHECKPOINT_SUFFIX):
        raise UnsupportedError(_NOTHING_TO_DO, text)
    return open_safetensors(text, storage)


def _open_directory(directory: str, storage: Storage) -> Source:
    names = storage.list_directory(directory)
    if LIST_NAME in names:
        return open_npy_directory(directory, storage)
    for suffix in (INDEX_SUFFIX, SAFETENSORS_SUFFIX, SUFFIX):
        found = [name for name in names if name.endswith(suffix)]
        if len(found) == 1:
            _check_alone(found[0], directory)
            return open_source(paths.join(directory, found[0]), storage)
        if found:
            raise BundleNotFoundError(f"several files to import; give one of {', '.join(found[:8])}", directory)
    if any(name.endswith(MEMBER_SUFFIX) for name in names):
        _check_finished(names, directory)
        return open_npy_directory(directory, storage)
    raise BundleNotFoundError("no safetensors, .npz or .npy file in this directory", directory)


def _check_alone(name: str, directory: str) -> None:
    """Refuse one of several safetensors files, which alone would be a part of a checkpoint."""
    if is_shard(name):
        raise BundleNotFoundError(f"{name} is one of several, and their index is missing", directory)


def _check_finished(names: Iterable[str], directory: str) -> None:
    """Refuse ``.npy`` files whose list is not in its place yet: some may be missing, or of an older export."""
    for name in names:
        temporary = parse_temporary(name)
        if temporary is not None and temporary.path == LIST_NAME:
            reason = f"an export did not finish; {name} is not in its place, so that files may be missing or older"
            raise BundleNotFoundError(reason, directory)
