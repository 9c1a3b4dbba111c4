from __future__ import annotations

from pathlib import Path

import pytest

from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.local import LocalStorage
from tfbundle.storage.remote import RemoteStorage


def test_paths_lead_to_their_storage(tmp_path: Path) -> None:
    storage = Anywhere()
    assert isinstance(storage.at("a/b"), LocalStorage)
    assert isinstance(storage.at("memory://a"), RemoteStorage)
    assert storage.at("memory://a") is storage.at("s3://b")


def test_paths_as_they_come(tmp_path: Path) -> None:
    storage = Anywhere()
    assert storage.admit(tmp_path) == str(tmp_path)
    assert storage.admit("file:///a/b") == "/a/b"
    assert storage.admit("local://a") == "a"
    assert storage.admit("https://me:pw@host/a?t=1") == "https://host/a"
    assert not storage.is_same("memory://a", "a")


def test_where_writing_is_possible(tmp_path: Path) -> None:
    storage = Anywhere()
    storage.check_writable(str(tmp_path))
    storage.check_writable("memory://a")
    with pytest.raises(NotImplementedError, match="a web server can be read from"):
        storage.check_writable("https://host/a")
    assert [storage.can_list(path) for path in ("a", "memory://a", "http://a/b")] == [True, True, False]
    assert storage.free_nbytes("memory://a") is None
    assert storage.free_nbytes(str(tmp_path))


def test_empty_stage_is_harmless() -> None:
    Anywhere().stage(replace=False).discard()
