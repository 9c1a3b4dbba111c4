from __future__ import annotations

from pathlib import Path

import pytest

from tfbundle.errors import BundleNotFoundError
from tfbundle.storage.local import LocalStorage
from tfbundle.storage.overlay import overlay

STORAGE = LocalStorage()


def test_staged_files_stand_where_they_will_be(tmp_path: Path) -> None:
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    (tmp_path / "here").write_bytes(b"old")
    (tmp_path / "staged").write_bytes(b"new")
    view = overlay(STORAGE, {here: str(tmp_path / "staged"), there: str(tmp_path / "staged")})
    assert [view.open(path).read(0, 3) for path in (here, there)] == [b"new", b"new"]
    assert view.exists(there)
    assert not STORAGE.exists(there)


def test_everything_else_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    view = overlay(STORAGE, {})
    assert view.open(str(tmp_path / "file")).read(0, 4) == b"data"
    assert view.list_directory(str(tmp_path)) == ["file"]
    assert not view.exists(str(tmp_path / "other"))
    with pytest.raises(BundleNotFoundError):
        view.open(str(tmp_path / "other"))
