"""Directories as runs leave them that were killed at some moment."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.graphs import saver_graph
from tests.support.handmade import HandmadeBundle, floats, integers
from tfbundle.pb import message_class

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


def write_model(folder: Path, bundle: HandmadeBundle) -> None:
    """Write a SavedModel, with an asset."""
    bundle.write(folder / "variables" / "variables")
    (folder / "assets").mkdir()
    (folder / "assets" / "words.txt").write_text("words")
    message = message_class("SavedModel")(meta_graphs=[saver_graph("w")])
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())


def stage_model(target: Path, owner: str = OWNER, **directories: HandmadeBundle) -> Path:
    """Leave what a run leaves that was killed while it made or replaced a SavedModel; return where.

    Args:
        target: the SavedModel's directory.
        owner: of the temporary name.
        directories: what is in there, by its name.
    """
    around = target.with_name(f"{target.name}.tmp-{owner}")
    for name, bundle in directories.items():
        write_model(around / name, bundle)
    return around


def tree_of(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a directory, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
