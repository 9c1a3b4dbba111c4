"""Where the bytes of a graph are: in memory, or in a file of which little is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tfbundle.storage.base import ReadableFile
from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.storage.stream import Stream

_NEAR_NBYTES = 1 << 14  # read at once: nodes are small and mostly read in their order, but for those that they read


class Source(Protocol):
    """Bytes that can be read anywhere."""

    @property
    def nbytes(self) -> int:
        """How many there are."""

    def read(self, start: int, end: int) -> bytes:
        """Return those between two places."""


class Memory:
    """Bytes in memory.

    Example:
        >>> Memory(b"abc").read(1, 2)
        b'b'
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def nbytes(self) -> int:
        """How many there are."""
        return len(self._data)

    def read(self, start: int, end: int) -> bytes:
        """Return those between two places."""
        return self._data[start:end]


class FileSource:
    """The bytes of a file.

    Args:
        file: stays open while they are read.
    """

    def __init__(self, file: ReadableFile) -> None:
        self._file = file
        self._near, self._start = b"", 0

    @property
    def nbytes(self) -> int:
        """How many there are."""
        return self._file.nbytes

    def read(self, start: int, end: int) -> bytes:
        """Return those between two places.

        Raises:
            FormatError, OSError: as ``ReadableFile.read``.
        """
        if end - start > _NEAR_NBYTES:
            return self._file.read(start, end - start)
        if start < self._start or end > self._start + len(self._near):
            self._near = self._file.read(start, min(_NEAR_NBYTES, self.nbytes - start))
            self._start = start
        return self._near[start - self._start : end - self._start]


def whole_stream(source: Source) -> Stream:
    """Return all of a source as a stream."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, source.nbytes, WINDOW_NBYTES):
            yield source.read(start, min(start + WINDOW_NBYTES, source.nbytes))

    return Stream(source.nbytes, pieces)
