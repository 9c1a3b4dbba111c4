"""Files of the local file system.

Sources are read with ``preadv``, never mapped: a mapped file that another process truncates kills the reader. Staged
files stand beside their targets as ``<name>.tmp-<pid>-<random>`` until they are renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from tfbundle.errors import BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.storage.base import check_range
from tfbundle.storage.descriptors import MAX_CALL_NBYTES, OpenFile, named
from tfbundle.storage.local_stage import LocalStage, LocalStagedFile


class LocalFile(OpenFile):
    """A regular file, open for reading."""

    def __init__(self, path: str, descriptor: int) -> None:
        super().__init__(path, descriptor)
        self._opened_as = _identity(descriptor)
        self.nbytes = os.fstat(descriptor).st_size

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
        """Raise FormatError if size or modification time are no longer what they were."""
        if _identity(self._descriptor) != self._opened_as:
            raise FormatError("the file changed while it was read; run again when nothing writes to it", self.path)


class LocalStorage:
    """The local file system. Stateless; paths are those of the operating system."""

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
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnsupportedError("not a regular file", path)
        return LocalFile(path, descriptor)

    def open_staged(self, path: str) -> LocalStagedFile:
        """Open a staged file again for writing."""
        return LocalStagedFile(path, os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at ``path``, a dangling link included."""
        return os.path.lexists(path)

    def is_directory(self, path: str) -> bool:
        """Tell whether ``path`` is a directory or a link to one."""
        return os.path.isdir(path)

    def is_same(self, left: str, right: str) -> bool:
        """Tell whether two paths lead to the same existing file, by whatever links."""
        try:
            return os.path.samefile(left, right)
        except OSError:
            return False

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; none if it cannot be listed."""
        try:
            return sorted(os.listdir(path or "."))
        except OSError:
            return []

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def remove_empty_directory(self, path: str) -> None:
        """Remove a directory if it is there and empty."""
        with contextlib.suppress(OSError):
            os.rmdir(path)

    def stage(self, *, replace: bool) -> LocalStage:
        """Start a set of files."""
        return LocalStage(replace=replace)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns
