from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.storage.stream import Stream, joined, whole, write_stream


def test_streams_are_made_as_often_as_they_are_needed() -> None:
    def pieces() -> Iterator[bytes]:
        yield from (b"b", b"c")

    found = joined(whole(b"a"), Stream(2, pieces), joined())
    assert (found.nbytes, b"".join(found.pieces()), b"".join(found.pieces())) == (3, b"abc", b"abc")


class Recorder:
    """A file that remembers what it was told to write."""

    path = "f"

    def __init__(self) -> None:
        self.written: list[tuple[int, bytes]] = []

    def write_at(self, offset: int, data: bytes) -> None:
        self.written.append((offset, data))

    def close(self) -> None:
        pass


def test_small_pieces_are_written_together() -> None:
    window = WINDOW_NBYTES
    sizes = [1, window, 5, 3 * window, window - 7, 7, 2]
    data = [bytes([number]) * size for number, size in enumerate(sizes)]
    file: Any = Recorder()
    write_stream(joined(*map(whole, data)), file)
    assert b"".join(found for _, found in file.written) == b"".join(data)
    assert [len(found) for _, found in file.written] == [window + 1, 3 * window + 5, window, 2]
    assert [at for at, _ in file.written] == [0, window + 1, 4 * window + 6, 5 * window + 6]
