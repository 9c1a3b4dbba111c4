"""Files of the local file system that are being written: beside their targets, until they are renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping

from tfbundle.errors import BundleExistsError
from tfbundle.storage.base import Buffer
from tfbundle.storage.descriptors import MAX_CALL_NBYTES, OpenFile, named
from tfbundle.storage.lock import mark_in_use, publishing_in, sync_directory
from tfbundle.storage.temporary import new_owner, temporary_path

_WRITEBACK_NBYTES = 8 << 20
_READ_BACK_NBYTES = 1 << 20
_SMALL_NBYTES = 1 << 16
_REOPEN_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE_FLAGS = _REOPEN_FLAGS | os.O_CREAT | os.O_EXCL
_LINK_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


def _do_nothing() -> None:
    """Do nothing."""


class LocalStagedFile(OpenFile):
    """A file being written under its temporary name. Closed, it opens again when it is needed."""

    def __init__(self, path: str, flags: int = _REOPEN_FLAGS) -> None:
        self._spare_buffers: list[bytearray] = []
        super().__init__(path, os.open(path, flags, 0o666))
        self._reopen_flags = flags & ~(os.O_CREAT | os.O_EXCL)

    @property
    def descriptor(self) -> int:
        """The open file."""
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, self._reopen_flags)
        return self._descriptor

    def close(self) -> None:
        """Release the descriptor and the memory: of files that are closed there may be thousands."""
        self._spare_buffers = []  # also where a signal came before __init__ did anything
        super().close()

    def reserve(self, nbytes: int) -> None:
        """Set the size and claim the space; a full disk shows here, before any work is done."""
        with named(self.path):
            os.ftruncate(self.descriptor, nbytes)
            if not nbytes or not hasattr(os, "posix_fallocate"):
                return
            try:
                os.posix_fallocate(self.descriptor, 0, nbytes)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise

    def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at ``offset``, and read it back."""
        view = memoryview(data).cast("B")
        with named(self.path):
            self._write(offset, view)
            self._read_back(offset, view)
        self._start_writeback(offset, offset + len(view))

    def _write(self, offset: int, view: memoryview) -> None:
        done = 0
        while done < len(view):
            count = os.pwrite(self.descriptor, view[done : done + MAX_CALL_NBYTES], offset + done)
            if not count:
                raise OSError(errno.EIO, f"nothing more can be written at {offset + done}")
            done += count

    def _read_back(self, offset: int, view: memoryview) -> None:
        """Compare what the storage holds now, while it is in cache, with what was written.

        Raises:
            OSError: it is something else.
        """
        is_small = len(view) <= _SMALL_NBYTES
        if is_small or not self._spare_buffers:
            buffer = bytearray(len(view) if is_small else _READ_BACK_NBYTES)
        else:
            buffer = self._spare_buffers.pop()
        with memoryview(buffer) as found:
            for start in range(0, len(view), _READ_BACK_NBYTES):
                piece = view[start : start + _READ_BACK_NBYTES]
                done = 0
                while done < len(piece):
                    count = os.preadv(self.descriptor, [found[done : len(piece)]], offset + start + done)
                    if not count:
                        break
                    done += count
                if done < len(piece) or not buffer.startswith(piece):
                    raise OSError(errno.EIO, f"the storage does not keep what is written to it, at {offset + start}")
        if not is_small:
            self._spare_buffers.append(buffer)

    def _start_writeback(self, start: int, end: int) -> None:
        """Let the disk begin with whole stretches that a write has completed, so that ``sync`` has little to wait for.

        Linux starts to write what it is told will not be needed, and keeps it in the page cache meanwhile.
        """
        stretch = end // _WRITEBACK_NBYTES * _WRITEBACK_NBYTES
        if start < stretch and hasattr(os, "posix_fadvise"):
            begin = start // _WRITEBACK_NBYTES * _WRITEBACK_NBYTES
            with contextlib.suppress(OSError):  # advice can be refused
                os.posix_fadvise(self.descriptor, begin, stretch - begin, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Make the contents durable."""
        with named(self.path):
            os.fsync(self.descriptor)


class LocalStage:
    """Staged files of one publication, renamed one after the other with the index last.

    A reader sees the old bundle, none, or the new one: what is replaced loses its index first. From then on there is
    only forward: an interrupt does not keep the files from their places, and if the machine does, they stay beside
    them, complete. Before that, ``discard`` removes everything: every name is noted before it is used, so that it is
    found whenever a signal interrupts.

    Args:
        replace: whether files may take the place of others.
        staged: files that an interrupted run has staged, each by the path it will have.
    """

    def __init__(self, *, replace: bool, staged: Mapping[str, str] | None = None) -> None:
        self._replace = replace
        self._owner = new_owner()
        self._temporaries = dict(staged or {})  # by the path each will have
        self._files = [LocalStagedFile(path) for path in self._temporaries.values()]
        self._made_directories: list[str] = []
        self._renaming: list[str] = []
        self._replaced = ""  # the path at which a file takes the place of another
        self._had_one = False  # there was one: if it is gone, nothing can be as it was
        self._last, self._when_done, self._is_done = "", _do_nothing, False  # of the publication
        self._in_use = -1  # a descriptor that marks the files as being written

    def foresee(self, last: str) -> None:
        """Do nothing: nothing is touched before ``publish``."""

    def create(self, path: str) -> LocalStagedFile:
        """Start the file that ``publish`` will put at ``path``; missing directories are made."""
        return self._keep(LocalStagedFile(self._name(path), _CREATE_FLAGS))

    def link(self, source: str, path: str) -> None:
        """Let ``publish`` put a hard link to ``source``, or to the file it is a symbolic link to, at ``path``."""
        temporary = self._name(path)
        os.link(os.path.realpath(source), temporary)
        self._keep(LocalStagedFile(temporary, _LINK_FLAGS)).close()

    def publish(self, last: str, *, clean_up: Callable[[], None] = _do_nothing) -> None:
        """Sync, then rename every file, the one at ``last`` after all others; an old one there goes first."""
        with self._ready(last, clean_up):
            if not self._replace:
                self._check_vacant()
            elif os.path.lexists(last):
                self._replaced, self._had_one = last, True
                os.unlink(last)
                sync_directory(os.path.dirname(last))
            self._rename_all(last)

    def publish_over(
        self, last: str, *, check: Callable[[], None] = _do_nothing, clean_up: Callable[[], None] = _do_nothing
    ) -> None:
        """Sync, then rename every file, the one at ``last`` after all others are durable, over what is there."""
        with self._ready(last, clean_up):
            check()
            self._replaced, self._had_one = last, os.path.lexists(last)
            self._rename_all(last)

    @contextlib.contextmanager
    def _ready(self, last: str, clean_up: Callable[[], None]) -> Iterator[None]:
        """Make everything durable, and let the block publish it while nobody else publishes here."""
        self._last, self._when_done = last, clean_up
        for file in self._files:
            file.sync()
            file.close()
        for directory in {os.path.dirname(path) for path in (*self._temporaries, *self._made_directories)}:
            sync_directory(directory)
        with publishing_in(os.path.dirname(last)):
            try:
                yield
            except OSError as error:
                if not self._must_go_on():
                    raise
                self._try_once_more(last, error)
            self._is_done = True
            clean_up()
            self._forget()

    def _check_vacant(self) -> None:
        for path in self._temporaries:
            if os.path.lexists(path):
                raise BundleExistsError("appeared while its replacement was written; nothing was changed", path)

    def _rename_all(self, last: str) -> None:
        """Rename what is not renamed yet, the file at ``last`` when all others are durable."""
        for path in sorted(self._temporaries.keys() - {last}):
            self._rename(path)
        if len(self._temporaries) > 1:
            sync_directory(os.path.dirname(last))
        self._rename(last)
        sync_directory(os.path.dirname(last))

    def _rename(self, path: str) -> None:
        if path in self._renaming and not os.path.lexists(self._temporaries[path]):
            return
        self._renaming.append(path)
        os.rename(self._temporaries[path], path)
        if os.path.lexists(self._temporaries[path]):  # two links to one file, which rename leaves both
            os.unlink(self._temporaries[path])

    def _must_go_on(self) -> bool:
        """Tell whether the old file at the last path is gone, so that nothing can be as it was."""
        path = self._replaced
        if not path:
            return False
        return not os.path.lexists(self._temporaries[path]) or (self._had_one and not os.path.lexists(path))

    def _try_once_more(self, last: str, error: OSError) -> None:
        try:
            self._rename_all(last)
        except OSError as again:
            is_there = not os.path.lexists(self._temporaries[last])
            self._forget()
            state = (
                "the new files are all in place, but may not survive a power failure"
                if is_there
                else "what was here has lost its index, and the new files are complete, some under temporary names: "
                "when this is mended, tfbundle verify --finish puts those of a checkpoint in place; files of an export "
                "are written again by the same command"
            )
            raise OSError(again.errno, f"{again.strerror}; {state}", again.filename or last) from error

    def discard(self) -> None:
        """Remove temporary files, and directories made for them; or finish what can only be finished."""
        for file in self._files:
            with contextlib.suppress(OSError):  # of a file that is to go
                file.close()
        if self._is_done or self._must_go_on():
            with contextlib.suppress(OSError):  # then everything stays where it is
                self._go_on()
            self._forget()
        for path, temporary in self._temporaries.items():
            with contextlib.suppress(OSError):  # the others can go
                self._remove(path, temporary)
        for directory in reversed(self._made_directories):
            with contextlib.suppress(OSError):  # somebody else put a file there
                os.rmdir(directory)
        self._forget()

    def _go_on(self) -> None:
        """Finish a publication that was interrupted when it could only be finished."""
        with publishing_in(os.path.dirname(self._last)):
            self._rename_all(self._last)
            self._when_done()

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
        self._replaced, self._had_one = "", False
        self._last, self._when_done, self._is_done = "", _do_nothing, False
        mark, self._in_use = self._in_use, -1
        if mark >= 0:
            with contextlib.suppress(OSError):
                os.close(mark)

    def _name(self, path: str) -> str:
        """Choose the temporary name of the file that will be at ``path``."""
        self._make_directories(os.path.dirname(path))
        self._temporaries[path] = temporary_path(path, self._owner)
        return self._temporaries[path]

    def _keep(self, file: LocalStagedFile) -> LocalStagedFile:
        self._files.append(file)
        if self._in_use < 0:
            self._in_use = os.dup(file.descriptor)
            mark_in_use(self._in_use)
        return file

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
