"""Reading files of a remote storage: few requests, and no byte that nobody wants.

Who reads says beforehand which bytes it will read from first to last, so that they can be fetched in large pieces, the
next one while the last is worked on. What was not announced is fetched as it is asked for.
"""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from tfbundle.errors import FormatError
from tfbundle.storage.base import Identity, check_range

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

PIECE_NBYTES = 16 << 20
"""The most that one request asks for: half of a step of work, so that there is at most one request per 8 MiB."""

MAX_GAP_NBYTES = 256 << 10
"""So many bytes that nobody wants are fetched rather than asking twice."""

_HELD_NBYTES = 4 * PIECE_NBYTES  # in large pieces of one file that were not read to their end
_MOST_NBYTES = 8 * PIECE_NBYTES  # in pieces of all files, beyond which they become small
_LEAST_PIECE_NBYTES = 1 << 20
_MOST_AHEAD = 2  # threads
_MOST_HELD = 64  # pieces of one file, however small
_MOST_DONE = 8  # of those, small ones that were read
_MOST_EXTENTS = 10_000  # that are kept in mind

Fetch = Callable[[int, int], bytes]
"""``fetch(start, end)`` returns exactly these bytes of a file."""


class Look(NamedTuple):
    """What the storage says of a file.

    Attributes:
        nbytes: its size; None where the storage does not tell.
        identity: what changes with its content.
        is_file: whether it is one, and no directory.
    """

    nbytes: int | None
    identity: Identity
    is_file: bool


class Budget:
    """How much is held of all files together, and who fetches ahead for them all.

    These threads are few and stay: each thread that ever held large pieces would leave some of the process's memory
    in pieces of its own. Thread-safe enough: a little too much does no harm.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._executor: ThreadPoolExecutor | None = None

    @property
    def executor(self) -> ThreadPoolExecutor:
        """Who fetches pieces in the background."""
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(_MOST_AHEAD, "tfbundle-ahead")
        return self._executor

    @property
    def piece_nbytes(self) -> int:
        """How large a piece may be now."""
        return max(_LEAST_PIECE_NBYTES, min(PIECE_NBYTES, (_MOST_NBYTES - self.nbytes) // 2))


class RemoteFile:
    """A file of a remote storage, open for reading. Thread-safe; every request is one of its own.

    Args:
        path: of the file.
        look: what the storage said of it.
        fetch: gets bytes of it.
        look_again: tells whether it is still the same; None if it is gone.
        release: is called when the file is closed.
        budget: of all files; None to fetch nothing in the background.
    """

    def __init__(
        self,
        path: str,
        look: Look,
        fetch: Fetch,
        look_again: Callable[[], Identity | None],
        release: Callable[[], None],
        budget: Budget | None,
    ) -> None:
        self.path = path
        self.nbytes = look.nbytes or 0
        self._identity = look.identity
        self._look_again = look_again
        self._release = release
        self._pieces = _Pieces(fetch, budget or Budget(), ahead=budget is not None)
        self._lock = threading.Lock()
        self._is_open = True

    def expect(self, extents: Iterable[tuple[int, int]]) -> None:
        """Prepare for reading some bytes, those of each extent in order: where it starts, and how many there are."""
        with self._lock:
            self._pieces.expect(
                (int(start), min(int(start + nbytes), self.nbytes))
                for start, nbytes in extents
                if 0 <= start < self.nbytes and nbytes > 0
            )

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return exactly ``nbytes`` bytes, or raise TruncatedError."""
        check_range(self.path, offset, nbytes, self.nbytes)
        buffer = bytearray(nbytes)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer``, or raise TruncatedError; OSError where the server does not send all of it."""
        view = buffer.cast("B")
        check_range(self.path, offset, len(view), self.nbytes)
        done = 0
        with self._lock:
            while done < len(view):
                piece = self._pieces.get(offset + done, len(view) - done)
                view[done : done + len(piece)] = piece
                done += len(piece)

    def check_unchanged(self) -> None:
        """Raise FormatError if another file is there now; one that was only removed has been read as it was."""
        found = self._look_again()
        if found is not None and found != self._identity:
            raise FormatError("the file changed while it was read; run again when nothing writes to it", self.path)

    def close(self) -> None:
        """Forget what was fetched."""
        if self._is_open:
            self._is_open = False
            self._pieces.close()
            self._release()


class _Piece:
    """Bytes that were fetched together; small ones are kept, since whoever reads an index comes back to them.

    Attributes:
        rest: how many of them were not read yet.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.rest = len(data)

    @property
    def is_large(self) -> bool:
        return len(self.data) > _LEAST_PIECE_NBYTES


