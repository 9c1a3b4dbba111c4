"""Bundles that are reached by URLs, and storages that cannot list directories, as those of web servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

import tfbundle
from tfbundle.bundle.locate import find_bundle
from tfbundle.bundle.opening import open_bundle
from tfbundle.errors import BundleExistsError, BundleNotFoundError
from tfbundle.storage.local import LocalStorage

VALUES = {"w": np.arange(3.0)}


class Unlisted(LocalStorage):
    """Files whose names have to be known."""

    def can_list(self, path: str) -> bool:
        return False

    def list_directory(self, path: str) -> list[str]:
        return []


@pytest.fixture
def root(tmp_path: Path) -> Iterator[str]:
    """A directory in memory with a checkpoint."""
    root = f"memory://{tmp_path.name}"
    tfbundle.save(f"{root}/model", VALUES)
    yield root
    fsspec.filesystem("memory").store.clear()


class TestWithoutLists:
    def test_shards_are_looked_for_one_by_one(self, tmp_path: Path) -> None:
        tfbundle.save(tmp_path / "model", VALUES)
        with open_bundle(tmp_path / "model", storage=Unlisted()) as bundle:
            assert bundle.shards.present() == [0]
        (tmp_path / "model.data-00000-of-00001").unlink()
        with open_bundle(tmp_path / "model", storage=Unlisted()) as bundle:
            assert bundle.shards.present() == []

    def test_directory_needs_a_checkpoint_file(self, tmp_path: Path) -> None:
        tfbundle.save(tmp_path / "model", VALUES)
        with pytest.raises(BundleNotFoundError, match=r"Couldn't find 'checkpoint' file.* cannot list others"):
            find_bundle(tmp_path, Unlisted())
        (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model"\n')
        assert find_bundle(tmp_path, Unlisted()).prefix == str(tmp_path / "model")

    def test_nothing_at_a_prefix(self, tmp_path: Path) -> None:
        with pytest.raises(BundleNotFoundError, match="it is no prefix, and a web server cannot list others"):
            find_bundle(tmp_path / "model", Unlisted())


def test_checkpoint_file_leads_to_what_is_beside_it(root: str) -> None:
    memory = fsspec.filesystem("memory")
    path = f"{root}/checkpoint".removeprefix("memory:/")
    memory.pipe_file(path, b'model_checkpoint_path: "model"\n')
    assert tfbundle.latest(root) == f"{root}/model"
    for outside in ("../model", "memory://other/model", "/model"):
        memory.pipe_file(path, f'model_checkpoint_path: "{outside}"\n'.encode())
        assert tfbundle.latest(root) == f"{root}/model"  # the one of that name within


def test_what_an_upload_left_is_replaced_and_a_bundle_is_not(root: str) -> None:
    with pytest.raises(BundleExistsError, match="exists already"):
        tfbundle.save(f"{root}/model", VALUES)
    fsspec.filesystem("memory").rm_file(f"{root}/model.index".removeprefix("memory:/"))
    tfbundle.save(f"{root}/model", {"w": np.ones(2)})
    assert tfbundle.load(f"{root}/model")["w"].tolist() == [1, 1]
