from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import tfbundle
from tests.support.interrupted import NEW, OLD, OWNER, killed_while_replacing, stage, stage_model, write_model
from tfbundle.bundle.leftovers import (
    Leftover,
    StagedModel,
    abandoned_notes,
    describe_unfinished,
    find_leftovers,
    find_staged_models,
    find_strays,
    leftover_notes,
    model_directory,
)
from tfbundle.storage.local import LocalStorage

STORAGE = LocalStorage()


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return OLD.write(tmp_path / "model")


def test_none(prefix: str) -> None:
    assert find_leftovers(prefix, STORAGE) == []
    assert leftover_notes(prefix, 1, STORAGE) == []
    assert describe_unfinished(prefix, STORAGE) == ""


def test_files_of_a_run_are_together(prefix: str) -> None:
    staged = stage(NEW, prefix)
    Path(f"{prefix}.tmp-9-00000000.index").touch()
    expected = {path.partition(".tmp-")[0]: path for path in staged}
    assert find_leftovers(prefix, STORAGE) == [
        Leftover(expected, (), is_in_use=False),
        Leftover({}, (f"{prefix}.tmp-9-00000000.index",), is_in_use=False),
    ]


def test_files_of_other_bundles_are_theirs(prefix: str, tmp_path: Path) -> None:
    for name in ("model-2.index", "mode.index", "model-2.meta", "model.data"):
        (tmp_path / f"{name}.tmp-{OWNER}").touch()
    (tmp_path / f"model-2.tmp-{OWNER}.index").touch()
    assert find_leftovers(prefix, STORAGE) == []


def test_prefix_without_a_name(tmp_path: Path) -> None:
    (tmp_path / f".index.tmp-{OWNER}").touch()
    (leftover,) = find_leftovers(str(tmp_path / ""), STORAGE) or find_leftovers(f"{tmp_path}/", STORAGE)
    assert leftover.staged == {f"{tmp_path}/.index": f"{tmp_path}/.index.tmp-{OWNER}"}


def test_strays(prefix: str) -> None:
    strays = [f"{prefix}.data-00000-of-00002", f"{prefix}.data-00001-of-00003"]
    for path in [*strays, f"{prefix}2.data-00000-of-00002"]:
        Path(path).touch()
    assert find_strays(prefix, 1, STORAGE) == strays
    assert find_strays(prefix, 2, STORAGE) == [f"{prefix}.data-00000-of-00001", strays[1]]


def test_notes(prefix: str) -> None:
    staged = stage(NEW, prefix)
    Path(f"{prefix}.data-00000-of-00002").touch()
    notes = leftover_notes(prefix, 1, STORAGE)
    remedy = f"tfbundle verify --finish {prefix} removes them"
    assert notes == [
        f"left behind by an interrupted run: {staged[0]} and 2 more; {remedy}",
        f"not of this checkpoint, which has 1 shard: {prefix}.data-00000-of-00002; {remedy}",
    ]
    with STORAGE.hold(staged[1]):
        assert f"another run writes here now: {staged[0]} and 2 more" in leftover_notes(prefix, 2, STORAGE)


def test_notes_on_files_that_are_no_bundle(tmp_path: Path) -> None:
    directory = str(tmp_path)
    first, second = (f"{tmp_path}/{name}.tmp-1-00000000" for name in ("a.npy", "b.npy"))
    for path in (first, second, f"{tmp_path}/c.npz.tmp-1-00000000", f"{tmp_path}/a.npy"):
        Path(path).touch()

    def notes() -> list[str]:
        return abandoned_notes(directory, lambda name: name.endswith(".npy"), STORAGE)

    assert notes() == [f"left behind by an interrupted run: {first} and 1 more; nothing reads them, and they can go"]
    with STORAGE.hold(second):  # a run marks one of its files only
        assert notes() == [f"another run writes here now: {first} and 1 more"]
    os.unlink(first)
    os.unlink(second)
    assert notes() == []