class _Pieces:
    """What was fetched and not read yet. Not thread-safe."""

    def __init__(self, fetch: Fetch, budget: Budget, *, ahead: bool) -> None:
        self._fetch = fetch
        self._budget = budget
        self._ahead = ahead
        self._starts: list[int] = []  # of the extents that are expected, disjoint and in order
        self._ends: list[int] = []
        self._held: OrderedDict[int, _Piece] = OrderedDict()  # by their first bytes
        self._coming: tuple[int, int, Future[bytes]] | None = None

    def expect(self, extents: Iterable[tuple[int, int]]) -> None:
        known = [*zip(self._starts, self._ends, strict=True)] if len(self._starts) < _MOST_EXTENTS else []
        self._starts, self._ends = [], []
        for start, end in sorted([*known, *extents]):
            if self._ends and start - self._ends[-1] <= MAX_GAP_NBYTES:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def get(self, offset: int, nbytes: int) -> memoryview:
        """Return up to so many bytes, at least one."""
        for start, held in reversed(self._held.items()):
            if start <= offset < start + len(held.data):
                return self._read(start, held, offset, nbytes)
        start, end = self._plan(offset, nbytes)
        piece = _Piece(self._take(start, end))
        self._hold(start, piece)
        return self._read(start, piece, offset, nbytes)

    def _read(self, start: int, piece: _Piece, offset: int, nbytes: int) -> memoryview:
        found = memoryview(piece.data)[offset - start : offset - start + nbytes]
        piece.rest -= len(found)
        if piece.is_large and piece.rest <= 0:
            self._drop(start)
        return found

    def _plan(self, offset: int, nbytes: int) -> tuple[int, int]:
        """Return which bytes to ask for; what is expected of them is expected no more."""
        if self._coming is not None and self._coming[0] <= offset < self._coming[1]:
            return self._coming[:2]
        at = bisect.bisect_right(self._starts, offset) - 1
        if at < 0 or offset >= self._ends[at]:
            return offset, offset + min(nbytes, PIECE_NBYTES)
        end = min(self._ends[at], offset + self._piece_nbytes())
        rest = [(self._starts[at], offset), (end, self._ends[at])]
        self._starts[at : at + 1] = [first for first, last in rest if first < last]
        self._ends[at : at + 1] = [last for first, last in rest if first < last]
        return offset, end

    def _piece_nbytes(self) -> int:
        """Return how much to ask for: less where many extents are read at once, so that none is fetched twice."""
        return max(_LEAST_PIECE_NBYTES, min(self._budget.piece_nbytes, (_HELD_NBYTES - self._large_nbytes) // 2))

    def _take(self, start: int, end: int) -> bytes:
        """Fetch bytes, or wait for them where they are on their way; and let those after them come."""
        coming = self._coming
        if coming is not None and coming[:2] == (start, end):
            self._coming = None
            self._budget.nbytes -= end - start
            data = coming[2].result()
            self._fetch_next(end)
            return data
        data = self._fetch(start, end)
        self._fetch_next(end)
        return data

    def _fetch_next(self, offset: int) -> None:
        at = bisect.bisect_right(self._starts, offset) - 1
        if not self._ahead or self._coming is not None or at < 0 or offset != self._starts[at]:
            return
        if any(piece.is_large for piece in self._held.values()):  # several extents are read at once
            return
        start, end = self._plan(offset, 0)
        self._budget.nbytes += end - start
        self._coming = start, end, self._budget.executor.submit(self._fetch, start, end)

    def _hold(self, start: int, piece: _Piece) -> None:
        self._drop(start)
        self._held[start] = piece
        self._budget.nbytes += len(piece.data)
        done = [start for start, held in self._held.items() if held.rest <= 0]
        for each in done[:-_MOST_DONE]:
            self._drop(each)
        while len(self._held) > 1 and (self._large_nbytes > _HELD_NBYTES or len(self._held) > _MOST_HELD):
            self._drop(next(iter(self._held)))

    @property
    def _large_nbytes(self) -> int:
        return sum(len(piece.data) for piece in self._held.values() if piece.is_large)

    def _drop(self, start: int) -> None:
        if start in self._held:
            self._budget.nbytes -= len(self._held.pop(start).data)

    def close(self) -> None:
        self._starts, self._ends = [], []
        for start in [*self._held]:
            self._drop(start)
        if self._coming is not None:
            self._budget.nbytes -= self._coming[1] - self._coming[0]
            self._coming[2].cancel()
            self._coming = None
