from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.handmade import HandmadeBundle, floats
from tfbundle.bundle import graph_file
from tfbundle.bundle.graph_file import blaming, from_unchanged, open_graph_file, read_graph_file
from tfbundle.bundle.locate import is_frozen_graph, is_saved_model
from tfbundle.errors import BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.storage.local import LocalStorage
from tfbundle.storage.stream import whole


def test_contents(tmp_path: Path) -> None:
    (tmp_path / "g.pb").write_bytes(b"graph")
    assert read_graph_file(str(tmp_path / "g.pb"), LocalStorage()) == b"graph"
    with pytest.raises(BundleNotFoundError):
        read_graph_file(str(tmp_path / "other.pb"), LocalStorage())


def test_size_and_pointers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "g.pb").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(FormatError, match="Git LFS pointer"):
        read_graph_file(str(tmp_path / "g.pb"), LocalStorage())
    monkeypatch.setattr(graph_file, "MAX_GRAPH_NBYTES", 10)
    (tmp_path / "g.pb").write_bytes(bytes(11))
    with pytest.raises(FormatError, match="11 bytes are too many for a graph, expected at most 10"):
        read_graph_file(str(tmp_path / "g.pb"), LocalStorage())


def test_what_is_made_of_a_file_fails_if_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "g.pb"
    path.write_bytes(b"graph")
    with open_graph_file(str(path), LocalStorage()) as file:
        stream = from_unchanged(file, whole(b"made"))
        assert (stream.nbytes, b"".join(stream.pieces())) == (4, b"made")
        path.write_bytes(b"another graph")
        with pytest.raises(FormatError, match="changed"):
            b"".join(stream.pieces())


def test_errors_get_a_path_unless_they_have_one() -> None:
    with pytest.raises(FormatError) as found, blaming("g.pb"):
        raise FormatError("broken", "", "node 'n'")
    assert str(found.value) == "g.pb: node 'n': broken"
    with pytest.raises(UnsupportedError, match=r"g\.pb: no"), blaming("g.pb"):
        raise UnsupportedError("no")
    with pytest.raises(UnsupportedError, match=r"other\.pb: no"), blaming("g.pb"):
        raise UnsupportedError("no", "other.pb")


def test_what_is_a_saved_model_or_a_frozen_graph(tmp_path: Path) -> None:
    storage = LocalStorage()
    for name in ("model/saved_model.pb", "g.pb", "b.pb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    HandmadeBundle([floats("w", [1])]).write(tmp_path / "b.pb")
    os.mkdir(tmp_path / "d.pb")
    paths = ["model", "model/saved_model.pb", "g.pb", "b.pb", "d.pb", "n.pb", "saved_model.pb", "."]
    found = [str(tmp_path / path) for path in paths]
    assert [path for path, full in zip(paths, found, strict=True) if is_saved_model(full, storage)] == paths[:2]
    assert [path for path, full in zip(paths, found, strict=True) if is_frozen_graph(full, storage)] == ["g.pb"]
