"""Files: each call in a directory of its own, by TensorFlow and by the stand-in, with the same outcome."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.requirements import tensorflow
from tfbundle.compat import tf

LINES = "ä\nb\n\nc"

Steps = Callable[[Any, str], Any]
"""Takes TensorFlow, or the stand-in, and a directory."""


def gfile(mode: str, *calls: tuple[Any, ...], name: str = "lines") -> Steps:
    """Return steps that open a file and make calls of it, with what each returns or raises."""

    def act(world: Any, folder: str) -> list[Any]:
        file = world.io.gfile.GFile(f"{folder}/{name}", mode)
        found = [outcome(partial(make_call, file, *call)) for call in calls]
        file.close()
        return found

    return act


def make_call(file: Any, name: str, *arguments: Any) -> Any:
    return getattr(file, name)(*arguments)


STEPS: dict[str, Steps] = {
    "exists": lambda w, d: [w.io.gfile.exists(f"{d}/{name}") for name in ("lines", "a", "no", "a/z")],
    "exists of nothing": lambda w, d: w.io.gfile.exists(""),
    "exists of None": lambda w, d: w.io.gfile.exists(None),
    "exists of bytes": lambda w, d: w.gfile.Exists(f"{d}/lines".encode()),
    "exists elsewhere": lambda w, d: w.io.gfile.exists("foo://bucket/file"),
    "file scheme": lambda w, d: w.io.gfile.GFile(f"file://{d}/lines").read(),
    "isdir": lambda w, d: [w.io.gfile.isdir(path) for path in (d, f"{d}/lines", f"{d}/no", "foo://x")],
    "listdir": lambda w, d: w.io.gfile.listdir(d),
    "listdir of a file": lambda w, d: w.io.gfile.listdir(f"{d}/lines"),
    "ListDirectory": lambda w, d: w.gfile.ListDirectory(f"{d}/a"),
    "walk": lambda w, d: list(w.io.gfile.walk(d)),
    "Walk, bottom up": lambda w, d: list(w.gfile.Walk(d, in_order=False)),
    "walk of nothing": lambda w, d: list(w.io.gfile.walk(f"{d}/no")),
    "mkdir": lambda w, d: [w.io.gfile.mkdir(f"{d}/new"), w.io.gfile.isdir(f"{d}/new")],
    "mkdir, there": lambda w, d: w.io.gfile.mkdir(f"{d}/a"),
    "mkdir, deep": lambda w, d: w.io.gfile.mkdir(f"{d}/x/y"),
    "makedirs": lambda w, d: [w.gfile.MakeDirs(f"{d}/x/y"), w.io.gfile.makedirs(f"{d}/x/y")],
    "makedirs over a file": lambda w, d: w.io.gfile.makedirs(f"{d}/lines"),
    "makedirs below a file": lambda w, d: w.io.gfile.makedirs(f"{d}/lines/x"),
    "remove": lambda w, d: [w.io.gfile.remove(f"{d}/lines"), w.io.gfile.exists(f"{d}/lines")],
    "remove nothing": lambda w, d: w.gfile.Remove(f"{d}/no"),
    "remove a directory": lambda w, d: w.io.gfile.remove(f"{d}/a"),
    "rmtree": lambda w, d: [w.io.gfile.rmtree(f"{d}/a"), os.listdir(d)],
    "rmtree of a file": lambda w, d: w.gfile.DeleteRecursively(f"{d}/f1"),
    "rmtree of nothing": lambda w, d: w.io.gfile.rmtree(f"{d}/no"),
    "copy": lambda w, d: [w.io.gfile.copy(f"{d}/lines", f"{d}/c"), Path(f"{d}/c").read_text()],
    "copy over": lambda w, d: w.io.gfile.copy(f"{d}/lines", f"{d}/f1"),
    "copy over, allowed": lambda w, d: [w.gfile.Copy(f"{d}/f1", f"{d}/f2", True), Path(f"{d}/f2").read_text()],
    "copy of nothing": lambda w, d: w.io.gfile.copy(f"{d}/no", f"{d}/c"),
    "rename": lambda w, d: [w.io.gfile.rename(f"{d}/f1", f"{d}/g"), sorted(os.listdir(d))],
    "rename over": lambda w, d: w.gfile.Rename(f"{d}/f1", f"{d}/f2"),
    "rename over, allowed": lambda w, d: [w.io.gfile.rename(f"{d}/f1", f"{d}/f2", True), sorted(os.listdir(d))],
    "rename nothing": lambda w, d: w.io.gfile.rename(f"{d}/no", f"{d}/g"),
    "stat": lambda w, d: describe_stat(w.io.gfile.stat(f"{d}/f1")),
    "stat of a directory": lambda w, d: w.gfile.Stat(d).is_directory,
    "stat of nothing": lambda w, d: w.io.gfile.stat(f"{d}/no"),
    "join": lambda w, d: w.io.gfile.join("a", "b", "/c"),
    "GFile of nothing": gfile("r", ("size",), ("read",), ("readline",), ("tell",), name="no"),
    "GFile of a directory": gfile("rb", ("read",), name="a"),
    "lines": gfile("r", ("readline",), ("tell",), ("readlines",), ("readline",), ("read",)),
    "binary": gfile("rb", ("read", 2), ("readline",), ("read", 100), ("size",), ("seekable",)),
    "half a letter": gfile("r", ("read", 1)),
    "iteration": lambda w, d: list(w.gfile.Open(f"{d}/lines")),
    "next": gfile("r", ("__next__",), ("next",), ("next",), ("next",), ("next",)),
    "seek": gfile("r", ("seek", 3), ("read",), ("seek", -1, 2), ("read",), ("seek", 1, 1), ("seek",), ("seek", 0, 5)),
    "seek outside": gfile("r", ("seek", -3), ("tell",), ("seek", 99), ("tell",), ("read",), ("seek", 1), ("read",)),
    "bad counts": gfile("r", ("read", -2), ("read", 0)),
    "write": gfile("w", ("write", "ab"), ("write", b"c"), ("tell",), ("write", 3), ("read",), ("flush",)),
    "append": gfile("a", ("write", "x"), ("tell",), ("readline",)),
    "write what is read": gfile("r", ("write", "x")),
    "both": gfile("w+", ("write", "x"), ("flush",), ("read",), ("size",)),
    "reopened": gfile("r", ("readline",), ("close",), ("readline",), ("flush",), ("close",), ("close",)),
    "write nothing": gfile("w", ("flush",), name="new"),
    "write nowhere": gfile("w", ("write", "x"), name="x/new"),
    "bad mode": gfile("rw"),
    "name": lambda w, d: w.io.gfile.GFile(f"{d}/lines", "rb").name,
    "mode": lambda w, d: w.io.gfile.GFile(f"{d}/lines", "rb").mode,
    "FastGFile": lambda w, d: w.gfile.FastGFile(f"{d}/lines").read(),
    "a Path": lambda w, d: w.io.gfile.GFile(Path(d) / "lines").read(),
    "glob of a Path": lambda w, d: w.io.gfile.glob(Path(d)),
    "glob of many": lambda w, d: w.io.gfile.glob([f"{d}/f*", f"{d}/a"]),
}
LISTINGS = ("listdir", "ListDirectory", "walk", "Walk, bottom up", "rmtree")
"""Where the order of names is that of the directory, of which there are two."""
PATTERNS = [
    *(
        "*",
        "*/*",
        "f[1-3]",
        "f[!1]",
        "f[^1]",
        "f?",
        "{a,f1}",
        "**",
        "no*",
        "a/",
        "a/.",
        "a/../f*",
        "lin?s",
        ".*",
        "*.x",
    ),
    *("[", "[f", "f[1", "\\f1", "f\\1", "f[1]*", "a/[yz]", "./f1", "//f1", "f[1-]", "f[]1]", "f[a-]", "\\*"),
    *("star[*]", "star\\*", "no/*", "f1/*", "*/"),
]


def describe_stat(found: Any) -> list[Any]:
    return [found.length, found.mtime_nsec, found.is_directory]


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the class of its error and its code."""
    try:
        return call()
    except Exception as error:
        return type(error).__name__, getattr(error, "error_code", None)


