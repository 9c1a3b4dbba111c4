from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import pytest

from tfbundle.storage.local import LocalStorage


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    return str(file)


def fail_to_close(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let ``os.close`` release the descriptor and fail all the same, as Linux does; return what is closed."""
    closed: list[int] = []
    real = os.close

    def close(descriptor: int) -> None:
        closed.append(descriptor)
        real(descriptor)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "close", close)
    return closed


def test_error_at_closing_names_the_file_and_the_descriptor_is_not_closed_twice(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time it could be that of another file."""
    file = LocalStorage().open(path)
    closed = fail_to_close(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output") as caught:
        file.close()
    assert caught.value.filename == path
    file.close()
    assert len(closed) == 1


def test_interrupted_closing_has_closed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LocalStorage().open(path)
    closed = fail_to_close(monkeypatch, errno.EINTR)
    file.close()
    assert len(closed) == 1


def test_forgotten_file_closes_quietly(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()  # files of other tests are forgotten now, not meanwhile
    file = LocalStorage().open(path)
    closed = fail_to_close(monkeypatch, errno.EIO)
    del file
    gc.collect()
    assert len(closed) == 1  # pytest makes an error of what is raised there


def test_error_of_fstat_names_the_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    file = LocalStorage().open(path)
    for call in (lambda: LocalStorage().open(path), file.check_unchanged):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output") as caught:
            patch.setattr(os, "fstat", fail)
            call()
        assert caught.value.filename == path


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_what_nobody_can_tell_is_no_absence(path: str, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A target that is taken to be absent would be overwritten, a source that is taken to be another one, too."""

    def fail(found: str, **_: object) -> None:
        raise OSError(number, os.strerror(number), found)

    monkeypatch.setattr(os, "lstat", fail)
    monkeypatch.setattr(os, "stat", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        LocalStorage().exists(path)
    with pytest.raises(OSError, match=os.strerror(number)):
        LocalStorage().is_same(path, path)
    with pytest.raises(OSError, match=os.strerror(number)):
        LocalStorage().identity(path)
