"""Writing files of a remote storage: uploaded from first to last byte, and visible only when everything is there.

Where the file system can hold back a file that is uploaded (``autocommit=False``, as those of the object stores can),
none becomes visible before all of them are complete; where it cannot, each does when its last byte is written. The file
that makes the others a bundle comes last in any case, and one that was there goes first.

Source: fsspec ``spec.py`` (``AbstractBufferedFile.commit``, ``discard``).
"""

from __future__ import annotations

import contextlib
import errno
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tfbundle.errors import BundleExistsError, BundleNotFoundError
from tfbundle.storage import paths
from tfbundle.storage.base import Buffer
from tfbundle.storage.remote_calls import call_once, to_the_end

if TYPE_CHECKING:
    from tfbundle.storage.remote import RemoteStorage

PART_NBYTES = 16 << 20
"""What one request of an upload carries, unless the file would have too many parts."""

WHOLE_NBYTES = 8 << 20
"""The largest file that is kept in memory and written in one request."""

_MOST_PARTS = 9_000  # of the 10,000 that object stores allow
_MOST_KEPT_NBYTES = 32 << 20  # in files that are small enough for one request
_SPOOL_NBYTES = 8 << 20  # of pieces that came too early, before they go to a temporary file
_ZEROS = bytes(1 << 20)


def _do_nothing() -> None:
    """Do nothing."""


