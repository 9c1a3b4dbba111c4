"""Every checkpoint of the corpus, read from elsewhere: the values that TensorFlow read, and the same half."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import numpy as np
import pytest

import tfbundle
from tests.remote.web import WebServer
from tests.support.corpus import Item, tensor_digest, v1_items, v2_items

ITEMS = [*v1_items(), *v2_items()]


def _size(item: Item) -> int:
    return sum(path.stat().st_size for path in Path(item.prefix).parent.iterdir() if path.is_file())


def _copy(item: Item, url: str) -> str:
    """Copy the files beside a checkpoint to a directory elsewhere; return its prefix there."""
    filesystem, name = fsspec.core.url_to_fs(url)
    directory, base = os.path.split(item.prefix)
    for path in sorted(Path(directory).iterdir()):
        if path.is_file():
            filesystem.pipe_file(f"{name}/{path.name}", path.read_bytes())
    return f"{url}/{base}"


@pytest.mark.parametrize("item", [item for item in ITEMS if _size(item) < 4 << 20], ids=lambda item: item.label)
def test_same_values_and_same_half(item: Item, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}"
    prefix = _copy(item, url)
    with tfbundle.open(prefix) as bundle:
        names = [name for name, tensor in item.tensors.items() if tensor.sha256 is not None]
        for name in names:
            assert tensor_digest(np.asarray(bundle[name])) == item.tensors[name].sha256
    policy = tfbundle.CastPolicy(on_overflow="inf")
    try:
        tfbundle.halve(item.prefix, str(tmp_path / "here"), policy=policy)
    except tfbundle.BundleError as error:
        with pytest.raises(type(error)):
            tfbundle.halve(prefix, f"{url}/there", policy=policy)
        return
    tfbundle.halve(prefix, f"{url}/there", policy=policy)
    filesystem = fsspec.filesystem("memory")
    made = {path.name.removeprefix("here"): path.read_bytes() for path in tmp_path.glob("here.*")}
    found = [path for path in filesystem.ls(f"/{tmp_path.name}", detail=False) if "/there." in path]
    assert {path.rpartition("/there")[2]: filesystem.cat_file(path) for path in found} == made
    filesystem.rm(f"/{tmp_path.name}", recursive=True)


@pytest.mark.parametrize("item", [item for item in v1_items() if item.kind == "V1"][:2], ids=lambda item: item.label)
def test_v1_checkpoint_on_a_web_server(item: Item, web: WebServer, tmp_path: Path) -> None:
    web.directory, base = os.path.split(item.prefix)
    here, there = tfbundle.load(item.prefix), tfbundle.load(f"{web.url}/{base}")
    assert list(here) == list(there)
    for name, value in here.items():
        assert tensor_digest(np.asarray(there[name])) == tensor_digest(np.asarray(value))
    tfbundle.halve(item.prefix, str(tmp_path / "here"))
    tfbundle.halve(f"{web.url}/{base}", str(tmp_path / "there"))
    for path in tmp_path.glob("here.*"):
        assert (tmp_path / path.name.replace("here", "there")).read_bytes() == path.read_bytes()