def test_unfinished(tmp_path: Path) -> None:
    prefix = str(tmp_path / "lost" / "model")
    os.mkdir(tmp_path / "lost")
    killed_while_replacing(prefix, 1)
    index = f"{prefix}.index.tmp-{OWNER}"
    remedy = f"tfbundle verify --finish {prefix} publishes it"
    assert index in describe_unfinished(prefix, STORAGE)
    assert remedy in describe_unfinished(prefix, STORAGE)
    for path in (prefix, tmp_path / "lost", f"{prefix}.index", f"{prefix}.data-00000-of-00001"):
        with pytest.raises(tfbundle.BundleNotFoundError) as caught:
            tfbundle.open(path)
        assert remedy in str(caught.value)
    with pytest.raises(tfbundle.BundleExistsError) as refused:
        tfbundle.save(prefix, {"w": 1})
    assert remedy in str(refused.value)
    with STORAGE.hold(index):
        assert "a run that still goes on is about to publish it" in describe_unfinished(prefix, STORAGE)


def test_temporary_copy_is_no_checkpoint(tmp_path: Path) -> None:
    """Of a V1 checkpoint, made for a conversion that was killed: the directory must not offer it."""
    OLD.write(tmp_path / "model.tmp-1-00000000")
    with pytest.raises(tfbundle.BundleNotFoundError, match="Couldn't find"):
        tfbundle.open(tmp_path)
    NEW.write(tmp_path / "model")
    assert tfbundle.load(tmp_path)["step"] == 6


class TestDirectoriesOfSavedModels:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        return tmp_path / "model"

    def test_are_told_by_their_names(self, model: Path) -> None:
        write_model(model, OLD)
        part, new = stage_model(model, part=NEW), stage_model(model, "18-00000000", new=NEW, old=OLD)
        stage_model(model.with_name("model2"), new=NEW)
        (model.parent / f"model.tmp-{OWNER}-old").mkdir()
        (model.parent / "model.tmp-19-00000000").touch()
        expected = [StagedModel(str(part), False, False), StagedModel(str(new), True, False)]
        assert find_staged_models(str(model), STORAGE) == expected
        assert find_staged_models("s3://bucket/model", STORAGE) == []

    @pytest.mark.parametrize("path", ["", ".", "../model", "variables/.."])
    def test_of_the_current_directory(self, path: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_model(model, OLD)
        around = stage_model(model, part=NEW)
        monkeypatch.chdir(model)
        (found,) = find_staged_models(path, STORAGE)
        assert Path(found.around).resolve() == around

    def test_prefix_within_one(self) -> None:
        prefixes = (
            "a/half/variables/variables",
            "/variables/variables",
            "variables/variables",
            "my_variables/variables",
        )
        assert [model_directory(prefix) for prefix in prefixes] == ["a/half", "/", "", None]

    def test_notes(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_model(model, OLD)
        first, second = stage_model(model, part=NEW), stage_model(model, "18-00000000", part=NEW)
        with STORAGE.hold(str(second)):
            assert tfbundle.verify(model).notes == (
                f"left behind by an interrupted run: {first}; tfbundle verify --finish {model} removes them",
                f"another run writes here now: {second}",
            )
        monkeypatch.chdir(model)
        (note,) = tfbundle.verify("variables/variables").notes
        assert "tfbundle verify --finish . removes them" in note

    @pytest.mark.parametrize("make", [lambda model: None, Path.mkdir])
    def test_missing_or_empty(self, make: Callable[[Path], None], model: Path) -> None:
        make(model)
        around = stage_model(model, part=NEW)

        def explained(path: Path | str) -> str:
            with pytest.raises(tfbundle.BundleNotFoundError) as caught:
                tfbundle.open(path)
            return str(caught.value)

        assert f"an interrupted run left a part of it, which can be removed: {around}" in explained(model)
        os.rename(around / "part", around / "new")
        remedy = f"in {around}: tfbundle verify --finish {model} publishes it if it is complete"
        assert remedy in explained(model)
        assert remedy in explained(f"{model}/")
        with STORAGE.hold(str(around)):
            assert f"a run that still goes on is about to publish it: {around}" in explained(model)