class _Spool:
    """Pieces of a file that came before their turn, in memory or, where there are many, in a temporary file."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, int]] = {}  # in the file, and sizes, by offset
        self._file: Any = None

    def put(self, offset: int, view: memoryview) -> None:
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(_SPOOL_NBYTES)  # noqa: SIM115
        self._places[offset] = self._file.seek(0, 2), len(view)
        self._file.write(view)

    def has(self, offset: int) -> bool:
        return offset in self._places

    def first(self, end: int) -> int:
        """Return the first offset at which there is a piece; ``end`` if there is none."""
        return min(self._places, default=end)

    def take(self, offset: int) -> Iterator[bytes]:
        place, rest = self._places.pop(offset)
        self._file.seek(place)
        while rest:
            piece = self._file.read(min(rest, len(_ZEROS)))
            rest -= len(piece)
            yield piece

    def clear(self) -> None:
        self._places.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


class RemoteStagedFile:
    """A file being written. Pieces that come before their turn wait, in a temporary file if they are large.

    Args:
        storage: where it goes.
        path: its URL.
        before_upload: is called before anything of it may become visible.
    """

    def __init__(self, storage: RemoteStorage, path: str, before_upload: Callable[[], None]) -> None:
        self.path = path
        self.is_visible = False
        self._storage = storage
        self._before_upload = before_upload
        self._nbytes = 0  # as reserved
        self._end = 0  # of what is written without a gap
        self._kept: bytearray | None = bytearray()
        self._upload: Any = None
        self._early = _Spool()
        self._lock = threading.Lock()

    @property
    def kept_nbytes(self) -> int:
        """How much of it is in memory for want of an upload."""
        return len(self._kept) if self._kept is not None else 0

    def reserve(self, nbytes: int) -> None:
        """Remember the size: nothing can be claimed."""
        self._nbytes = nbytes

    def sync(self) -> None:
        """Do nothing: what is uploaded is durable when it is committed."""

    def close(self) -> None:
        """Do nothing: whoever else writes to it goes on with the same upload."""

    def write_at(self, offset: int, data: Buffer) -> None:
        """Take a piece; what was written cannot be written again."""
        view = memoryview(data).cast("B")
        with self._lock:
            if offset < self._end:
                raise OSError(errno.ESPIPE, f"byte {offset} is uploaded already", self.path)
            if offset > self._end:
                self._early.put(offset, view)
                return
            self._append(view)
            self._append_early()

    def _append_early(self) -> None:
        """Go on with what came before its turn."""
        while self._early.has(self._end):
            for piece in self._early.take(self._end):
                self._append(memoryview(piece))

    def _append(self, view: memoryview) -> None:
        if self._kept is not None and len(self._kept) + len(view) <= WHOLE_NBYTES:
            self._kept += view
        else:
            self.start_upload()
            self._call(self._upload.write, view)
        self._end += len(view)
        if self._upload is not None and self._end == self._nbytes:
            self._call(self._upload.close)

    def start_upload(self) -> None:
        """Upload what is in memory, and go on so."""
        if self._upload is not None:
            return
        self._before_upload()
        self._upload = self._call(self._open_upload)
        kept, self._kept = self._kept, None
        if kept:
            self._call(self._upload.write, memoryview(kept))
            if self._end == self._nbytes:
                self._call(self._upload.close)

    def _open_upload(self) -> Any:
        filesystem, name = self._storage.filesystem(self.path), self._storage.name_of(self.path)
        part_nbytes = max(PART_NBYTES, -(-self._nbytes // _MOST_PARTS // len(_ZEROS)) * len(_ZEROS))
        return filesystem.open(name, "wb", block_size=part_nbytes, autocommit=False)

    def finish(self) -> None:
        """Upload the rest; holes that nobody wrote to become zeros."""
        with self._lock:
            while self._end < (stop := self._early.first(self._nbytes)):
                while self._end < stop:
                    self._append(memoryview(_ZEROS)[: stop - self._end])
                self._append_early()
            if self._upload is not None and not getattr(self._upload, "closed", False):
                self._call(self._upload.close)
            self._early.clear()

    def commit(self) -> None:
        """Make the file visible, and look whether it is what was written.

        Raises:
            OSError: it is not.
        """
        self._storage.forget(self.path)
        self.is_visible = True  # as far as anybody knows, if this fails
        if self._upload is None:
            data = bytes(self._kept or b"")
            self._storage.call(self.path, lambda filesystem, name: filesystem.pipe_file(name, data))
            self._check_content(data)
            return
        if _can_hold_back(self._upload):
            self._call(self._upload.commit)
        self._upload = None
        self._check_size()

    def _check_size(self) -> None:
        if (found := self._storage.nbytes_at(self.path)) != self._end:
            self._complain(f"it has {found} bytes, {self._end} were written")

    def _check_content(self, data: bytes) -> None:
        if not data:
            self._check_size()
            return
        end = len(data) + 1  # one byte more than there should be
        found = self._storage.call(self.path, lambda filesystem, name: filesystem.cat_file(name, start=0, end=end))
        if found != data:
            self._complain("reading it again gives something else")

    def _complain(self, what: str) -> None:
        raise OSError(errno.EIO, f"the storage does not keep what is written to it: {what}", self.path)

    def discard(self) -> None:
        """Give the upload up; remove what is visible of it."""
        with self._lock:
            upload, self._upload, self._kept = self._upload, None, bytearray()
            self._early.clear()
        if upload is not None:
            with contextlib.suppress(OSError, BundleNotFoundError):
                self._call(upload.discard)
            if not _can_hold_back(upload):
                self.is_visible = True
                with contextlib.suppress(AttributeError):  # of a file that is never closed
                    upload.closed = True  # or it would be completed when it is forgotten

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return call_once(lambda: function(*arguments), self.path, hide=self._storage.hide)


class RemoteStage:
    """Files that are published together: all of them uploaded, then the last one."""

    def __init__(self, storage: RemoteStorage, *, replace: bool) -> None:
        self._storage = storage
        self._replace = replace
        self._files: dict[str, RemoteStagedFile] = {}
        self._links: dict[str, str] = {}  # by their new paths
        self._linked: list[str] = []  # those that are there
        self._foreseen = ""
        self._is_bare = False  # the file that was to be replaced is gone
        self._last = ""  # the file that was published last, or may have been
        self._lock = threading.Lock()

    def foresee(self, last: str) -> None:
        """Remember which file will be published last."""
        self._foreseen = last

    def create(self, path: str) -> RemoteStagedFile:
        """Start the file that will be at ``path``."""
        self._storage.check_writable(path)
        if sum(file.kept_nbytes for file in self._files.values()) > _MOST_KEPT_NBYTES:
            for file in self._files.values():
                if file.kept_nbytes:
                    file.start_upload()
        self._files[path] = RemoteStagedFile(self._storage, path, lambda: self._before_upload(path))
        self._storage.keep_staged(path, self._files[path])
        return self._files[path]

    def _before_upload(self, path: str) -> None:
        """Take an old bundle away before anything of it is overwritten, where uploads cannot be held back."""
        if self._replace and path != self._foreseen and not self._storage.replaces_at_once(path):
            with self._lock:
                self._make_bare(self._foreseen)

    def _make_bare(self, last: str) -> None:
        if last and not self._is_bare:
            self._is_bare = self._storage.exists(last)
            self._storage.remove(last)

    def link(self, source: str, path: str) -> None:
        """Let ``publish`` put a copy, made by the storage itself, at ``path``.

        Raises:
            OSError: ``source`` is elsewhere.
        """
        if not paths.is_url(source) or self._storage.filesystem(source) is not self._storage.filesystem(path):
            raise OSError(errno.EXDEV, "no links between different storages", source)
        self._links[path] = source

    def publish(self, last: str, *, clean_up: Callable[[], None] = _do_nothing) -> None:
        """Complete every file, the one at ``last`` after all others; an old one there goes first."""
        self._finish_all()
        if not self._replace and self._storage.exists(last):
            raise BundleExistsError("appeared while its replacement was written; nothing was changed", last)
        to_the_end(lambda: self._replace_all(last, clean_up))

    def publish_over(
        self, last: str, *, check: Callable[[], None] = _do_nothing, clean_up: Callable[[], None] = _do_nothing
    ) -> None:
        """Complete every file, the one at ``last`` after all others, in one request over what is there."""
        self._finish_all()
        check()
        to_the_end(lambda: self._complete(last, clean_up))

    def _finish_all(self) -> None:
        for file in self._files.values():
            file.finish()

    def _replace_all(self, last: str, clean_up: Callable[[], None]) -> None:
        if self._replace:
            self._make_bare(last)
        try:
            self._complete(last, clean_up)
        except OSError as error:
            if not self._is_bare or isinstance(error, BundleNotFoundError):
                raise
            state = "what was to be replaced is gone already; run again"
            raise OSError(error.errno, f"{error.strerror}; {state}", error.filename) from None

    def _complete(self, last: str, clean_up: Callable[[], None]) -> None:
        for path, source in self._links.items():
            self._linked.append(path)
            target = self._storage.name_of(path)
            self._storage.call(source, lambda filesystem, name, target=target: filesystem.cp_file(name, target))  # type: ignore[misc]
        for path, file in self._files.items():
            if path != last:
                file.commit()
        self._last = last
        self._files[last].commit()
        self._forget()
        clean_up()

    def discard(self) -> None:
        """Give up what is not published; remove what is visible, unless a bundle may need it."""
        for file in self._files.values():
            file.discard()
        if self._may_be_needed():
            self._forget()
            return
        for path in (*(path for path, file in self._files.items() if file.is_visible), *self._linked):
            with contextlib.suppress(OSError, BundleNotFoundError):
                self._storage.remove(path)
        self._forget()

    def _may_be_needed(self) -> bool:
        """Tell whether the last file is there, or nobody knows."""
        if not self._last:
            return False
        if not self._replace:  # it was not there before
            try:
                self._storage.remove(self._last)
            except OSError:
                return True
            return False
        return True

    def _forget(self) -> None:
        for path in self._files:
            self._storage.keep_staged(path, None)
        self._files.clear()
        self._links.clear()
        self._linked.clear()
        self._last = ""
        self._is_bare = False


def _can_hold_back(upload: Any) -> bool:
    """Tell whether a file becomes visible only when it is committed."""
    from fsspec.spec import AbstractBufferedFile

    overrides = isinstance(upload, AbstractBufferedFile) and type(upload).commit is not AbstractBufferedFile.commit
    return overrides and not getattr(upload, "autocommit", True)
