from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.errors import FormatError, TruncatedError
from tfbundle.storage import remote_file
from tfbundle.storage.remote_file import Budget, Look, RemoteFile

KIB = 1 << 10
DATA = bytes(index * 7 % 251 for index in range(400 * KIB))


class _Server:
    """Counts what is fetched."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, int]] = []
        self.identity: tuple[int, ...] | None = (1,)
        self.closed = 0

    def fetch(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(DATA)
        self.requests.append((start, end))
        return DATA[start:end]

    def _close(self) -> None:
        self.closed += 1

    def open(self, budget: Budget | None = None) -> RemoteFile:
        look = Look(len(DATA), (1,), is_file=True)
        return RemoteFile("s3://b/file", look, self.fetch, lambda: self.identity, self._close, budget)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scale everything down by 1024."""
    for name in ("PIECE_NBYTES", "MAX_GAP_NBYTES", "_HELD_NBYTES", "_LEAST_PIECE_NBYTES", "_MOST_NBYTES"):
        monkeypatch.setattr(remote_file, name, getattr(remote_file, name) >> 10)


@pytest.mark.parametrize("budget", [None, Budget()], ids=["", "ahead"])
def test_a_stretch_in_order_takes_as_few_requests_as_can_be(budget: Budget | None) -> None:
    server = _Server()
    file = server.open(budget)
    file.expect([(5, 100 * KIB), (5 + 100 * KIB, 60 * KIB)])
    for start in range(5, 5 + 160 * KIB, KIB):
        assert file.read(start, KIB) == DATA[start : start + KIB]
    assert sorted(server.requests) == [(5 + start * KIB, 5 + min(start + 16, 160) * KIB) for start in range(0, 160, 16)]
    file.close()
    assert budget is None or budget.nbytes == 0


def test_what_was_not_announced_is_fetched_as_asked_for() -> None:
    server = _Server()
    file = server.open()
    assert file.read(3, 10) == DATA[3:13]
    assert file.read(40 * KIB, 20 * KIB) == DATA[40 * KIB : 60 * KIB]
    assert server.requests == [(3, 13), (40 * KIB, 56 * KIB), (56 * KIB, 60 * KIB)]


def test_small_gaps_are_fetched_large_ones_are_not() -> None:
    server = _Server()
    file = server.open()
    gap = remote_file.MAX_GAP_NBYTES
    file.expect([(0, 100), (100 + gap, 100), (10 * KIB, 10)])
    for start, nbytes in ((0, 100), (100 + gap, 100), (10 * KIB, 10)):
        file.read(start, nbytes)
    assert server.requests == [(0, 200 + gap), (10 * KIB, 10 * KIB + 10)]


def test_an_index_is_fetched_once_in_whatever_order_it_is_read() -> None:
    server = _Server()
    file = server.open()
    file.expect([(100, 900)])
    for start in (100, 952, 500, 100, 300, 999):
        assert file.read(start, 1) == DATA[start : start + 1]
    assert server.requests == [(100, 1000)]


def test_many_stretches_at_once_are_fetched_once_and_hold_little() -> None:
    server = _Server()
    file = server.open()
    starts = range(0, 400 * KIB, 40 * KIB)
    file.expect((start, 30 * KIB) for start in starts)
    most = 0
    for offset in range(0, 30 * KIB, KIB // 2):
        for start in starts:
            at = start + offset
            assert file.read(at, KIB // 2) == DATA[at : at + KIB // 2]
            most = max(most, sum(len(piece.data) for piece in file._pieces._held.values()))
    fetched = sorted(server.requests)
    assert sum(end - start for start, end in fetched) == 300 * KIB
    assert all(left[1] <= right[0] for left, right in pairwise(fetched))
    assert most <= remote_file._HELD_NBYTES + 18 * remote_file._LEAST_PIECE_NBYTES


def test_files_share_a_budget() -> None:
    server, budget = _Server(), Budget()
    files = [server.open(budget) for _ in range(40)]
    for file in files:
        file.expect([(0, 300 * KIB)])
        file.read(0, 1)
    assert budget.nbytes <= remote_file._MOST_NBYTES + 40 * 2 * remote_file._LEAST_PIECE_NBYTES
    for file in files:
        file.close()
    assert budget.nbytes == 0
    assert server.closed == 40


@given(
    st.lists(st.tuples(st.integers(-5, len(DATA) + 5), st.integers(-5, 50 * KIB)), max_size=6),
    st.lists(st.tuples(st.integers(0, len(DATA)), st.integers(0, 50 * KIB)), max_size=12),
    st.booleans(),
)
def test_whatever_is_announced_what_is_read_is_right(
    extents: list[tuple[int, int]], reads: list[tuple[int, int]], ahead: bool
) -> None:
    server = _Server()
    file = server.open(Budget() if ahead else None)
    file.expect(extents)
    for offset, nbytes in reads:
        if offset + nbytes > len(DATA):
            with pytest.raises(TruncatedError):
                file.read(offset, nbytes)
        else:
            assert file.read(offset, nbytes) == DATA[offset : offset + nbytes]
    file.close()


def test_errors_ahead_are_raised_when_their_bytes_are_wanted() -> None:
    server = _Server()
    fetch = server.fetch

    def broken(start: int, end: int) -> bytes:
        if start:
            raise OSError("broken")
        return fetch(start, end)

    server.fetch = broken  # type: ignore[method-assign]
    file = server.open(Budget())
    file.expect([(0, 100 * KIB)])
    assert file.read(0, KIB) == DATA[:KIB]
    file.read(KIB, 15 * KIB)
    with pytest.raises(OSError, match="broken"):
        file.read(16 * KIB, 1)
    file.close()


def test_changes() -> None:
    server = _Server()
    file = server.open()
    file.check_unchanged()
    server.identity = None
    file.check_unchanged()
    server.identity = (2,)
    with pytest.raises(FormatError, match="changed while it was read"):
        file.check_unchanged()
    file.close()
    file.close()
    assert server.closed == 1
