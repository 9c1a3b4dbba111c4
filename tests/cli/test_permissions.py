"""R10: modes, owners and links of what is written, and R15: what a cast does to numbers is never silent."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import tfbundle as package
from tests.bundle.test_v1 import write_v1
from tests.support.commands import Command
from tests.support.handmade import HandmadeBundle, floats
from tests.support.hostile import tree_of

WRITING = {
    "halve": "halve {source} {target} --report {page}",
    "halve of V1": "halve {v1} {target}",
    "cast": "cast {source} {target} --to bfloat16",
    "merge": "merge {source} {target}",
    "average": "average {source} {source} {target}",
    "set": "set {source} w {new} --output {target}",
    "set of V1": "set {v1} w {new2} --output {target}",
    "salvage": "salvage {source} {target}",
    "demo": "demo {out}",
    "stats": "stats {source} --report {page}",
}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    np.save(tmp_path / "new.npy", np.zeros(2, np.float32))
    np.save(tmp_path / "new2.npy", np.zeros((4, 3), np.float32))
    return {
        "source": HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "in" / "model"),
        "v1": str(write_v1(tmp_path / "v1", [((0, 4), (0, 3))])),
        "new": str(tmp_path / "new.npy"),
        "new2": str(tmp_path / "new2.npy"),
        "target": str(tmp_path / "out" / "model"),
        "page": str(tmp_path / "out" / "page.html"),
        "out": str(tmp_path / "out"),
    }


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)


def _run(tfbundle: Command, paths: dict[str, str], command: str, *more: str) -> None:
    found = tfbundle(*[word.format(**paths) for word in command.split()], *more)
    assert (found.status, found.errors) == (0, "")


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002, 0])
@pytest.mark.parametrize("label", WRITING)
def test_r10_modes_are_those_of_any_program(
    tfbundle: Command, tmp_path: Path, paths: dict[str, str], label: str, umask: int
) -> None:
    with _umask(umask):
        _run(tfbundle, paths, WRITING[label])
    modes = {path: stat.S_IMODE(mode) for path, (mode, _) in tree_of(tmp_path / "out").items()}
    assert modes
    for path, mode in modes.items():
        assert mode == (0o777 if os.path.isdir(path) else 0o666) & ~umask, path
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o777 & ~umask


@pytest.mark.parametrize("label", WRITING)
def test_r10_directories_hand_their_group_down(
    tfbundle: Command, tmp_path: Path, paths: dict[str, str], label: str
) -> None:
    (tmp_path / "out").mkdir()
    if os.getuid() == 0:
        os.chown(tmp_path / "out", -1, 12345)
    os.chmod(tmp_path / "out", 0o2775)
    _run(tfbundle, paths, WRITING[label])
    group = (tmp_path / "out").stat().st_gid
    for path in (tmp_path / "out").rglob("*"):
        assert path.stat().st_gid == group
        assert not path.is_dir() or path.stat().st_mode & stat.S_ISGID


def test_r10_default_access_lists_hold(tfbundle: Command, tmp_path: Path, paths: dict[str, str]) -> None:
    (tmp_path / "out").mkdir()
    try:
        set_list = ["setfacl", "-d", "-m", "u:12345:rw,m:rw", str(tmp_path / "out")]
        subprocess.run(set_list, check=True, capture_output=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no access lists here: {error}")
    _run(tfbundle, paths, WRITING["halve"])
    for path in (tmp_path / "out").iterdir():
        found = subprocess.run(["getfacl", "-cn", str(path)], check=True, capture_output=True, text=True, timeout=60)
        assert "user:12345:rw-" in found.stdout


@pytest.mark.parametrize("label", [label for label in WRITING if label not in ("demo", "stats")])
@pytest.mark.parametrize("place", [".index", ".data-00000-of-00001", "checkpoint"])
def test_r10_a_link_at_the_target_is_replaced_not_followed(
    tfbundle: Command, tmp_path: Path, paths: dict[str, str], label: str, place: str
) -> None:
    (tmp_path / "out").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("model_checkpoint_path: 'x'" if place == "checkpoint" else "precious")
    before = victim.read_bytes()
    link = tmp_path / "out" / (place if place == "checkpoint" else f"model{place}")
    link.symlink_to(victim)
    if place != "checkpoint":
        found = tfbundle(*[word.format(**paths) for word in WRITING[label].split()])
        found.check_error(3, "exists already", place)
    _run(tfbundle, paths, WRITING[label], "--force")
    assert victim.read_bytes() == before
    assert not link.is_symlink()
    assert package.verify(paths["target"]).ok


def test_r10_a_link_at_the_place_of_a_page_is_replaced(
    tfbundle: Command, tmp_path: Path, paths: dict[str, str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "old.html").write_text("<!doctype html>old")
    Path(paths["page"]).symlink_to(tmp_path / "old.html")
    _run(tfbundle, paths, WRITING["stats"])
    assert (tmp_path / "old.html").read_text() == "<!doctype html>old"
    assert not Path(paths["page"]).is_symlink()


def test_r10_temporary_names_cannot_be_guessed(
    tfbundle: Command, tmp_path: Path, paths: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a file that is there is never opened, be it a link that somebody planted."""
    opened: list[tuple[str, int]] = []
    original = os.open

    def open_file(path: str, flags: int, *rest: int, **more: int) -> int:
        opened.append((os.fspath(path), flags))
        return original(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", open_file)
    for label in ("halve", "halve of V1", "merge", "average", "set", "salvage"):
        _run(tfbundle, paths, WRITING[label], "--force")
    created = [(os.path.basename(path), flags) for path, flags in opened if flags & os.O_CREAT]
    assert len(created) > 15
    for name, flags in created:
        assert flags & os.O_EXCL
        assert flags & os.O_NOFOLLOW
        assert flags & os.O_CLOEXEC
        assert re.search(rf"\.tmp-{os.getpid()}-[0-9a-f]{{8,}}\Z", name), name
    randoms = [re.findall("[0-9a-f]{8,}", name)[-1] for name, _ in created]
    assert len(set(randoms)) >= 6, "each run has its own"
    assert not [path for path in tree_of(tmp_path) if ".tmp-" in path]


@pytest.mark.parametrize("verb", ["halve {source} {target}", "cast {source} {target} --to float16"])
def test_r15_overflow_is_never_silent(tfbundle: Command, tmp_path: Path, paths: dict[str, str], verb: str) -> None:
    values = np.array([70000, -70000, 1e-9, 6e-8, 1], np.float32)
    paths["source"] = HandmadeBundle([floats("large", values), floats("w", [1])]).write(tmp_path / "large")
    words = [word.format(**paths) for word in verb.split()]
    tfbundle(*words).check_error(6, "tensor large", "2 values overflow", "70000", "65504", "--on-overflow")
    assert not (tmp_path / "out").exists()
    found = tfbundle(*words, "--on-overflow", "inf", "--json").json
    assert found["totals"]["overflow"] == 2
    assert found["totals"]["underflow"] == 1
    assert found["totals"]["subnormal"] == 1
    shown = tfbundle(*words, "--on-overflow", "clamp", "--force").output
    assert "2 overflowed, 1 became zero, 1 lost precision as subnormals" in shown
    assert package.load(paths["target"])["large"].tolist()[:2] == [65504, -65504]
