"""What the rest of the package needs of a place where files live."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from tfbundle.errors import TruncatedError

Buffer = bytes | bytearray | memoryview
Identity = tuple[int, ...]


class ReadableFile(Protocol):
    """A file opened for reading at any offset. Thread-safe."""

    path: str
    nbytes: int

    def expect(self, extents: Iterable[tuple[int, int]]) -> None:
        """Say which bytes will be read soon, each extent from first to last: where it starts, and its size."""

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return exactly ``nbytes`` bytes.

        Raises:
            TruncatedError: the file ends before, checked before anything is allocated.
        """

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer``.

        Raises:
            TruncatedError: the file ends before.
        """

    def check_unchanged(self) -> None:
        """Raise FormatError if the file was changed since it was opened."""

    def close(self) -> None:
        """Release the file; harmless when repeated."""


class StagedFile(Protocol):
    """A file being written under a temporary name."""

    path: str

    def reserve(self, nbytes: int) -> None:
        """Set the size and, where the storage can, claim the space now."""

    def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``; pieces may come in any order, from several threads, processes and machines.

        In order from first to last is best: a storage that can only append keeps others back until their turn comes,
        and takes them from one process only.
        """

    def sync(self) -> None:
        """Make what was written durable, and seen from every machine."""

    def close(self) -> None:
        """Release the file; harmless when repeated."""


class Stage(Protocol):
    """Files that become visible together, or not at all."""

    def foresee(self, last: str) -> None:
        """Say early which file will be published last: a storage may have to take an old one away before all else."""

    def create(self, path: str) -> StagedFile:
        """Start a file that ``publish`` will put at ``path``."""

    def link(self, source: str, path: str) -> None:
        """Let ``publish`` put another name of the existing file ``source`` at ``path``."""

    def publish(self, last: str, *, clean_up: Callable[[], None] = ...) -> None:
        """Make every staged file durable, then visible, the one at ``last`` after all others.

        Args:
            last: path of the last one.
            clean_up: is called when that is done, still before anybody else can publish in the directory; again, if
                it is interrupted.
        """

    def publish_over(self, last: str, *, check: Callable[[], None] = ..., clean_up: Callable[[], None] = ...) -> None:
        """As ``publish``, but the file at ``last`` takes the place of one that is there, which is never missing.

        The others have names that nothing uses before.

        Args:
            last: path of the last one.
            check: is called before anything becomes visible, when nobody else can publish in the directory any more;
                raises an error where it must not.
            clean_up: as for ``publish``.
        """

    def discard(self) -> None:
        """Remove whatever is staged and not published, or publish it if what it replaces is gone already.

        Harmless when repeated.
        """


class Storage(Protocol):
    """A place where files live. Picklable, so that workers elsewhere can use it too."""

    def admit(self, path: str | os.PathLike[str]) -> str:
        """Return a path from outside as this storage, and every message, has it: without credentials."""

    def check_writable(self, path: str) -> None:
        """Refuse a place where nothing can ever be written.

        Raises:
            UnsupportedError: it is one.
        """

    def can_list(self, path: str) -> bool:
        """Tell whether the storage can list directories where ``path`` is."""

    def open(self, path: str) -> ReadableFile:
        """Open a regular file for reading.

        Raises:
            BundleNotFoundError: there is none.
            UnsupportedError: it is something else, such as a directory or a pipe.
        """

    def open_staged(self, path: str) -> StagedFile:
        """Open a staged file again, by its temporary path; never make one.

        Raises:
            FileNotFoundError: there is none.
        """

    def absolute(self, path: str) -> str:
        """Return the path by which a worker elsewhere opens the same file."""

    def replaces_at_once(self, path: str) -> bool:
        """Tell whether a file that is written there takes the place of another in one moment."""

    def is_in_use(self, path: str) -> bool:
        """Tell whether somebody still writes the files that were staged with the one at ``path``, the first of them."""

    def publishing_in(self, directory: str) -> AbstractContextManager[None]:
        """Let nobody publish in a directory while the block runs.

        Raises:
            OSError: somebody else goes on publishing there.
        """

    def hold(self, path: str) -> AbstractContextManager[None]:
        """Let a file count as in use while the block runs."""

    def free_nbytes(self, path: str) -> int | None:
        """Return how many bytes can be written where ``path`` is or will be; None where that is not known."""

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at ``path``."""

    def identity(self, path: str) -> Identity | None:
        """Return what changes when another file takes the place of the one at ``path``, or this one is changed."""

    def is_directory(self, path: str) -> bool:
        """Tell whether ``path`` is a directory."""

    def is_same(self, left: str, right: str) -> bool:
        """Tell whether two paths lead to the same existing file."""

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; an empty list if there is no such directory."""

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""

    def remove_empty_directory(self, path: str) -> None:
        """Remove a directory if it is there and empty."""

    def stage(self, *, replace: bool, staged: Mapping[str, str] | None = None) -> Stage:
        """Start a set of files.

        Args:
            replace: whether they may take the place of existing ones.
            staged: files that an interrupted run has staged, by the path each will have; they belong to the set.
        """


@contextmanager
def staging(storage: Storage, *, replace: bool) -> Iterator[Stage]:
    """Give a stage that is discarded when the block is left before ``publish``."""
    stage = storage.stage(replace=replace)
    try:
        yield stage
    finally:
        stage.discard()


def check_range(path: str, offset: int, nbytes: int, file_nbytes: int) -> None:
    """Check that a range lies within a file.

    Raises:
        TruncatedError: it does not.
    """
    if offset < 0 or offset + nbytes > file_nbytes:
        raise TruncatedError(
            f"Read less bytes than requested: {nbytes} bytes from {offset} on, "
            f"but the file has {file_nbytes}: a partial copy, or a file of another checkpoint",
            path,
        )
