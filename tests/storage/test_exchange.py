"""Two names change places in one moment, or nothing happens."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tfbundle.storage.exchange import exchange

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is a call of Linux")


@pytest.fixture
def names(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "file").touch()
    (tmp_path / "right").symlink_to("nowhere")
    return str(tmp_path / "left"), str(tmp_path / "right")


class Library:
    """A C library whose call meets an error."""

    def __init__(self, number: int) -> None:
        self._number = number

    def renameat2(self, *_: Any) -> int:
        ctypes.set_errno(self._number)
        return -1


def unchanged(left: str, right: str) -> bool:
    return os.listdir(left) == ["file"] and os.readlink(right) == "nowhere"


@on_linux
def test_names_change_places(names: tuple[str, str]) -> None:
    left, right = names
    assert exchange(left, right)
    assert unchanged(right, left)


@on_linux
def test_one_is_missing(names: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        exchange(names[0], str(tmp_path / "none"))
    assert (caught.value.filename, caught.value.filename2) == (names[0], str(tmp_path / "none"))
    assert unchanged(*names)


@on_linux
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.EPERM])
def test_system_that_cannot(number: int, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library(number))
    assert not exchange(*names)


@on_linux
def test_call_that_fails(names: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        exchange(*names)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_library_without_the_call(platform: str, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert not exchange(*names)
    assert unchanged(*names)
