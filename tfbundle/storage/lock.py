"""Advisory locks of the operating system: one publication at a time in a directory, and who still writes a file.

They vanish with the process that holds them, however it ends. Where a file system has none, everything goes on without.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.02
_NO_DESCRIPTOR = -1
_PROBE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


@contextlib.contextmanager
def publishing_in(directory: str) -> Iterator[None]:
    """Keep other runs from publishing in a directory meanwhile; a publication takes milliseconds.

    Raises:
        OSError: somebody holds the directory's lock for half a minute.
    """
    descriptor = _open_directory(directory)
    try:
        if descriptor != _NO_DESCRIPTOR:
            _lock_patiently(descriptor, directory)
        yield
    finally:
        if descriptor != _NO_DESCRIPTOR:
            with contextlib.suppress(OSError):  # a child may have a copy of the descriptor
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            _close(descriptor)


def sync_directory(directory: str) -> None:
    """Make the names in a directory durable, as far as it and its file system allow."""
    descriptor = _open_directory(directory)
    if descriptor == _NO_DESCRIPTOR:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            error.filename = directory
            raise
    finally:
        _close(descriptor)


def mark_in_use(descriptor: int) -> None:
    """Let ``is_in_use`` see that a file is being written, until this descriptor and its copies are closed."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


@contextlib.contextmanager
def hold(path: str) -> Iterator[None]:
    """Let a file count as in use while the block runs."""
    descriptor = os.open(path, _PROBE_FLAGS)
    try:
        mark_in_use(descriptor)
        yield
    finally:
        _close(descriptor)


def is_in_use(path: str) -> bool:
    """Tell whether a process still writes a file; yes, where that cannot be found out."""
    try:
        descriptor = os.open(path, _PROBE_FLAGS)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        _close(descriptor)
    return False


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # nothing was written to it
        os.close(descriptor)


def _open_directory(directory: str) -> int:
    """Open a directory, also one that may be searched and written, but not listed, and so not opened."""
    try:
        return os.open(directory or os.curdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return _NO_DESCRIPTOR


def _lock_patiently(descriptor: int, directory: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                reason = "another process holds the lock (flock) of this directory; run again when it is done"
                raise OSError(errno.EAGAIN, reason, directory) from None
        except OSError:
            return None  # no such locks here
        time.sleep(_PAUSE_SECONDS)
