from __future__ import annotations

import os

import pytest

from tfbundle.storage.temporary import Temporary, new_owner, parse_temporary, temporary_path


@pytest.mark.parametrize("path", ["model.index", "a/b.tmp-7/model.data-00000-of-00001", "/.index", "x.tmp-", "a\nb"])
def test_what_was_made_is_recognised(path: str) -> None:
    owner = new_owner()
    assert owner.startswith(f"{os.getpid()}-")
    assert parse_temporary(temporary_path(path, owner)) == Temporary(path, owner)
    assert parse_temporary(path) is None


def test_owners_differ() -> None:
    assert len({new_owner() for _ in range(100)}) == 100


def test_copy_of_a_bundle() -> None:
    assert parse_temporary("d/model.tmp-1-0a1b2c3d.index") == Temporary("d/model", "1-0a1b2c3d", ".index")
    assert parse_temporary("d/.tmp-1-0a1b2c3d.index") == Temporary("d/", "1-0a1b2c3d", ".index")
    nested = parse_temporary("model.tmp-1-0a1b2c3d.index.tmp-1-0a1b2c3e")
    assert nested == Temporary("model", "1-0a1b2c3d", ".index.tmp-1-0a1b2c3e")


@pytest.mark.parametrize("name", ["", "model.index", "model.tmp", "x.tmp-1", "x.tmp-1-0a1b2c3", "x.tmp-z-0a1b2c3d"])
def test_other_names(name: str) -> None:
    assert parse_temporary(name) is None
