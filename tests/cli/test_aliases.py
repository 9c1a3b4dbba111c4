"""R11: a target that is the source, by whatever name, is refused by every verb that writes, with ``--force`` too."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bundle.test_v1 import write_v1
from tests.support.commands import Command
from tests.support.handmade import HandmadeBundle, floats
from tests.support.hostile import tree_of

VERBS = {
    "halve": "halve {source} {target}",
    "cast": "cast {source} {target} --to bfloat16",
    "merge": "merge {source} {target}",
    "merge of two": "merge {other} {source} {target}",
    "linked merge": "merge {source} {target} --link",
    "moved merge": "merge {source} {target} --move",
    "average": "average {other2} {source} {target}",
    "average, the last": "average {source} {other2} {target}",
    "set": "set {source} w {new} --output {target}",
    "salvage": "salvage {source} {target}",
}


def _link_all(folder: Path, how: Callable[[str, str], None]) -> str:
    """Give the source's files other names in another directory."""
    (folder / "elsewhere").mkdir()
    for name in os.listdir(folder / "run"):
        how(str(folder / "run" / name), str(folder / "elsewhere" / name.replace("model", "name")))
    return str(folder / "elsewhere" / "name")


def _link_one(folder: Path, suffix: str, how: Callable[[str, str], None]) -> str:
    (folder / "elsewhere").mkdir()
    how(str(folder / f"run/model{suffix}"), str(folder / f"elsewhere/name{suffix}"))
    return str(folder / "elsewhere" / "name")


def _link_directory(folder: Path) -> str:
    os.symlink(folder / "run", folder / "link")
    return str(folder / "link" / "model")


def _through_links(folder: Path) -> str:
    os.symlink("run", folder / "one")
    os.symlink("one", folder / "two")
    return str(folder / "two/../run/./model")


ALIASES: dict[str, Callable[[Path], str]] = {
    "itself": lambda folder: str(folder / "run/model"),
    "its directory": lambda folder: str(folder / "run"),
    "its directory with a slash": lambda folder: f"{folder}/run/",
    "its index": lambda folder: str(folder / "run/model.index"),
    "its data": lambda folder: str(folder / "run/model.data-00000-of-00001"),
    "a dot": lambda folder: f"{folder}/run/./model",
    "two dots": lambda folder: f"{folder}/run/../run/model",
    "slashes": lambda folder: f"{folder}//run///model",
    "relative": lambda folder: os.path.relpath(folder / "run/model"),
    "a linked directory": _link_directory,
    "links to links": _through_links,
    "symbolic links": lambda folder: _link_all(folder, os.symlink),
    "hard links": lambda folder: _link_all(folder, os.link),
    "a link to the index": lambda folder: _link_one(folder, ".index", os.symlink),
    "a hard link to the index": lambda folder: _link_one(folder, ".index", os.link),
    "a link to the data": lambda folder: _link_one(folder, ".data-00000-of-00001", os.symlink),
    "a hard link to the data": lambda folder: _link_one(folder, ".data-00000-of-00001", os.link),
}


def _write_inputs(folder: Path) -> dict[str, str]:
    tensors = [floats("w", [1, 2]), floats("v", [3])]
    np.save(folder / "new.npy", np.zeros(2, np.float32))
    return {
        "source": HandmadeBundle(tensors).write(folder / "run" / "model"),
        "other": HandmadeBundle([floats("u", [1])]).write(folder / "in" / "other"),
        "other2": HandmadeBundle(tensors).write(folder / "in" / "other2"),
        "new": str(folder / "new.npy"),
    }


def _check_refused(tfbundle: Command, folder: Path, command: str, paths: dict[str, str]) -> None:
    before = tree_of(folder)
    for force in ([], ["--force"]):
        for dry in ([], ["--dry-run"]) if "set" not in command else ([],):
            found = tfbundle(*[word.format(**paths) for word in command.split()], *force, *dry)
            if force or not dry:
                found.check_error(3)
            assert tree_of(folder) == before


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("verb", VERBS)
def test_r11_source_is_no_target(tfbundle: Command, tmp_path: Path, verb: str, alias: str) -> None:
    paths = _write_inputs(tmp_path)
    paths["target"] = ALIASES[alias](tmp_path)
    if "directory" in alias and "other" in VERBS[verb].split()[1] and alias != "a linked directory":
        pytest.skip("the target would be called after another source")
    if alias.startswith("its directory") and verb == "average, the last":
        pytest.skip("the target would be called after another source")
    _check_refused(tfbundle, tmp_path, VERBS[verb], paths)


