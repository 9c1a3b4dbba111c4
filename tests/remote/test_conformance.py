"""What every storage must do, whichever it is."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.remote.stores import BUCKET, ObjectStore
from tfbundle.errors import BundleExistsError, BundleNotFoundError, TruncatedError
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage, staging

CONTENT = bytes(range(256)) * 40


class StorageConformance:
    """The tests; a subclass says where."""

    @pytest.fixture
    def storage(self) -> Storage:
        return Anywhere()

    @pytest.fixture
    def root(self) -> Any:
        """An empty directory."""
        raise NotImplementedError

    def _write(self, storage: Storage, path: str, data: bytes = CONTENT, *, replace: bool = False) -> None:
        with staging(storage, replace=replace) as stage:
            stage.create(path).write_at(0, data)
            stage.publish(path)

    def _read(self, storage: Storage, path: str) -> bytes:
        file = storage.open(path)
        try:
            return file.read(0, file.nbytes)
        finally:
            file.close()

    def test_ranges(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        self._write(storage, path)
        file = storage.open(path)
        assert (file.path, file.nbytes) == (path, len(CONTENT))
        file.expect([(0, 5_000), (8_000, 10**9)])
        for offset, nbytes in ((7, 20), (0, 4_999), (4_000, 4_500), (len(CONTENT) - 1, 1), (9_000, 0), (8_500, 100)):
            assert file.read(offset, nbytes) == CONTENT[offset : offset + nbytes]
            buffer = bytearray(nbytes)
            file.read_into(offset, memoryview(buffer))
            assert buffer == CONTENT[offset : offset + nbytes]
        for offset, nbytes in ((0, len(CONTENT) + 1), (len(CONTENT), 1), (-1, 2), (1 << 60, 1 << 60)):
            with pytest.raises(TruncatedError):
                file.read(offset, nbytes)
        file.check_unchanged()
        file.close()
        file.close()

    def test_many_readers(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        self._write(storage, path)
        file = storage.open(path)
        file.expect([(0, len(CONTENT))])
        wrong: list[int] = []

        def read(start: int) -> None:
            wrong.extend(
                offset
                for offset in range(start, len(CONTENT) - 10, 97)
                if file.read(offset, 10) != CONTENT[offset : offset + 10]
            )

        threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        file.close()
        assert wrong == []

    def test_empty_file(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "empty")
        self._write(storage, path, b"")
        assert self._read(storage, path) == b""

    def test_what_is_there(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "dir", "file")
        assert not storage.exists(path)
        assert storage.identity(path) is None
        assert storage.list_directory(paths.join(root, "dir")) == []
        self._write(storage, path)
        self._write(storage, paths.join(root, "dir", "another"))
        assert storage.exists(path)
        assert storage.identity(path) == storage.identity(path)
        assert storage.is_directory(paths.join(root, "dir"))
        assert not storage.is_directory(path)
        assert storage.list_directory(paths.join(root, "dir")) == ["another", "file"]
        assert storage.is_same(path, path)
        assert not storage.is_same(path, paths.join(root, "dir", "another"))
        storage.remove(path)
        storage.remove(path)
        assert not storage.exists(path)
        with pytest.raises(BundleNotFoundError) as caught:
            storage.open(path)
        assert caught.value.path == path

    def test_changes_are_seen(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        self._write(storage, path, b"first")
        file, identity = storage.open(path), storage.identity(path)
        file.check_unchanged()
        self._write(storage, path, b"other", replace=True)
        with pytest.raises(tfbundle.FormatError, match="changed while it was read"):
            file.check_unchanged()
        file.close()
        assert storage.identity(path) != identity
        assert self._read(storage, path) == b"other"

    def test_removed_file_was_read_as_it_was(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        self._write(storage, path)
        file = storage.open(path)
        storage.remove(path)
        file.check_unchanged()
        file.close()

    def test_pieces_in_any_order(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        with staging(storage, replace=False) as stage:
            file = stage.create(path)
            file.reserve(len(CONTENT))
            for start in (3_000, 0, 9_000, 6_000, 1_000, 2_000):
                file.write_at(start, memoryview(CONTENT)[start : start + (3_000 if start >= 3_000 else 1_000)])
            file.close()
            stage.publish(path)
        assert self._read(storage, path) == CONTENT

    def test_hole_is_zeros(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        with staging(storage, replace=False) as stage:
            file = stage.create(path)
            file.reserve(10)
            file.write_at(0, b"ab")
            file.write_at(6, b"c")
            stage.publish(path)
        assert self._read(storage, path) == b"ab\0\0\0\0c\0\0\0"

    def test_nothing_is_seen_before_it_is_published(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        with staging(storage, replace=False) as stage:
            stage.foresee(path)
            stage.create(path).write_at(0, CONTENT)
            assert not storage.exists(path)
        assert not storage.exists(path)
        assert [name for name in storage.list_directory(root) if "file" in name] == []

    def test_the_last_one_comes_last(self, storage: Storage, root: str) -> None:
        names = [paths.join(root, name) for name in ("c", "a", "b")]
        seen: list[str] = []
        with staging(storage, replace=False) as stage:
            for name in names:
                stage.create(name).write_at(0, name.encode())
            stage.publish(names[1], clean_up=lambda: seen.extend(storage.list_directory(root)))
        assert seen == ["a", "b", "c"]
        for name in names:
            assert self._read(storage, name) == name.encode()

    def test_no_replacement_unasked(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        self._write(storage, path, b"old")
        with pytest.raises(BundleExistsError):
            self._write(storage, path, b"new")
        assert self._read(storage, path) == b"old"
        self._write(storage, path, b"new", replace=True)
        assert self._read(storage, path) == b"new"

    def test_publishing_over(self, storage: Storage, root: str) -> None:
        path, other = paths.join(root, "file"), paths.join(root, "other")
        self._write(storage, path, b"old")
        with staging(storage, replace=True) as stage:
            stage.create(other).write_at(0, b"more")
            stage.create(path).write_at(0, b"new")
            stage.publish_over(path, check=lambda: None)
        assert (self._read(storage, path), self._read(storage, other)) == (b"new", b"more")
        with pytest.raises(RuntimeError, match="no"), staging(storage, replace=True) as stage:
            stage.create(path).write_at(0, b"newer")
            stage.publish_over(path, check=lambda: (_ for _ in ()).throw(RuntimeError("no")))
        assert self._read(storage, path) == b"new"

    def test_links(self, storage: Storage, root: str) -> None:
        path, other, last = (paths.join(root, name) for name in ("file", "other", "last"))
        self._write(storage, path)
        with staging(storage, replace=False) as stage:
            stage.link(path, other)
            stage.create(last).write_at(0, b"last")
            stage.publish(last)
        assert self._read(storage, other) == CONTENT

    def test_it_can_be_pickled(self, storage: Storage, root: str) -> None:
        path = paths.join(root, "file")
        self._write(storage, path)
        assert self._read(pickle.loads(pickle.dumps(storage)), path) == CONTENT

    def test_bundles(self, root: str, tmp_path: Path) -> None:
        tensors: dict[str, Any] = {
            "w": np.arange(3_000, dtype=np.float32),
            "s": np.array([b"a", b"bc"], object),
            "i": np.int64(5),
        }
        prefix = paths.join(root, "model.ckpt-1")
        tfbundle.save(prefix, tensors)
        assert tfbundle.verify(prefix).ok
        tfbundle.halve(prefix, paths.join(root, "half", ""))
        assert tfbundle.latest(paths.join(root, "half")) == paths.join(root, "half", "model.ckpt-1")
        with pytest.raises(BundleExistsError, match="exists already"):
            tfbundle.halve(prefix, paths.join(root, "half", ""))
        with pytest.raises(BundleExistsError, match="the target is the source"):
            tfbundle.halve(prefix, prefix, options=tfbundle.RunOptions(if_exists="replace"))
        tfbundle.save(str(tmp_path / "here"), tensors)
        tfbundle.halve(str(tmp_path / "here"), str(tmp_path / "local"))
        assert tfbundle.diff(paths.join(root, "half"), str(tmp_path / "local")).equal
        tfbundle.replace_tensor(prefix, "i", np.int64(6))
        assert tfbundle.load(prefix)["i"] == 6
        assert tfbundle.finish(prefix).removed == ()


class TestLocal(StorageConformance):
    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return str(tmp_path / "root")


class TestFileUrl(StorageConformance):
    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return Anywhere().admit(f"file://{tmp_path}/root")


class TestMemory(StorageConformance):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Any:
        import fsspec

        yield f"memory://{tmp_path.name}"
        fsspec.filesystem("memory").store.clear()


class TestUploads(StorageConformance):
    """An object store in this process; files are uploaded in parts."""

    @pytest.fixture
    def root(self, faulty: object, monkeypatch: pytest.MonkeyPatch) -> str:
        from tfbundle.storage import remote_stage

        monkeypatch.setattr(remote_stage, "WHOLE_NBYTES", 100)
        monkeypatch.setattr(remote_stage, "PART_NBYTES", 1000)
        return "faulty://root"


class TestS3(StorageConformance):
    @pytest.fixture
    def root(self, store: ObjectStore) -> Any:
        yield f"s3://{BUCKET}/root"
        assert store.uploads() == []
