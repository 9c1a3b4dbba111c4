"""Files of the local file system.

Sources are read with ``preadv``, never mapped: a mapped file that another process truncates kills the reader. Staged
files stand beside their targets as ``<name>.tmp-<pid>-<random>`` until they are renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from tfbundle.errors import BundleExistsError, BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.storage.base import Buffer, check_range

_MAX_CALL_NBYTES = 1 << 30  # the kernel moves at most 2 GiB less a page in one call
_WRITEBACK_NBYTES = 8 << 20
_CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class _OpenFile:
    """A file's path and descriptor."""

    _descriptor = -1  # until __init__ is done

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def close(self) -> None:
        """Release the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class LocalFile(_OpenFile):
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
            with _named(self.path):
                count = os.preadv(self._descriptor, [buffer[done : done + _MAX_CALL_NBYTES]], offset + done)
            if not count:
                check_range(self.path, offset, len(buffer), offset + done)
            done += count

    def check_unchanged(self) -> None:
        """Raise FormatError if size or modification time are no longer what they were."""
        if _identity(self._descriptor) != self._opened_as:
            raise FormatError("the file changed while it was read; run again when nothing writes to it", self.path)


class LocalStagedFile(_OpenFile):
    """A file being written under its temporary name."""

    def reserve(self, nbytes: int) -> None:
        """Set the size and claim the space; a full disk shows here, before any work is done."""
        with _named(self.path):
            os.ftruncate(self._descriptor, nbytes)
            if not nbytes or not hasattr(os, "posix_fallocate"):
                return
            try:
                os.posix_fallocate(self._descriptor, 0, nbytes)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise

    def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data).cast("B")
        start = offset
        while len(view):
            with _named(self.path):
                count = os.pwrite(self._descriptor, view[:_MAX_CALL_NBYTES], offset)
            view = view[count:]
            offset += count
        self._start_writeback(start, offset)

    def _start_writeback(self, start: int, end: int) -> None:
        """Let the disk begin with whole stretches that a write has completed, so that ``sync`` has little to wait for.

        Linux starts to write what it is told will not be needed, and keeps it in the page cache meanwhile.
        """
        stretch = end // _WRITEBACK_NBYTES * _WRITEBACK_NBYTES
        if start < stretch and hasattr(os, "posix_fadvise"):
            begin = start // _WRITEBACK_NBYTES * _WRITEBACK_NBYTES
            with contextlib.suppress(OSError):  # advice can be refused
                os.posix_fadvise(self._descriptor, begin, stretch - begin, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Make the contents durable."""
        with _named(self.path):
            os.fsync(self._descriptor)


class LocalStage:
    """Staged files of one publication, renamed one after the other with the index last.

    A reader sees the old bundle, none, or the new one: what is replaced loses its index first. Every name is noted
    before it is used, so that ``discard`` finds it whenever a signal interrupts.
    """

    def __init__(self, *, replace: bool) -> None:
        self._replace = replace
        self._temporaries: dict[str, str] = {}  # by the path each will have
        self._files: list[LocalStagedFile] = []
        self._made_directories: list[str] = []
        self._renaming: list[str] = []
        self._over = ""  # the path at which a file takes the place of another

    def create(self, path: str) -> LocalStagedFile:
        """Start the file that ``publish`` will put at ``path``; missing directories are made."""
        temporary = self._name(path)
        return self._keep(LocalStagedFile(temporary, os.open(temporary, _CREATE_FLAGS, 0o666)))

    def link(self, source: str, path: str) -> None:
        """Let ``publish`` put a hard link to ``source``, or to the file it is a symbolic link to, at ``path``."""
        temporary = self._name(path)
        os.link(os.path.realpath(source), temporary)
        self._keep(LocalStagedFile(temporary, os.open(temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)))

    def publish(self, last: str) -> None:
        """Sync, then rename every file, the one at ``last`` after all others."""
        self._sync_files()
        directory = os.path.dirname(last) or "."
        self._clear_the_way(last, directory)
        for path in sorted(self._temporaries, key=lambda path: path == last):
            self._renaming.append(path)
            os.rename(self._temporaries[path], path)
        _sync_directory(directory)
        self._forget()

    def publish_over(self, last: str) -> None:
        """Sync, then rename every file, the one at ``last`` after all others are durable, over what is there."""
        self._sync_files()
        directory = os.path.dirname(last) or "."
        for path in sorted(self._temporaries.keys() - {last}):
            self._renaming.append(path)
            os.rename(self._temporaries[path], path)
        _sync_directory(directory)
        self._over = last
        os.rename(self._temporaries[last], last)
        _sync_directory(directory)
        self._forget()

    def _sync_files(self) -> None:
        for file in self._files:
            file.sync()
            file.close()

    def discard(self) -> None:
        """Remove temporary files, and directories made for them."""
        for file in self._files:
            file.close()
        if self._over and not os.path.lexists(self._temporaries[self._over]):
            self._forget()  # the last file took its place, so that the others are in use
        for path, temporary in self._temporaries.items():
            self._remove(path, temporary)
        for directory in reversed(self._made_directories):
            with contextlib.suppress(OSError):  # somebody else put a file there
                os.rmdir(directory)
        self._forget()

    def _remove(self, path: str, temporary: str) -> None:
        try:
            os.unlink(temporary)
        except FileNotFoundError:  # never made, or renamed
            if path in self._renaming:
                os.unlink(path)

    def _forget(self) -> None:
        self._temporaries.clear()
        self._files.clear()
        self._made_directories.clear()
        self._renaming.clear()
        self._over = ""

    def _name(self, path: str) -> str:
        """Choose the temporary name of the file that will be at ``path``."""
        self._make_directories(os.path.dirname(path))
        self._temporaries[path] = f"{path}.tmp-{os.getpid()}-{os.urandom(4).hex()}"
        return self._temporaries[path]

    def _keep(self, file: LocalStagedFile) -> LocalStagedFile:
        self._files.append(file)
        return file

    def _clear_the_way(self, last: str, directory: str) -> None:
        if self._replace:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(last)
                _sync_directory(directory)
            return
        for path in self._temporaries:
            if os.path.lexists(path):
                raise BundleExistsError("appeared while its replacement was written; nothing was changed", path)

    def _make_directories(self, directory: str) -> None:
        missing = []
        while directory and not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory.rstrip(os.sep))
        for path in reversed(missing):
            self._made_directories.append(path)
            try:
                os.mkdir(path)
            except FileExistsError:
                self._made_directories.pop()  # somebody else's
                if not os.path.isdir(path):
                    raise


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
        except (OSError, ValueError):  # the latter for a NUL in the path
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


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Put the path into an OSError from a call that knows only a descriptor."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
