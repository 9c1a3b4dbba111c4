"""R8: sources that change while they are read, and sources that are no regular files, for every verb that reads."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tfbundle as package
from tests.bundle.test_v1 import write_v1
from tests.support.commands import Command
from tests.support.handmade import HandmadeBundle, all_below, floats, strings
from tfbundle.bundle.payloads import Payloads
from tfbundle.bundle.v1 import V1Payloads
from tfbundle.storage.local import LocalFile

DATA = "model.data-00000-of-00001"


def _rewrite(path: Path) -> None:
    data = path.read_bytes()
    with open(path, "r+b") as file:
        file.write(data)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def _replace(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    status = path.stat()
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(copy, path)


CHANGES: dict[str, Callable[[Path], None]] = {
    "touched": lambda path: os.utime(path, ns=(0, 0)),
    "grown": lambda path: os.truncate(path, path.stat().st_size + 1),
    "rewritten": _rewrite,
    "replaced": _replace,
}
"""What may happen to a file between two reads. What is read stays what it was, so that nothing else can tell."""


READING = {
    "halve": "halve {source} {target}",
    "cast": "cast {source} {target} --to bfloat16",
    "merge": "merge {source} {other} {target}",
    "linked merge": "merge {source} {other} {target} --link",
    "moved merge": "merge {source} {other} {target} --move",
    "average": "average {source} {twin} {target}",
    "average, the last": "average {twin} {source} {target}",
    "set": "set {source} w {new} --output {target}",
    "set in place": "set {source} w {new}",
    "salvage": "salvage {source} {target}",
    "dry salvage": "salvage {source} {target} --dry-run",
    "stats": "stats {source}",
    "verify": "verify {source}",
    "diff": "diff {source} {twin}",
    "diff, the other": "diff {twin} {source}",
    "show": "show {source} w",
}
V1_READING = {
    label: READING[label]
    for label in ("halve", "cast", "average", "average, the last", "set", "stats", "diff", "diff, the other", "show")
}


def _change_after_reading(
    monkeypatch: pytest.MonkeyPatch, path: Path, change: Callable[[Path], None], reads: int = 1
) -> Callable[[], bool]:
    """Change a file once it was read for the first time; return what tells whether that was so."""
    original, counts = LocalFile.read_into, [0]

    def read_into(self: LocalFile, offset: int, buffer: memoryview) -> None:
        original(self, offset, buffer)
        if self.path == str(path):
            counts[0] += 1
            if counts[0] == reads:
                change(path)

    monkeypatch.setattr(LocalFile, "read_into", read_into)
    return lambda: counts[0] >= reads


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    tensors = [floats("w", [1, 2]), floats("v", [3]), strings("s", [b"a", b"b"])]
    np.save(tmp_path / "new.npy", np.zeros(2, np.float32))
    return {
        "source": HandmadeBundle(tensors).write(tmp_path / "in" / "model"),
        "twin": HandmadeBundle(tensors).write(tmp_path / "twin" / "model"),
        "other": HandmadeBundle([floats("u", [1])]).write(tmp_path / "other" / "model"),
        "new": str(tmp_path / "new.npy"),
        "target": str(tmp_path / "out" / "model"),
    }


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("label", READING)
def test_r08_data_that_changes_meanwhile(
    tfbundle: Command,
    tmp_path: Path,
    paths: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    label: str,
    change: str,
) -> None:
    before = all_below(tmp_path)
    was_read = _change_after_reading(monkeypatch, tmp_path / "in" / DATA, CHANGES[change])
    found = tfbundle(*[word.format(**paths) for word in READING[label].split()])
    if not was_read():
        assert label == "set in place", "which reads no data"
        return
    found.check_error(4, "changed while it was read", DATA)
    assert all_below(tmp_path) == before


@pytest.mark.parametrize("label", V1_READING)
def test_r08_v1_file_that_changes_meanwhile(
    tfbundle: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    names = {"source": "a", "twin": "b"}
    paths = {key: str(write_v1(tmp_path / name, [((0, 4), (0, 3))])) for key, name in names.items()}
    paths |= {"new": str(tmp_path / "new.npy"), "target": str(tmp_path / "out" / "model")}
    np.save(paths["new"], np.zeros((4, 3), np.float32))
    before = all_below(tmp_path)
    reads = [0]
    original = V1Payloads._decode

    def decode(self: V1Payloads, key: bytes) -> object:
        values = original(self, key)
        if self.files[0].path == paths["source"]:
            reads[0] += 1
            os.utime(paths["source"], ns=(0, 0))
        return values

    monkeypatch.setattr(V1Payloads, "_decode", decode)
    found = tfbundle(*[word.format(**paths) for word in V1_READING[label].split()])
    assert reads[0]
    found.check_error(4, "changed while it was read", paths["source"])
    assert all_below(tmp_path) == before


@pytest.mark.parametrize("verb", ["ls", "verify", "halve"])
def test_r08_index_that_changes_meanwhile(
    tfbundle: Command, tmp_path: Path, paths: dict[str, str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    index = tmp_path / "in" / "model.index"
    was_read = _change_after_reading(monkeypatch, index, lambda path: os.utime(path, ns=(0, 0)))
    target = [paths["target"]] if verb == "halve" else []
    tfbundle(verb, paths["source"], *target).check_error(4, "changed while it was read", "model.index")
    assert was_read()


def test_r08_set_in_place_of_data_that_changes_meanwhile(
    tfbundle: Command, tmp_path: Path, paths: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads none, but gives the data file a new name: so it must be the one that the index is for."""
    from tfbundle.blending import replace

    original = replace._take_over

    def take_over(*arguments: object) -> None:
        original(*arguments)  # type: ignore[arg-type]
        os.utime(tmp_path / "in" / DATA, ns=(0, 0))

    monkeypatch.setattr(replace, "_take_over", take_over)
    before = all_below(tmp_path)
    found = tfbundle("set", paths["source"], "w", paths["new"])
    found.check_error(4, "changed while it was read", DATA)
    assert all_below(tmp_path) == before
    assert package.load(paths["source"])["w"].tolist() == [1, 2]


