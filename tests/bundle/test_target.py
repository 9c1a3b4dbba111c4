from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.bundle.test_v1 import write_v1
from tests.support.bundles import write_bundle
from tests.support.handmade import HandmadeBundle, floats
from tests.support.wire import bytes_field, varint_field
from tfbundle import BundleExistsError
from tfbundle.bundle.target import check_not_same, check_room, check_vacant, room_note, target_prefix
from tfbundle.storage.local import LocalStorage

STORAGE = LocalStorage()


@pytest.fixture
def source(tmp_path: Path) -> str:
    return HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "model")


def check(source: str, target: Path) -> None:
    with tfbundle.open(source) as bundle:
        check_not_same(bundle, str(target), LocalStorage())


def test_another_prefix_is_fine(source: str, tmp_path: Path) -> None:
    check(source, tmp_path / "other")
    HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "other")
    check(source, tmp_path / "other")


def test_source_by_its_name_and_by_a_link_to_its_directory(source: str, tmp_path: Path) -> None:
    os.symlink(tmp_path, tmp_path / "link")
    for target in (tmp_path / "model", tmp_path / "link" / "model"):
        with pytest.raises(BundleExistsError, match="the target is the source"):
            check(source, target)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_in_common_is_enough(source: str, tmp_path: Path, suffix: str, link: object) -> None:
    assert callable(link)
    link(source + suffix, str(tmp_path / "other") + suffix)
    with pytest.raises(BundleExistsError, match="the target is the source"):
        check(source, tmp_path / "other")


@pytest.mark.parametrize("path", ["", ".index"])
def test_target_prefix_of_nothing(path: str) -> None:
    with pytest.raises(ValueError, match="target is empty"):
        target_prefix(path, "src/model", STORAGE)
    assert target_prefix("./", "src/model", STORAGE) == "./model"


def test_target_prefix(tmp_path: Path) -> None:
    directory = str(tmp_path)
    assert target_prefix(directory, "src/model.ckpt-7", STORAGE) == os.path.join(directory, "model.ckpt-7")
    assert target_prefix("new/", "src/model", STORAGE) == "new/model"
    assert target_prefix("new/", "src/", STORAGE) == "new/"
    assert target_prefix("new/half", "src/model", STORAGE) == "new/half"
    assert target_prefix("new/half.index", "src/model", STORAGE) == "new/half"
    assert target_prefix("new/half.data-00001-of-00003", "src/model", STORAGE) == "new/half"
    assert target_prefix(Path("half-1.5"), "src/model", STORAGE) == "half-1.5"


def test_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    files = [str(tmp_path / name) for name in "ab"]
    check_vacant(files, "replace", LocalStorage())
    check_vacant(files[:1], "error", LocalStorage())
    with pytest.raises(BundleExistsError, match="b: exists already; --force"):
        check_vacant(files, "error", LocalStorage())


class TestRoom:
    @pytest.fixture
    def free(self, monkeypatch: pytest.MonkeyPatch) -> int:
        monkeypatch.setattr(LocalStorage, "free_nbytes", lambda *_: 1000)
        return 1000

    def test_enough(self, free: int, tmp_path: Path) -> None:
        check_room(str(tmp_path / "model"), free, STORAGE)
        assert room_note(str(tmp_path / "model"), free, STORAGE) == "room needed: 1.0 kB; 1.0 kB free"

    def test_not_enough(self, free: int, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"No space left on device: 1\.5 kB needed, 1\.0 kB free") as caught:
            check_room(str(tmp_path / "model"), 1500, STORAGE)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))
        assert room_note(str(tmp_path / "model"), 1500, STORAGE) == "room needed: 1.5 kB; 1.0 kB free: not enough"

    def test_not_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(LocalStorage, "free_nbytes", lambda *_: None)
        check_room("model", 1 << 60, STORAGE)
        assert room_note("model", 1500, STORAGE) == "room needed: 1.5 kB"

    @pytest.mark.usefixtures("free")
    def test_long_runs_do_not_start(self, tmp_path: Path) -> None:
        """Nothing is read, written or left where the output cannot fit; a dry run says so."""
        tensors = [floats("w", np.zeros(2000)), floats("v", [1])]
        source = HandmadeBundle(tensors).write(tmp_path / "source")
        other = HandmadeBundle([floats("u", np.zeros(2000))]).write(tmp_path / "other")
        runs: list[Callable[..., object]] = [
            lambda target, **how: tfbundle.halve(source, target, **how),
            lambda target, **how: tfbundle.merge([source, other], target, **how),
            lambda target, **how: tfbundle.average([source, source], target, **how),
            lambda target, **how: tfbundle.salvage(source, target, **how),
        ]
        for run in runs:
            with pytest.raises(OSError, match="No space left on device"):
                run(tmp_path / "out" / "model")
            report = run(tmp_path / "out" / "model", options=tfbundle.RunOptions(dry_run=True))
            assert any(note.endswith(": not enough") for note in getattr(report, "notes"))  # noqa: B009
        with pytest.raises(OSError, match="No space left on device"):
            tfbundle.replace_tensor(source, "v", np.zeros(1, np.float32), output=tmp_path / "out" / "model")
        assert not (tmp_path / "out").exists()


def test_header_that_speaks_of_many_data_files_costs_one_look(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(source, {}, header=varint_field(1, 90_000) + bytes_field(3, varint_field(1, 1)))
    looks: list[str] = []

    def look(storage: LocalStorage, left: str, right: str) -> bool:
        looks.append(left)
        return False

    monkeypatch.setattr(LocalStorage, "is_same", look)
    check(source, tmp_path / "other")
    assert len(looks) == 1


def test_v1_checkpoint_that_is_called_like_a_file_of_the_target(tmp_path: Path) -> None:
    path = write_v1(tmp_path / "m.data-00000-of-00001", [((0, 4), (0, 3))])
    with tfbundle.open(path) as bundle:
        assert bundle.is_v1
        check_not_same(bundle, str(tmp_path / "other"), STORAGE)
        with pytest.raises(BundleExistsError, match="the target is the source"):
            check_not_same(bundle, str(tmp_path / "m"), STORAGE)
