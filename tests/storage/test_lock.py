from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tfbundle.storage.local import LocalStorage
from tfbundle.storage.lock import is_in_use, mark_in_use, publishing_in, sync_directory


class TestPublishing:
    def test_is_for_one_at_a_time(self, tmp_path: Path) -> None:
        seen: list[str] = []

        def publish() -> None:
            with publishing_in(str(tmp_path)):
                seen.append("second")

        with publishing_in(str(tmp_path)):
            second = threading.Thread(target=publish)
            second.start()
            time.sleep(0.1)
            seen.append("first")
        second.join(10)
        assert seen == ["first", "second"]

    def test_elsewhere_goes_on_meanwhile(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        with publishing_in(str(tmp_path)), publishing_in(str(tmp_path / "other")):
            pass

    def test_lock_that_somebody_keeps(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tfbundle.storage.lock._PATIENCE_SECONDS", 0.05)
        held = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        stage = LocalStorage().stage(replace=False)
        stage.create(str(tmp_path / "file"))
        with pytest.raises(OSError, match="another process holds the lock") as caught:
            stage.publish(last=str(tmp_path / "file"))
        stage.discard()
        os.close(held)
        assert (caught.value.errno, caught.value.filename) == (errno.EAGAIN, str(tmp_path))
        assert list(tmp_path.iterdir()) == []

    def test_file_system_without_locks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
        with publishing_in(str(tmp_path)):
            pass
        with (tmp_path / "file").open("w") as file:
            mark_in_use(file.fileno())
        assert is_in_use(str(tmp_path / "file"))  # perhaps

    def test_no_descriptor_stays(self, tmp_path: Path) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with publishing_in(str(tmp_path)):
            pass
        sync_directory(str(tmp_path))
        is_in_use(str(tmp_path))
        assert len(os.listdir("/proc/self/fd")) == before


class TestSyncing:
    def test_current_directory(self) -> None:
        sync_directory("")

    @pytest.mark.parametrize("refusal", [errno.EINVAL, errno.EOPNOTSUPP])
    def test_file_system_that_cannot(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int) -> None:
        def refuse(_: int) -> None:
            raise OSError(refusal, "no")

        monkeypatch.setattr(os, "fsync", refuse)
        sync_directory(str(tmp_path))

    def test_error_names_the_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error") as caught:
            sync_directory(str(tmp_path))
        assert caught.value.filename == str(tmp_path)

    def test_directory_that_can_only_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only root can open such a directory all the same."""
        open_file = os.open

        def refuse(path: str, flags: int, *mode: int) -> int:
            if os.path.isdir(path):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return open_file(path, flags, *mode)

        monkeypatch.setattr(os, "open", refuse)
        stage = LocalStorage().stage(replace=False)
        stage.create(str(tmp_path / "file")).write_at(0, b"new")
        stage.publish(last=str(tmp_path / "file"))
        assert (tmp_path / "file").read_bytes() == b"new"


class TestUse:
    def test_ends_with_the_descriptor(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        with path.open("w") as file:
            assert not is_in_use(str(path))
            mark_in_use(file.fileno())
            assert is_in_use(str(path))
        assert not is_in_use(str(path))


def test_lock_is_given_back_although_a_child_has_the_descriptor(tmp_path: Path) -> None:
    with publishing_in(str(tmp_path)):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    try:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
