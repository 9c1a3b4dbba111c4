"""Directories as runs leave them that were killed at some moment."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.handmade import HandmadeBundle, floats, integers

OWNER = "17-0a1b2c3d"
OLD = HandmadeBundle([floats("w", [1, 2]), integers("step", [5])])
NEW = HandmadeBundle([floats("w", [3, 4], shard=1), integers("step", [6])], 2)


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a directory, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def stage(bundle: HandmadeBundle, prefix: str, owner: str = OWNER) -> list[str]:
    """Write a bundle under temporary names; return these."""
    folder = os.path.join(os.path.dirname(prefix), "made-elsewhere")
    os.mkdir(folder)
    bundle.write(os.path.join(folder, os.path.basename(prefix)))
    staged = []
    for name in sorted(os.listdir(folder)):
        staged.append(os.path.join(os.path.dirname(prefix), f"{name}.tmp-{owner}"))
        os.rename(os.path.join(folder, name), staged[-1])
    os.rmdir(folder)
    return staged


def killed_while_replacing(prefix: str, renamed: int) -> None:
    """Leave what a run leaves that was killed when the old index was gone and some new data files were renamed."""
    OLD.write(prefix)
    staged = stage(NEW, prefix)
    os.unlink(prefix + ".index")
    for path in [path for path in staged if ".data-" in path][:renamed]:
        os.rename(path, path.partition(".tmp-")[0])
