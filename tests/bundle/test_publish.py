from __future__ import annotations

from pathlib import Path

from tfbundle.bundle.publish import remove_stale_shards
from tfbundle.storage.local import LocalStorage


def test_stale_shards_go(tmp_path: Path) -> None:
    keep = ["model.data-00000-of-00002", "model.data-00001-of-00002", "model.index", "model2.data-00000-of-00003"]
    for name in [*keep, "model.data-00000-of-00001", "model.data-00002-of-00003"]:
        (tmp_path / name).touch()
    remove_stale_shards(str(tmp_path / "model"), 2, LocalStorage())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(keep)
