"""Files of the local file system.

Sources are read with ``preadv``, never mapped: a mapped file that another process truncates kills the reader. Staged
files stand beside their targets as ``<name>.tmp-<pid>-<random>`` until they are renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Mapping

from tfbundle.errors import BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.storage.base import Identity, check_range
from tfbundle.storage.descriptors import MAX_CALL_NBYTES, OpenFile, named
from tfbundle.storage.local_stage import LocalStage, LocalStagedFile
from tfbundle.storage.lock import hold, is_in_use, publishing_in


class LocalFile(OpenFile):
    """A regular file, open for reading."""

    def __init__(self, path: str, descriptor: int) -> None:
        super().__init__(path, descriptor)
        with named(path):
            status = os.fstat(descriptor)
        self.is_regular = stat.S_ISREG(status.st_mode)
        self._opened_as = _identity(status)
        self.nbytes = status.st_size

    def expect(self, extents: Iterable[tuple[int, int]]) -> None:
        """Do nothing: the system reads ahead by itself."""

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return exactly ``nbytes`` bytes, or raise TruncatedError."""
        check_range(self.path, offset, nbytes, self.nbytes)
        buffer = bytearray(nbytes)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer``, or raise TruncatedError."""
        check_range(self.path, offset, len(buffer), self.nbytes)
        done = 0
        while done < len(buffer):
            with named(self.path):
                count = os.preadv(self._descriptor, [buffer[done : done + MAX_CALL_NBYTES]], offset + done)
            if not count:
                check_range(self.path, offset, len(buffer), offset + done)
            done += count

    def check_unchanged(self) -> None:
        """Raise FormatError if size or modification time are no longer what they were, or another file is there now.

        A file that was only removed meanwhile has been read as it was.
        """
        with named(self.path):
            status = os.fstat(self._descriptor)
        if _identity(status) != self._opened_as or self._is_replaced():
            raise FormatError("the file changed while it was read; run again when nothing writes to it", self.path)

    def _is_replaced(self) -> bool:
        try:
            return _identity(os.stat(self.path)) != self._opened_as
        except FileNotFoundError:
            return False


class LocalStorage:
    """The local file system. Stateless; paths are those of the operating system."""

    def admit(self, path: str | os.PathLike[str]) -> str:
        """Return a path as text."""
        return os.fspath(path)

    def check_writable(self, path: str) -> None:
        """Refuse nothing: whether it can be written to shows when it is tried."""

    def can_list(self, path: str) -> bool:
        """Return True."""
        return True

    def open(self, path: str) -> LocalFile:
        """Open a regular file without waiting for pipes."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise BundleNotFoundError("No such file or directory", path) from None
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            raise UnsupportedError("not a regular file", path) from None  # a socket
        except ValueError as error:  # a NUL in the path
            raise BundleNotFoundError(f"not a path: {error}", ascii(path)) from None
        file = LocalFile(path, descriptor)
        if not file.is_regular:
            file.close()
            raise UnsupportedError("not a regular file", path)
        return file

    def open_staged(self, path: str) -> LocalStagedFile:
        """Open a staged file again for writing."""
        return LocalStagedFile(path)

    def absolute(self, path: str) -> str:
        """Return a path that does not depend on the working directory."""
        return os.path.abspath(path)

    def replaces_at_once(self, path: str) -> bool:
        """Return True: files are renamed."""
        return True

    def is_in_use(self, path: str) -> bool:
        """Tell whether a process still writes the files that were staged with the one at ``path``."""
        return is_in_use(path)

    def publishing_in(self, directory: str) -> contextlib.AbstractContextManager[None]:
        """Let nobody publish in a directory while the block runs."""
        return publishing_in(directory)

    def hold(self, path: str) -> contextlib.AbstractContextManager[None]:
        """Let a file count as in use while the block runs."""
        return hold(path)

    def free_nbytes(self, path: str) -> int | None:
        """Return how many bytes can be written where ``path`` is or will be; None where that is not known."""
        while path and not os.path.isdir(path):
            path = os.path.dirname(path.rstrip(os.sep))
        try:
            status = os.statvfs(path or os.curdir)
        except OSError:
            return None
        return status.f_bavail * status.f_frsize if status.f_blocks else None

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at ``path``, a dangling link included; raise OSError if nobody can tell."""
        try:
            os.lstat(path)
        except (OSError, ValueError) as error:
            if not _is_absence(error):
                raise
            return False
        return True

    def identity(self, path: str) -> Identity | None:
        """Return device, number, size and modification time of the file at ``path``; None if there is none."""
        try:
            return _identity(os.stat(path))
        except (OSError, ValueError) as error:
            if not _is_absence(error):
                raise
            return None

    def is_directory(self, path: str) -> bool:
        """Tell whether ``path`` is a directory or a link to one; raise OSError if nobody can tell."""
        try:
            return stat.S_ISDIR(os.stat(path).st_mode)
        except (OSError, ValueError) as error:
            if not _is_absence(error):
                raise
            return False

    def is_same(self, left: str, right: str) -> bool:
        """Tell whether two paths lead to the same existing file, by whatever links."""
        try:
            return os.path.samefile(left, right)
        except (OSError, ValueError) as error:
            if not _is_absence(error):
                raise
            return False

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; none if it is none, or may not be listed."""
        try:
            return sorted(os.listdir(path or "."))
        except (OSError, ValueError) as error:
            if isinstance(error, PermissionError) or _is_absence(error):
                return []
            raise

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def remove_empty_directory(self, path: str) -> None:
        """Remove a directory if it is there and empty."""
        with contextlib.suppress(OSError):
            os.rmdir(path)

    def stage(self, *, replace: bool, staged: Mapping[str, str] | None = None) -> LocalStage:
        """Start a set of files, or take over one that was staged."""
        return LocalStage(replace=replace, staged=staged)


def _is_absence(error: OSError | ValueError) -> bool:
    """Tell whether an error says that nothing is at a path, not that nobody can tell."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
    return True  # a NUL in the path


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