@pytest.fixture
def caseless(tmp_path: Path) -> Iterator[Path]:
    """A directory in which upper and lower case are the same: this one, or one in an ext4 image that is mounted."""
    (tmp_path / "probe").touch()
    if (tmp_path / "PROBE").exists():
        yield tmp_path
        return
    image, place = tmp_path / "image", tmp_path / "mounted"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    commands = (f"mkfs.ext4 -q -O casefold -E encoding=utf8 {image}", f"mount -o loop {image} {place}")
    if not all(shutil.which(command.split()[0]) and _succeeds(command) for command in commands):
        pytest.skip(
            "no directory without cases: the file system has none, and no ext4 image with casefold can be mounted"
        )
    try:
        (place / "run").mkdir()
        assert _succeeds(f"chattr +F {place}/run")
        yield place
    finally:
        assert _succeeds(f"umount {place}")


def _succeeds(command: str) -> bool:
    return subprocess.run(command.split(), capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_r11_in_a_directory_without_cases(tfbundle: Command, caseless: Path, verb: str) -> None:
    paths = _write_inputs(caseless)
    _check_refused(tfbundle, caseless, VERBS[verb], {**paths, "target": str(caseless / "run" / "MODEL")})


# Pages, maps and the like.


@pytest.mark.parametrize("verb", ["stats {source}", "halve {source} {target}", "cast {source} {target} --to bfloat16"])
@pytest.mark.parametrize(
    "page",
    [
        "{source}.index",
        "{source}.data-00000-of-00001",
        "{run}/empty.data-00001-of-00002",
        "{run}/link.html",
        "{target}.index",
        "{target}.data-00000-of-00001",
        "{run}/checkpoint",
        "{out}/checkpoint",
        "{target}.INDEX",
        "{run}",
        "{new}",
    ],
)
def test_r11_no_page_takes_the_place_of_a_bundle(tfbundle: Command, tmp_path: Path, verb: str, page: str) -> None:
    """Neither of the source, be a data file empty, nor of the target that is written just before."""
    paths = _write_inputs(tmp_path)
    (tmp_path / "run" / "empty.data-00001-of-00002").touch()
    (tmp_path / "run" / "link.html").symlink_to("model.index")
    (tmp_path / "run" / "checkpoint").write_text('model_checkpoint_path: "model"\n')
    paths |= {"run": str(tmp_path / "run"), "out": str(tmp_path / "out"), "target": str(tmp_path / "out" / "model")}
    before = tree_of(tmp_path)
    for force in ([], ["--force"]) if "target" in verb else ([],):
        words = [word.format(**paths) for word in verb.split()]
        tfbundle(*words, "--report", page.format(**paths), *force).check_error(3, "report")
        assert tree_of(tmp_path) == before


def test_r11_v1_checkpoint_that_is_called_like_a_data_file(tfbundle: Command, tmp_path: Path) -> None:
    """Whatever its name is, a source is not overwritten."""
    (tmp_path / "run").mkdir()
    table = str(write_v1(tmp_path / "run" / "model.data-00000-of-00001", [((0, 4), (0, 3))]))
    np.save(tmp_path / "new.npy", np.zeros((4, 3), np.float32))
    before = tree_of(tmp_path)
    for command in (
        ["halve", table, str(tmp_path / "run" / "model"), "--force"],
        ["cast", table, str(tmp_path / "run" / "model"), "--to", "bfloat16", "--force"],
        ["average", table, table, str(tmp_path / "run" / "model"), "--force"],
        ["set", table, "w", str(tmp_path / "new.npy"), "--output", str(tmp_path / "run" / "model"), "--force"],
    ):
        tfbundle(*command).check_error(3, "the target is the source")
        assert tree_of(tmp_path) == before


def test_r11_demo(tfbundle: Command, tmp_path: Path) -> None:
    """What a demo halves is its own; where both of its directories are one, nothing is halved onto itself."""
    (tmp_path / "float32").mkdir()
    (tmp_path / "float16").symlink_to("float32")
    tfbundle("demo", tmp_path, "--force").check_error(3, "the target is the source")
    assert not [path for path in tree_of(tmp_path) if ".tmp-" in path]
