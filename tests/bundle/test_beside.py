from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.support.handmade import HandmadeBundle, floats
from tests.support.requirements import tensorflow
from tfbundle import halve, latest
from tfbundle.bundle.beside import record_checkpoint, settle, surroundings_notes
from tfbundle.storage.local import LocalStorage
from tfbundle.streaming.layout import Layout

STATE = 'model_checkpoint_path: "{0}"\nall_model_checkpoint_paths: "{0}"\n'


def record(source: str | Path, target: str | Path) -> list[str]:
    return record_checkpoint([os.fspath(source)], os.fspath(target), LocalStorage())


@pytest.fixture
def source(tmp_path: Path) -> str:
    return HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "float32" / "model.ckpt-7")


def test_path_is_relative(source: str, tmp_path: Path) -> None:
    halve(source, tmp_path / "half" / "model.ckpt-7")
    assert (tmp_path / "half" / "checkpoint").read_text() == STATE.format("model.ckpt-7")
    os.rename(tmp_path / "half", tmp_path / "moved")
    assert latest(tmp_path / "moved") == str(tmp_path / "moved" / "model.ckpt-7")


def test_tensorflow_finds_the_result(source: str, tmp_path: Path) -> None:
    tf = tensorflow()
    halve(source, tmp_path / "half" / "other")
    assert tf.train.latest_checkpoint(str(tmp_path / "half")) == str(tmp_path / "half" / "other")


def test_empty_base_name(tmp_path: Path) -> None:
    tf = tensorflow()
    source = HandmadeBundle([floats("w", [1, 2])]).write(f"{tmp_path}/float32/")
    report = halve(source, f"{tmp_path}/half/")
    assert report.target == f"{tmp_path}/half/"
    assert sorted(os.listdir(tmp_path / "half")) == [".data-00000-of-00001", ".index", "checkpoint"]
    found = tf.train.latest_checkpoint(str(tmp_path / "half"))
    assert tf.train.load_checkpoint(found).get_tensor("w").tolist() == [1, 2]
    assert latest(tmp_path / "half") is not None


def test_none_in_the_directory_of_the_source(source: str) -> None:
    report = halve(source, source + "-half")
    assert not os.path.exists(os.path.join(os.path.dirname(source), "checkpoint"))
    assert not any("checkpoint" in note for note in report.notes)


def test_none_in_the_directory_of_the_source_by_another_name(source: str, tmp_path: Path) -> None:
    os.symlink(os.path.dirname(source), tmp_path / "link")
    halve(source, tmp_path / "link" / "half")
    assert not os.path.exists(tmp_path / "link" / "checkpoint")


def test_existing_file_is_extended(source: str, tmp_path: Path) -> None:
    tf = tensorflow()
    target = tmp_path / "half"
    halve(source, target / "old")
    halve(source, target / "new")
    state = tf.train.get_checkpoint_state(str(target))
    assert state.model_checkpoint_path == str(target / "new")
    assert [os.path.basename(path) for path in state.all_model_checkpoint_paths] == ["old", "new"]


def test_timestamps_stay_in_step(source: str, tmp_path: Path) -> None:
    tf = tensorflow()
    target = tmp_path / "half"
    target.mkdir()
    (target / "checkpoint").write_text(STATE.format("old") + "all_model_checkpoint_timestamps: 12.5\n")
    record(source, target / "new")
    state = tf.train.get_checkpoint_state(str(target))
    assert len(state.all_model_checkpoint_timestamps) == 2
    assert state.all_model_checkpoint_timestamps[0] == 12.5
    assert state.all_model_checkpoint_timestamps[1] > 1e9


def test_same_checkpoint_is_listed_once(source: str, tmp_path: Path) -> None:
    for _ in range(2):
        record(source, tmp_path / "new")
    assert (tmp_path / "checkpoint").read_text() == STATE.format("new")


