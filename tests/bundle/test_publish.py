from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tfbundle.bundle.publish import publish_bundle, publish_in_place, remove_stale_shards, stage_shards
from tfbundle.format.entries import BundleHeader
from tfbundle.format.naming import data_filename
from tfbundle.storage.base import staging
from tfbundle.storage.local import LocalStorage


def test_stale_shards_go(tmp_path: Path) -> None:
    keep = ["model.data-00000-of-00002", "model.data-00001-of-00002", "model.index", "model2.data-00000-of-00003"]
    for name in [*keep, "model.data-00000-of-00001", "model.data-00002-of-00003"]:
        (tmp_path / name).touch()
    remove_stale_shards(str(tmp_path / "model"), 2, LocalStorage())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(keep)


@pytest.mark.parametrize("failing", ["unlink", "listdir"])
def test_stale_shards_that_stay_are_told_with_the_bundle_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """All that can be removed are, and the user learns that the new bundle is whole."""
    prefix = tmp_path / "model"
    tfbundle.save(prefix, {"w": np.ones(2)})
    strays = [tmp_path / f"model.data-0000{shard}-of-00003" for shard in range(3)]
    for path in strays:
        path.touch()
    unlink = os.unlink

    def fail(path: str) -> None:
        if failing == "listdir" or path == str(strays[0]):
            raise OSError(errno.EIO, "Input/output error", path)
        unlink(path)

    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match="is complete, but old data files") as caught,
    ):
        patch.setattr(os, failing, fail)
        tfbundle.save(prefix, {"w": np.zeros(2)}, if_exists="replace")
    assert caught.value.filename == str(strays[0] if failing == "unlink" else tmp_path)
    assert [path.exists() for path in strays] == [True, failing != "unlink", failing != "unlink"]
    assert tfbundle.load(prefix)["w"].tolist() == [0, 0]


class TestDirectoryThatMayNotBeListed:
    """What a replaced bundle leaves behind is known from its index alone."""

    @pytest.fixture
    def prefix(self, tmp_path: Path) -> Path:
        """A bundle of three data files."""
        prefix = tmp_path / "model"
        path = tmp_path / "other"
        tfbundle.save(path, {"w": np.ones(2)})
        with tfbundle.open(path) as bundle, staging(LocalStorage(), replace=False) as stage:
            storage, header = LocalStorage(), replace(bundle.index.header, num_shards=3)
            files = stage_shards(stage, storage, str(prefix), [16, 0, 0])
            files[0].write_at(0, Path(f"{path}.data-00000-of-00001").read_bytes())
            rows = [(key.encode(), bundle.index.rows[key.encode()]) for key in bundle]
            publish_bundle(stage, storage, str(prefix), header, rows, "error")
        assert tfbundle.verify(prefix).ok
        return prefix

    def replace(self, prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: str) -> list[str]:
            raise PermissionError(errno.EACCES, "Permission denied", path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "listdir", refuse)
            tfbundle.save(prefix, {"w": np.zeros(2)}, if_exists="replace")

    def test_old_data_files_go(self, prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.replace(prefix, monkeypatch)
        names = sorted(path.name for path in prefix.parent.iterdir() if path.name.startswith("model"))
        assert names == ["model.data-00000-of-00001", "model.index"]

    def test_nothing_was_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.replace(tmp_path / "new", monkeypatch)
        assert tfbundle.verify(tmp_path / "new").ok

    @pytest.mark.parametrize("trouble", ["damaged", "too many"])
    def test_old_index_says_nothing(self, prefix: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
        """Nobody knows then whether old data files are left: the user is told with the new bundle complete."""
        if trouble == "damaged":
            Path(f"{prefix}.index").write_bytes(b"nothing")
        else:
            monkeypatch.setattr("tfbundle.bundle.publish._MAX_UNLISTED_SHARDS", 2)
        with pytest.raises(OSError, match=r"may not be listed; .* is complete") as caught:
            self.replace(prefix, monkeypatch)
        assert (caught.value.errno, caught.value.filename) == (errno.EACCES, str(prefix.parent))
        assert tfbundle.load(prefix)["w"].tolist() == [0, 0]


def test_in_place_with_one_more_data_file(tmp_path: Path) -> None:
    prefix, storage = str(tmp_path / "model"), LocalStorage()
    tfbundle.save(prefix, {"w": np.ones(2)})
    with tfbundle.open(prefix) as bundle:
        header, rows = bundle.index.header, list(bundle.index.iter_rows())
    with staging(storage, replace=True) as stage:
        stage.link(data_filename(prefix, 0, 1), data_filename(prefix, 0, 2))
        stage.create(data_filename(prefix, 1, 2)).write_at(0, b"more")
        publish_in_place(stage, storage, prefix, replace(header, num_shards=2), rows, check=lambda: None)
    names = ["model.data-00000-of-00002", "model.data-00001-of-00002", "model.index"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / names[1]).read_bytes() == b"more"
    assert tfbundle.load(prefix)["w"].tolist() == [1, 1]


def test_in_place_unless_the_bundle_is_another_by_now(tmp_path: Path) -> None:
    prefix, storage = str(tmp_path / "model"), LocalStorage()
    tfbundle.save(prefix, {"w": np.ones(2)})

    def refuse() -> None:
        raise tfbundle.FormatError("it changed")

    with pytest.raises(tfbundle.FormatError, match="it changed"), staging(storage, replace=True) as stage:
        stage.link(data_filename(prefix, 0, 1), data_filename(prefix, 0, 2))
        publish_in_place(stage, storage, prefix, BundleHeader(2), [], check=refuse)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.data-00000-of-00001", "model.index"]
    assert tfbundle.load(prefix)["w"].tolist() == [1, 1]
