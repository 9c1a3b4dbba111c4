from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import HandmadeBundle, flip, floats
from tests.support.interrupted import (
    NEW,
    OLD,
    OWNER,
    files_of,
    killed_while_replacing,
    stage,
    stage_model,
    tree_of,
    write_model,
)
from tfbundle.audit.finish import finish
from tfbundle.storage.local import LocalStorage


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return str(tmp_path / "model")


def written(bundle: HandmadeBundle, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    bundle.write(folder / "model")
    return files_of(folder)


class TestBundleWithoutIndex:
    @pytest.mark.parametrize("renamed", [0, 1, 2])
    def test_is_published(self, prefix: str, tmp_path: Path, renamed: int) -> None:
        killed_while_replacing(prefix, renamed)
        with pytest.raises(tfbundle.BundleNotFoundError):
            tfbundle.open(prefix)
        report = finish(prefix)
        assert report.published
        assert files_of(tmp_path) == written(NEW, tmp_path / "expected")
        assert tfbundle.load(prefix)["w"].tolist() == [3, 4]

    @pytest.mark.parametrize("path", ["model.index", f"model.index.tmp-{OWNER}", "model.data-00000-of-00002", ""])
    def test_by_any_of_its_paths(self, prefix: str, tmp_path: Path, path: str) -> None:
        killed_while_replacing(prefix, 0)
        assert finish(tmp_path / path).prefix == prefix
        assert tfbundle.verify(prefix).ok

    @pytest.mark.parametrize("path", ["", "model"])
    def test_with_its_graph(self, prefix: str, tmp_path: Path, path: str) -> None:
        killed_while_replacing(prefix, 1)
        Path(f"{prefix}.meta").write_bytes(b"old")
        Path(f"{prefix}.meta.tmp-{OWNER}").write_bytes(b"new")
        assert finish(tmp_path / path).published
        assert Path(f"{prefix}.meta").read_bytes() == b"new"
        os.unlink(f"{prefix}.meta")
        assert files_of(tmp_path) == written(NEW, tmp_path / "expected")

    @pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "index"])
    def test_stays_where_it_is_if_it_is_not_complete(self, prefix: str, tmp_path: Path, damage: str) -> None:
        killed_while_replacing(prefix, 1)
        data, index = f"{prefix}.data-00001-of-00002.tmp-{OWNER}", f"{prefix}.index.tmp-{OWNER}"
        if damage == "flipped":
            flip(data, 0)
        elif damage == "missing":
            os.unlink(data)
        else:
            os.truncate(data if damage == "cut" else index, 3)
        before = files_of(tmp_path)
        with pytest.raises(tfbundle.FormatError, match="what an interrupted run left is not complete"):
            finish(prefix)
        assert files_of(tmp_path) == before

    def test_complete_one_is_chosen(self, prefix: str, tmp_path: Path) -> None:
        killed_while_replacing(prefix, 0)
        stage(OLD, prefix, "18-00000000")
        flip(f"{prefix}.data-00000-of-00001.tmp-18-00000000", 0)
        report = finish(prefix)
        assert report.published
        assert [Path(path).name for path in report.removed] == [
            "model.data-00000-of-00001.tmp-18-00000000",
            "model.index.tmp-18-00000000",
        ]
        assert files_of(tmp_path) == written(NEW, tmp_path / "expected")

    def test_of_a_run_that_goes_on_is_left_alone(self, prefix: str, tmp_path: Path) -> None:
        killed_while_replacing(prefix, 0)
        before = files_of(tmp_path)
        with LocalStorage().hold(f"{prefix}.data-00000-of-00002.tmp-{OWNER}"):
            with pytest.raises(tfbundle.BundleNotFoundError, match="a run that still goes on is about to publish it"):
                tfbundle.verify(prefix)
            with pytest.raises(tfbundle.BundleNotFoundError, match="nothing to finish"):
                finish(prefix)
        assert files_of(tmp_path) == before

    def test_machine_that_refuses(self, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        killed_while_replacing(prefix, 1)
        before = files_of(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", fail)
            with pytest.raises(OSError, match="Read-only"):
                finish(prefix)
        assert files_of(tmp_path) == before
        assert finish(prefix).published

    def test_nothing_at_all(self, prefix: str, tmp_path: Path) -> None:
        with pytest.raises(tfbundle.BundleNotFoundError, match="nothing to finish"):
            finish(prefix)
        with pytest.raises(tfbundle.BundleNotFoundError):
            finish(tmp_path)


class TestBundleInItsPlace:
    def test_leftovers_go(self, prefix: str, tmp_path: Path) -> None:
        OLD.write(prefix)
        before = files_of(tmp_path)
        useless = [
            *stage(NEW, prefix),
            f"{prefix}.tmp-19-00000001.index",
            f"{prefix}.tmp-19-00000001.data-00000-of-00001",
            f"{prefix}.data-00003-of-00004",
            str(tmp_path / "checkpoint.tmp-20-00000002"),
        ]
        others = ["other.index.tmp-17-0a1b2c3d", "model.txt.tmp-17-0a1b2c3d", "model2.data-00000-of-00003", "model.tmp"]
        for path in [*useless[3:], *(str(tmp_path / other) for other in others)]:
            Path(path).touch()
        report = finish(prefix)
        assert not report.published
        assert sorted(report.removed) == sorted(useless)
        assert files_of(tmp_path) == before | dict.fromkeys(others, b"")

    def test_files_of_a_run_that_goes_on_stay(self, prefix: str, tmp_path: Path) -> None:
        OLD.write(prefix)
        with tfbundle.create(prefix, if_exists="replace") as writer:
            writer.add("w", np.ones(1))
            report = finish(prefix)
            assert [Path(path).name.partition(".tmp-")[0] for path in report.kept] == ["model.data-00000-of-00001"]
            assert report.removed == ()
        assert tfbundle.load(prefix)["w"].tolist() == [1]

    def test_nothing_to_do(self, prefix: str, tmp_path: Path) -> None:
        OLD.write(prefix)
        before = files_of(tmp_path)
        for path in (prefix, tmp_path):
            report = finish(path)
            assert (report.prefix, report.published, report.removed, report.kept) == (prefix, False, (), ())
        assert files_of(tmp_path) == before

    def test_directory_with_several(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            stage(HandmadeBundle([floats("w", [1])]), str(tmp_path / name))
        with pytest.raises(tfbundle.BundleNotFoundError, match="several bundles; give one of a, b"):
            finish(tmp_path)


class TestSavedModel:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        return tmp_path / "folder" / "model"

    @pytest.fixture
    def expected(self, tmp_path: Path) -> dict[str, bytes]:
        write_model(tmp_path / "expected", NEW)
        return {f"model/{path}": contents for path, contents in tree_of(tmp_path / "expected").items()}

    @pytest.mark.parametrize("end", ["", "/", "/saved_model.pb", f".tmp-{OWNER}", f".tmp-{OWNER}/"])
    @pytest.mark.parametrize("replaces", [False, True])
    def test_is_published(self, replaces: bool, end: str, model: Path, expected: dict[str, bytes]) -> None:
        around = stage_model(model, new=NEW, old=OLD) if replaces else stage_model(model, new=NEW)
        report = finish(f"{model}{end}")
        assert (report.prefix, report.published) == (str(model / "variables/variables"), True)
        assert (report.removed, report.kept) == ((str(around),), ())
        assert tree_of(model.parent) == expected
        assert os.listdir(model.parent) == ["model"]

    def test_in_an_empty_directory(self, model: Path, expected: dict[str, bytes]) -> None:
        stage_model(model, new=NEW)
        model.mkdir()
        assert finish(model).published
        assert tree_of(model.parent) == expected

    @pytest.mark.parametrize("path", ["", "/", "/saved_model.pb", "/variables/variables", f".tmp-{OWNER}"])
    def test_in_its_place_loses_what_is_beside_it(self, path: str, model: Path, expected: dict[str, bytes]) -> None:
        write_model(model, NEW)
        Path(f"{model}/variables/variables.index.tmp-{OWNER}").touch()
        useless = [stage_model(model, new=OLD), stage_model(model, "18-00000000", part=OLD)]
        report = finish(f"{model}{path}")
        assert not report.published
        assert report.removed == (*map(str, useless), f"{model}/variables/variables.index.tmp-{OWNER}")
        assert tree_of(model.parent) == expected

    def test_of_a_run_that_goes_on_is_left_alone(self, model: Path) -> None:
        around = stage_model(model, new=NEW, old=OLD)
        before = tree_of(model.parent)
        with LocalStorage().hold(str(around)):
            with pytest.raises(tfbundle.BundleNotFoundError, match="nothing to finish"):
                finish(model)
            assert tree_of(model.parent) == before
            write_model(model, OLD)
            assert finish(model).kept == (str(around),)
        assert before.items() <= tree_of(model.parent).items()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda new: flip(f"{new}/variables/variables.data-00001-of-00002", 0),
            lambda new: os.unlink(new / "variables/variables.index"),
            lambda new: os.unlink(new / "saved_model.pb"),
            lambda new: os.truncate(new / "saved_model.pb", 3),
        ],
    )
    def test_stays_where_it_is_if_it_is_damaged(self, damage: Callable[[Path], None], model: Path) -> None:
        damage(stage_model(model, new=NEW, old=OLD) / "new")
        before = tree_of(model.parent)
        with pytest.raises(tfbundle.FormatError, match="what an interrupted run left is not complete"):
            finish(model)
        assert tree_of(model.parent) == before

    def test_sound_one_is_chosen(self, model: Path, expected: dict[str, bytes]) -> None:
        os.unlink(stage_model(model, new=OLD) / "new" / "saved_model.pb")
        stage_model(model, "18-00000000", new=NEW)
        assert len(finish(model).removed) == 2
        assert tree_of(model.parent) == expected

    def test_part_is_not_published(self, model: Path) -> None:
        around = stage_model(model, part=NEW)
        before = tree_of(model.parent)
        with pytest.raises(tfbundle.BundleNotFoundError, match="nothing to finish") as caught:
            finish(model)
        assert f"a part of it, which can be removed: {around}" in str(caught.value)
        assert tree_of(model.parent) == before

    def test_file_in_its_place(self, model: Path) -> None:
        stage_model(model, new=NEW)
        model.touch()
        with pytest.raises(tfbundle.BundleNotFoundError):
            finish(model)
        assert model.is_file()

    def test_from_within(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_model(model, OLD)
        around = stage_model(model, new=NEW)
        monkeypatch.chdir(model)
        (removed,) = finish("saved_model.pb").removed
        assert Path(removed).name == around.name
        assert os.listdir(model.parent) == ["model"]

    def test_is_none_of_the_bundles_beside_it(self, model: Path) -> None:
        OLD.write(model.parent / "other")
        around = stage_model(model, new=NEW)
        assert finish(model.parent).prefix == str(model.parent / "other")
        assert around.exists()


def test_report_is_plain_data(prefix: str) -> None:
    OLD.write(prefix)
    assert finish(prefix).to_dict() == {"prefix": prefix, "published": False, "removed": (), "kept": ()}
