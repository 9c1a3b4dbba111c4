from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tfbundle.bundle.publish import remove_stale_shards
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
