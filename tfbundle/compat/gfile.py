"""``tf.io.gfile`` for the local file system.

Source: TensorFlow ``python/lib/io/file_io.py``, ``tsl/platform/default/posix_file_system.cc``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from stat import S_ISDIR
from typing import Any, NamedTuple

from tfbundle.compat.file_errors import translated
from tfbundle.compat.globbing import glob_paths, local_path
from tfbundle.compat.op_errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    OpError,
    UnimplementedError,
)
from tfbundle.compat.text import as_bytes, as_str_any, path_to_bytes, path_to_str
from tfbundle.errors import escape

Walked = tuple[str, list[str], list[str]]


class FileStatistics(NamedTuple):
    """What ``stat`` tells."""

    length: int
    mtime_nsec: int
    is_directory: bool


def _path(path: Any) -> str:
    return local_path(os.fsdecode(path_to_bytes(path)))


def exists(path: Any) -> bool:
    """Tell whether there is anything at a path.

    Raises:
        UnimplementedError: it is on another kind of file system.

    Example:
        >>> exists("no/such/file")
        False
    """
    return os.path.exists(_path(path))


def isdir(path: Any) -> bool:
    """Tell whether a path is a directory."""
    try:
        return os.path.isdir(_path(path))
    except UnimplementedError:
        return False


def glob(pattern: Any) -> list[str]:
    """Return the paths that match a pattern, or any of several."""
    patterns = [pattern] if isinstance(pattern, str) else pattern
    return [path for each in patterns for path in glob_paths(os.fsdecode(as_bytes(each)))]


def listdir(path: Any) -> list[str]:
    """Return the names in a directory.

    Raises:
        NotFoundError: there is no such directory.
    """
    if not isdir(path):
        raise NotFoundError(None, None, f"Could not find directory {path}")
    with translated(_path(path)):
        return os.listdir(_path(path))


def mkdir(path: Any) -> None:
    """Make a directory, if it is not there.

    Raises:
        NotFoundError: the directory it would be in is not there.
    """
    place = _path(path)
    with translated(place):
        if not os.path.exists(place):
            os.mkdir(place)


def makedirs(path: Any) -> None:
    """Make a directory and those above it, as far as they are not there."""
    place = _path(path)
    with translated(place):
        if os.path.exists(place) and not os.path.isdir(place):
            raise FailedPreconditionError(None, None, f"{escape(place)} is not a directory")
        os.makedirs(place, exist_ok=True)


def remove(path: Any) -> None:
    """Remove a file."""
    place = _path(path)
    with translated(place):
        os.unlink(place)


def rmtree(path: Any) -> None:
    """Remove a directory with all that is in it, or a file.

    Raises:
        NotFoundError: there is none.
    """
    place = _path(path)
    with translated(place):
        if os.path.isdir(place) and not os.path.islink(place):
            shutil.rmtree(place)
        else:
            os.unlink(place)


def copy(src: Any, dst: Any, overwrite: Any = False) -> None:
    """Copy a file.

    Raises:
        AlreadyExistsError: the other is there, and is not to be overwritten.
    """
    source, target = _path(src), _check_free(dst, overwrite)
    with translated(source):
        shutil.copyfile(source, target)


def rename(src: Any, dst: Any, overwrite: Any = False) -> None:
    """Rename a file.

    Raises:
        AlreadyExistsError: the other is there, and is not to be overwritten.
    """
    source, target = _path(src), _check_free(dst, overwrite)
    with translated(source):
        os.replace(source, target)


def _check_free(path: Any, overwrite: Any) -> str:
    place = _path(path)
    if not overwrite and os.path.exists(place):
        raise AlreadyExistsError(None, None, "file already exists")
    return place


def stat(path: Any) -> FileStatistics:
    """Return size and time of modification of a file.

    Raises:
        NotFoundError: there is none.
    """
    place = _path(path)
    with translated(place):
        status = os.stat(place)
    return FileStatistics(status.st_size, int(status.st_mtime) * 10**9, S_ISDIR(status.st_mode))


def join(path: Any, *paths: Any) -> Any:
    """Return the path of something below another."""
    return os.path.join(path, *paths)


def walk(top: Any, topdown: Any = True, onerror: Callable[[OpError], Any] | None = None) -> Iterator[Walked]:
    """Yield each directory below one, itself included, with the names of directories and of files in it."""
    folder = as_str_any(path_to_str(top))
    try:
        names = listdir(folder)
    except NotFoundError as error:
        if onerror:
            onerror(error)
        return
    folders = [name for name in names if isdir(os.path.join(folder, name))]
    here = folder, folders, [name for name in names if name not in folders]
    if topdown:
        yield here
    for name in folders:
        yield from walk(os.path.join(folder, name), topdown, onerror)
    if not topdown:
        yield here


def walk_in_order(top: Any, in_order: Any = True) -> Iterator[Walked]:
    """Walk, as TensorFlow 1 calls it."""
    return walk(top, in_order)