def test_r08_unchanged_sources_are_read_once_opened(paths: dict[str, str]) -> None:
    """Reading alone changes nothing that is compared."""
    with package.open(paths["source"]) as bundle:
        bundle.check_unchanged()
        assert bundle["w"].tolist() == [1, 2]
        bundle.check_unchanged()
        assert isinstance(bundle._payloads, Payloads)
        os.utime(bundle.shards.path(0), ns=(0, 0))
        with pytest.raises(package.FormatError, match="changed while it was read"):
            bundle.check_unchanged()


# What is no regular file.


def _make_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as endpoint:  # whose paths are short
            endpoint.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


ODD: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "directory": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/ptmx"),
    "socket": _make_socket,
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("part", ["model.index", DATA, "checkpoint", "new.npy", "model.meta"])
def test_r08_odd_files_are_refused_at_once(tfbundle: Command, tmp_path: Path, kind: str, part: str) -> None:
    HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "in" / "model")
    HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "twin" / "model")
    np.save(tmp_path / "in" / "new.npy", np.zeros(2, np.float32))
    if (part, kind) == ("model.meta", "directory"):
        pytest.skip("no graph is read there: it means the checkpoint")
    (tmp_path / "in" / part).unlink(missing_ok=True)
    ODD[kind](tmp_path / "in" / part)
    source = str(tmp_path / "in" / "model")
    paths = {"source": source, "new": str(tmp_path / "in" / "new.npy"), "target": str(tmp_path / "out" / "model")}
    paths |= {"twin": str(tmp_path / "twin" / "model"), "other": str(tmp_path / "twin" / "model")}
    commands = {
        "new.npy": ["set {source} w {new} --output {target}"],
        "checkpoint": ["average {in} {target} --last 2"],
        "model.meta": ["halve {twin} {target} --like {in}/model.meta"],
    }.get(part, [*READING.values(), "halve {twin} {target} --like {source}"])
    paths["in"] = str(tmp_path / "in")
    before = all_below(tmp_path)
    for command in commands:
        if (part, command) in ((DATA, "halve {twin} {target} --like {source}"), (DATA, READING["set in place"])):
            continue  # which read no data file
        start = time.monotonic()
        found = tfbundle(*[word.format(**paths) for word in command.split()])
        assert time.monotonic() - start < 20
        assert found.status in (1, 3, 4, 5, 7), (command, found)
        assert found.status > 1 or "verify" in command or "salvage" in command, (command, found)
        assert all_below(tmp_path) == before, command
