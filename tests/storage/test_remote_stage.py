from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.remote.faulty import FaultyFileSystem
from tfbundle.errors import UnsupportedError
from tfbundle.storage import remote_stage
from tfbundle.storage.base import staging
from tfbundle.storage.remote import RemoteStorage

FILE, LAST = "faulty://d/file", "faulty://d/last"


@pytest.fixture(autouse=True)
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scale sizes down; begin with an empty store."""
    FaultyFileSystem.clear()
    monkeypatch.setattr(remote_stage, "WHOLE_NBYTES", 100)
    monkeypatch.setattr(remote_stage, "PART_NBYTES", 1000)
    monkeypatch.setattr(remote_stage, "_MOST_KEPT_NBYTES", 250)
    yield
    FaultyFileSystem.clear()


def _kinds() -> list[str]:
    return [kind for kind, path in FaultyFileSystem.calls if path.endswith("/file")]


@pytest.mark.parametrize(
    ("nbytes", "kinds"),
    [
        (100, ["put", "get"]),
        (101, ["begin", "part", "complete", "info"]),
        (3_000, ["begin", "part", "part", "part", "complete", "info"]),
    ],
)
def test_requests_for_a_file(nbytes: int, kinds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_stage, "_ZEROS", bytes(1000))  # what parts are rounded up to
    with staging(RemoteStorage(), replace=False) as stage:
        file = stage.create(FILE)
        file.reserve(nbytes)
        for start in range(0, nbytes, 250):
            file.write_at(start, bytes(min(250, nbytes - start)))
        stage.create(LAST).write_at(0, b"last")
        stage.publish(LAST)
    assert [kind for kind in _kinds() if kind != "part"] == [kind for kind in kinds if kind != "part"]
    assert abs(_kinds().count("part") - kinds.count("part")) <= 1
    assert FaultyFileSystem.store["/d/file"].getvalue() == bytes(nbytes)


def test_many_small_files_do_not_stay_in_memory() -> None:
    with staging(RemoteStorage(), replace=False) as stage:
        for number in range(20):
            file = stage.create(f"faulty://d/file-{number}")
            file.reserve(90)
            file.write_at(0, bytes(90))
            assert sum(each.kept_nbytes for each in stage._files.values()) <= 250 + 90  # type: ignore[attr-defined]
        stage.create(LAST).write_at(0, b"last")
        stage.publish(LAST)
    assert len(FaultyFileSystem.store) == 21
    assert FaultyFileSystem.uploads == set()


def test_what_was_written_is_not_written_again() -> None:
    with staging(RemoteStorage(), replace=False) as stage:
        file = stage.create(FILE)
        file.write_at(0, b"abc")
        with pytest.raises(OSError, match="byte 1 is uploaded already"):
            file.write_at(1, b"x")
        file.close()
        file.write_at(3, b"d")


def test_only_this_process_knows_what_it_writes() -> None:
    import pickle

    storage = RemoteStorage()
    with staging(storage, replace=False) as stage:
        file = stage.create(FILE)
        assert storage.open_staged(FILE) is file
        with pytest.raises(UnsupportedError, match="only the process that began"):
            pickle.loads(pickle.dumps(storage)).open_staged(FILE)
    with pytest.raises(UnsupportedError, match="only the process that began"):
        storage.open_staged(FILE)


def test_storage_that_does_not_keep_what_is_written() -> None:
    def spoil(number: int, kind: str, path: str) -> None:
        FaultyFileSystem.store[f"/d/{name}"].seek(0)
        FaultyFileSystem.store[f"/d/{name}"].truncate(50)

    for name, nbytes, message in (("file", 300, "it has 50 bytes, 300 were written"), ("last", 60, "something else")):
        FaultyFileSystem.clear()
        with pytest.raises(OSError, match=message), staging(RemoteStorage(), replace=False) as stage:
            file = stage.create(f"faulty://d/{name}")
            file.write_at(0, bytes(nbytes))
            if name != "last":
                stage.create(LAST).write_at(0, b"")
            FaultyFileSystem.after = lambda number, kind, path: (
                spoil(number, kind, path) if kind in ("put", "complete") and path.endswith(name) else None  # noqa: B023
            )
            stage.publish(LAST)
        assert FaultyFileSystem.store == {}


def test_which_file_systems_hold_uploads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = RemoteStorage()
    for protocol, expected in ((("s3", "s3a"), True), ("gs", True), (("gcs", "gs"), True), ("memory", False)):
        monkeypatch.setattr(storage, "filesystem", lambda path, found=protocol: SimpleNamespace(protocol=found))
        assert storage.replaces_at_once("any://path") is expected


def test_old_index_goes_first_where_uploads_are_visible_at_once() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe({"/stage/file": b"old", "/stage/last": b"old"})
    with staging(RemoteStorage(), replace=True) as stage:
        stage.foresee("memory://stage/last")
        file = stage.create("memory://stage/file")
        file.write_at(0, bytes(80))
        assert memory.cat("/stage/last") == b"old"
        file.write_at(80, bytes(80))  # which begins to overwrite the old file
        assert not memory.exists("/stage/last")
    assert not memory.exists("/stage/file")
