from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.graphs import meta_graph, node, small_graph
from tfbundle.bundle import graph_file
from tfbundle.bundle.template import read_template
from tfbundle.errors import BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.format.wanted import Wanted
from tfbundle.pb import message_class

SMALL = {"v": Wanted("float16", (4,)), "w": Wanted("float32", (2, 3))}
STORED = {"n": Wanted("int64", ())}
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    path = str(tmp_path / "model.ckpt-7")
    tfbundle.save(path, {"n": np.int64(3)})
    return path


def write_graph(path: str | Path) -> None:
    Path(path).write_bytes(meta_graph(small_graph()).SerializeToString())


@pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_checkpoint(prefix: str, suffix: str) -> None:
    """Without a graph, ``.meta`` is another name of the bundle."""
    assert read_template(prefix + suffix) == STORED


def test_only_the_index_is_needed(prefix: str) -> None:
    os.unlink(prefix + ".data-00000-of-00001")
    assert read_template(prefix) == STORED


def test_directory(prefix: str) -> None:
    assert read_template(Path(prefix).parent) == STORED


def test_partitioned_checkpoint(tmp_path: Path) -> None:
    with tfbundle.create(tmp_path / "m") as writer:
        for start in (2, 0):
            writer.add_slice("big", np.ones((2, 3), np.float16), shape=(4, 3), extents=((start, 2), (0, -1)))
    slices = (((0, 2), (0, -1)), ((2, 2), (0, -1)))
    assert read_template(tmp_path / "m") == {"big": Wanted("float16", (4, 3), slices)}


def test_graph_goes_before_the_bundle_beside_it(prefix: str) -> None:
    write_graph(prefix + ".meta")
    assert read_template(prefix + ".meta") == SMALL
    assert read_template(Path(prefix + ".meta")) == SMALL
    assert read_template(prefix) == STORED


def test_graph_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_graph(".meta")
    assert read_template(".meta") == SMALL


def test_saved_model(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "variables" / "variables", {"n": np.int64(3)})
    message = message_class("SavedModel")(meta_graphs=[meta_graph(small_graph())])
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
    assert read_template(tmp_path / "saved_model.pb") == SMALL
    assert read_template(tmp_path) == STORED


def test_directory_with_the_name_of_a_graph(tmp_path: Path) -> None:
    folder = tmp_path / "model.meta"
    tfbundle.save(folder / "ckpt", {"n": np.int64(3)})
    assert read_template(folder) == STORED


def test_errors_name_the_file_and_the_node(tmp_path: Path) -> None:
    path = tmp_path / "m.meta"
    path.write_bytes(meta_graph([node("all", "NoOp", "^lost")]).SerializeToString())
    with pytest.raises(FormatError) as caught:
        read_template(path)
    assert str(caught.value) == f"{path}: node 'lost' is needed, which the graph does not have"
    path.write_bytes(meta_graph([node("all", "NoOp")]).SerializeToString())
    with pytest.raises(UnsupportedError) as other:
        read_template(path)
    assert str(other.value).startswith(f"{path}: the saver's operation 'all' needs none of")


@pytest.mark.parametrize(
    ("contents", "message"),
    [(b"", "no graph in it"), (LFS_POINTER, "Git LFS pointer"), (b"\xff" * 99, "MetaGraphDef not parseable")],
)
def test_files_that_are_no_graphs(tmp_path: Path, contents: bytes, message: str) -> None:
    path = tmp_path / "m.meta"
    path.write_bytes(contents)
    with pytest.raises(FormatError, match=message) as caught:
        read_template(path)
    assert caught.value.path == str(path)


def test_size_is_checked_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.meta"
    path.touch()
    os.truncate(path, 2**31)  # sparse
    with pytest.raises(FormatError, match="2147483648 bytes are too many for a graph, expected at most 2147483647"):
        read_template(path)
    write_graph(path)
    monkeypatch.setattr(graph_file, "MAX_GRAPH_NBYTES", path.stat().st_size)
    assert read_template(path) == SMALL


def test_nothing_there(tmp_path: Path) -> None:
    for name in ("m", "m.meta", "saved_model.pb"):
        with pytest.raises(BundleNotFoundError):
            read_template(tmp_path / name)