def make_folder(folder: Path) -> str:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "z").write_text("z")
    (folder / "a" / "y").write_text("y")
    (folder / "lines").write_text(LINES, "utf-8")
    for name in ("f1", "f2", "f3", ".hidden", "star*", "[f", "f-", "f]"):
        (folder / name).write_text(name)
        os.utime(folder / name, (1, 1))
    return str(folder)


class V1:
    """TensorFlow 1's names, and ``tf.io``."""

    def __init__(self, world: Any) -> None:
        self.io, self.gfile = world.io, world.compat.v1.gfile


def strip(found: Any, folder: str) -> Any:
    if isinstance(found, str):
        return found.replace(folder, "")
    if isinstance(found, (list, tuple)):
        return type(found)(strip(each, folder) for each in found)
    return found


@pytest.fixture(scope="module")
def real() -> Any:
    return V1(tensorflow())


@pytest.mark.parametrize("name", STEPS)
def test_same_outcome(real: Any, tmp_path: Path, name: str) -> None:
    found = []
    for world, folder in ((real, tmp_path / "same"), (V1(tf), tmp_path / "same")):
        path = make_folder(folder)
        result = strip(outcome(partial(STEPS[name], world, path)), path)
        after = sorted((str(each), each.is_file() and each.read_bytes()) for each in folder.rglob("*"))
        found.append((result, after))
        folder.rename(tmp_path / str(len(found)))
    theirs, ours = found
    if name in LISTINGS:
        theirs, ours = sort_listings(theirs), sort_listings(ours)
    assert ours == theirs


def sort_listings(found: Any) -> Any:
    """Return it without any order."""
    if isinstance(found, (list, tuple)):
        return sorted(map(sort_listings, found), key=repr)
    return found


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(real: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.chdir(make_folder(tmp_path / "d"))
    for each in (pattern, f"{tmp_path}/d/{pattern}"):
        assert tf.io.gfile.glob(each) == real.io.gfile.glob(each)


def test_closed_when_forgotten(tmp_path: Path) -> None:
    file = tf.io.gfile.GFile(str(tmp_path / "f"), "w")
    file.write("x")
    del file
    assert (tmp_path / "f").read_text() == "x"
