"""Files of other formats, in a bucket and from it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import tfbundle
from tfbundle import RunOptions, UnsupportedError, export, import_tensors

RNG = np.random.default_rng(1)
TENSORS: dict[str, Any] = {
    "a/b": RNG.random((300, 400), np.float32),
    "c": RNG.random(7),
    "none": np.zeros((0, 3), np.int16),
    "step": np.int64(4),
}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[str]:
    """A directory in memory with a checkpoint."""
    root = f"memory://{tmp_path.name}"
    tfbundle.save(f"{root}/model", TENSORS)
    yield root
    fsspec.filesystem("memory").store.clear()


def _content(url: str) -> bytes:
    content: bytes = fsspec.filesystem("memory").cat(url.removeprefix("memory:/"))
    return content


def _check(prefix: str) -> None:
    found = tfbundle.load(prefix)
    assert sorted(found) == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found[name], tensor, strict=True)


@pytest.mark.parametrize("target", ["model.safetensors", "npys/"])
def test_round_trip(root: str, target: str, tmp_path: Path) -> None:
    exported = export(f"{root}/model", f"{root}/{target}")
    tfbundle.save(tmp_path / "model", TENSORS)
    for url, path in zip(exported.files, export(tmp_path / "model", f"{tmp_path}/{target}").files, strict=True):
        assert _content(url) == Path(path).read_bytes()
    import_tensors(f"{root}/{target}", f"{root}/back")
    _check(f"{root}/back")
    assert export(f"{root}/model", f"{root}/{target}", options=RunOptions(if_exists="replace")).files == exported.files
    import_tensors(f"{root}/{target}", tmp_path / "here")
    _check(str(tmp_path / "here"))


def test_several_safetensors_files(root: str) -> None:
    exported = export(f"{root}/model", f"{root}/m.safetensors", files=tfbundle.ExportOptions(max_shard_nbytes=300_000))
    assert len(exported.files) > 2
    import_tensors(exported.files[-1], f"{root}/back")
    _check(f"{root}/back")


def test_archives_are_read_and_not_written(root: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", **TENSORS)
    fsspec.filesystem("memory").put(str(tmp_path / "model.npz"), f"{root}/model.npz".removeprefix("memory:/"))
    import_tensors(f"{root}/model.npz", f"{root}/back")
    _check(f"{root}/back")
    with pytest.raises(UnsupportedError, match="write it here, and copy it") as caught:
        export(f"{root}/model", f"{root}/other.npz")
    assert str(caught.value).startswith(f"{root}/other.npz: ")


def test_what_cannot_be_uploaded_in_order(root: str, tmp_path: Path) -> None:
    np.save(tmp_path / "turned.npy", np.asfortranarray(TENSORS["a/b"]))
    with pytest.raises(UnsupportedError, match="array 'turned' is in Fortran order"):
        import_tensors(tmp_path / "turned.npy", f"{root}/turned")
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="cannot share in these uploads"):
        export(f"{root}/model", f"{root}/m.safetensors", options=RunOptions(executor=executor))
    names = {path.rpartition("/")[2] for path in fsspec.filesystem("memory").ls(root.removeprefix("memory:/"), False)}
    assert names == {"model.index", "model.data-00000-of-00001"}


def test_web_servers_are_no_targets(root: str) -> None:
    with pytest.raises(UnsupportedError, match="a web server can be read from, not written to"):
        export(f"{root}/model", "http://127.0.0.1:1/m.safetensors")
    with pytest.raises(UnsupportedError, match="a web server can be read from, not written to"):
        import_tensors(f"{root}/model.safetensors", "http://127.0.0.1:1/m")
