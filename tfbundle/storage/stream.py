"""Bytes that are made piece by piece when they are written, so that they need not all be in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from tfbundle.storage.buffers import WINDOW_NBYTES

if TYPE_CHECKING:
    from tfbundle.storage.base import StagedFile


class Stream(NamedTuple):
    """Bytes that are made when they are needed, as often as that is.

    Attributes:
        nbytes: how many there are.
        pieces: makes them.
    """

    nbytes: int
    pieces: Callable[[], Iterable[bytes]]


def whole(data: bytes) -> Stream:
    """Return the stream of bytes that are there already.

    Example:
        >>> whole(b"abc").nbytes
        3
    """
    return Stream(len(data), lambda: (data,))


def joined(*streams: Stream) -> Stream:
    """Return a stream of several, one behind the other.

    Example:
        >>> b"".join(joined(whole(b"a"), whole(b"b")).pieces())
        b'ab'
    """

    def pieces() -> Iterator[bytes]:
        for stream in streams:
            yield from stream.pieces()

    return Stream(sum(stream.nbytes for stream in streams), pieces)


def write_stream(stream: Stream, file: StagedFile) -> None:
    """Write a stream to a file that is new, in windows.

    Raises:
        OSError: writing failed.
    """
    end = 0
    for window in _in_windows(stream.pieces()):
        file.write_at(end, window)
        end += len(window)


def _in_windows(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces of some size, so that few are written."""
    waiting, nbytes = [], 0
    for piece in pieces:
        waiting.append(piece)
        nbytes += len(piece)
        if nbytes >= WINDOW_NBYTES:
            yield b"".join(waiting)
            waiting, nbytes = [], 0
    if waiting:
        yield b"".join(waiting)