@pytest.mark.parametrize("contents", [b"nonsense", b"\xff\xfe", b'model_checkpoint_path: ""', b"unknown_field: 3"])
def test_unparseable_file_is_left_alone(source: str, tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "half" / "checkpoint"
    path.parent.mkdir()
    path.write_bytes(contents)
    report = halve(source, tmp_path / "half" / "model")
    assert path.read_bytes() == contents
    assert sum(str(path) in note and "left alone" in note for note in report.notes) == 1
    assert os.path.exists(tmp_path / "half" / "model.index")


def test_no_temporary_files_remain(source: str, tmp_path: Path) -> None:
    halve(source, tmp_path / "half" / "model")
    assert sorted(os.listdir(tmp_path / "half")) == ["checkpoint", "model.data-00000-of-00001", "model.index"]


def test_name_that_needs_quoting(source: str, tmp_path: Path) -> None:
    tf = tensorflow()
    name = 'a "quoted"\\ näme'
    halve(source, tmp_path / "half" / name)
    state = tf.train.get_checkpoint_state(str(tmp_path / "half"))
    assert state.model_checkpoint_path == str(tmp_path / "half" / name)


def test_meta_graph_beside_the_source(source: str, tmp_path: Path) -> None:
    Path(source + ".meta").write_bytes(b"graph")
    report = halve(source, tmp_path / "half" / "model", layout=Layout(graph="leave"))
    assert f"the graph {source}.meta has the dtypes of before and is not copied" in report.notes
    assert not os.path.exists(tmp_path / "half" / "model.meta")


def test_saved_model_around_the_source(tmp_path: Path) -> None:
    prefix = HandmadeBundle([floats("w", [1])]).write(tmp_path / "saved" / "variables" / "variables")
    graph = tmp_path / "saved" / "saved_model.pb"
    graph.write_bytes(b"graph")
    (note,) = surroundings_notes(prefix, LocalStorage())
    assert str(graph) in note
    assert "dtypes of before" in note


def test_nothing_beside_the_source(source: str) -> None:
    assert surroundings_notes(source, LocalStorage()) == []


def test_file_that_cannot_be_replaced(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle is complete by then: a note tells, and the file stays as it was."""
    halve(source, tmp_path / "half" / "first")
    before = (tmp_path / "half" / "checkpoint").read_text()

    def fail(*_paths: str) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "rename", fail)
    (note,) = record(source, tmp_path / "half" / "second")
    assert note == f"left alone: {tmp_path}/half/checkpoint: Operation not permitted"
    assert (tmp_path / "half" / "checkpoint").read_text() == before
    assert sorted(os.listdir(tmp_path / "half")) == ["checkpoint", "first.data-00000-of-00001", "first.index"]


def failing(path: str | Path) -> OSError:
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))


def test_graph_that_nobody_may_look_for(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(source + ".meta").write_bytes(b"graph")

    def fail(_storage: LocalStorage, path: str) -> bool:
        raise failing(path)

    monkeypatch.setattr(LocalStorage, "exists", fail)
    assert surroundings_notes(source, LocalStorage()) == []


def test_directory_that_nobody_may_list(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle is complete by then."""

    def fail(_storage: LocalStorage, path: str) -> list[str]:
        raise failing(path)

    monkeypatch.setattr(LocalStorage, "list_directory", fail)
    notes = settle([source], str(tmp_path / "model"), 1, LocalStorage())
    assert notes == [
        f"{tmp_path}/checkpoint names it as the latest checkpoint",
        f"nobody knows what is left of interrupted runs: {tmp_path}: Permission denied",
    ]


def test_name_that_is_no_text(source: str, tmp_path: Path) -> None:
    (note,) = record(source, tmp_path / "n\udcff")
    assert note == f"left alone: {tmp_path}/checkpoint: its text is UTF-8, which the name n\udcff is not"
    assert not (tmp_path / "checkpoint").exists()
