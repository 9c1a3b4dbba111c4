"""Files that are no files, and files that change while they are read: one line within a second, never a wait."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.faults.matrix import Bench
from tests.faults.outcomes import read_tree
from tests.faults.scenarios import write_source
from tests.faults.tracing import Finished, Setting
from tests.support.processes import run_tfbundle

LONGEST_SECONDS = 10.0  # ten times what it may take, for machines that are busy

INDEX, DATA = "model.index", "model.data-00001-of-00003"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_directory(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    previous = os.getcwd()  # the path of a socket is short
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(previous)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


ODD: dict[str, Callable[[Path], None]] = {
    "fifo": make_fifo,
    "directory": make_directory,
    "socket": make_socket,
    "/dev/zero": link_to("/dev/zero"),
    "/dev/null": link_to("/dev/null"),
    "/dev/tty": link_to("/dev/tty"),
    "loop": loop,
    "dangling link": link_to("nowhere"),
    "link to a fifo": link_to("pipe"),
    "/proc/self/mem": link_to("/proc/self/mem"),
    "empty": Path.touch,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_source(tmp_path / "source/model")
    np.save(tmp_path / "array.npy", np.zeros(5, np.float32))
    (tmp_path / "source/pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / "source/pipe")
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out/pipe")
    return tmp_path


@pytest.fixture
def tfb(bench: Bench) -> Iterator[Callable[..., Finished]]:
    with bench.launcher() as launcher:
        yield lambda *arguments: launcher.run(
            [str(argument) for argument in arguments], Setting(seconds=LONGEST_SECONDS)
        )


def make_odd(kind: str, path: Path) -> None:
    path.unlink(missing_ok=True)
    ODD[kind](path)


def check_one_line(finished: Finished, statuses: tuple[int, ...], where: object = "") -> None:
    """Check that a command failed, in time (it is killed otherwise), with one line that names a path."""
    assert finished.status in statuses, finished
    assert finished.errors.startswith("tfbundle: "), finished
    assert finished.errors.count("\n") == 1, finished
    assert str(where) in finished.errors


@pytest.mark.parametrize("kind", ODD)
class TestSources:
    """Whatever is read: refused as missing (3), corrupt (4) or unsupported (5), or the system says what it is (7)."""

    @pytest.mark.parametrize("name", [INDEX, DATA])
    def test_parts_of_a_bundle(self, folder: Path, tfb: Callable[..., Finished], kind: str, name: str) -> None:
        make_odd(kind, folder / "source" / name)
        before = sorted(os.listdir(folder / "out"))
        for verb in ("halve", "merge", "salvage"):
            found = tfb(verb, folder / "source/model", folder / "out/model")
            if (verb, name, found.status) == ("salvage", DATA, 1):
                assert sorted(tfbundle.load(folder / "out/model")) == ["a/b", "a/w", "c/w", "step0", "step2"]
            else:
                check_one_line(found, (3, 4, 5, 7), folder / "source")
                assert sorted(os.listdir(folder / "out")) == before
        found = tfb("verify", folder / "source/model")
        assert found.status in (1, 3, 4, 5, 7)
        assert found.errors.count("\n") <= 1

    def test_checkpoint_file_of_a_source(self, folder: Path, tfb: Callable[..., Finished], kind: str) -> None:
        """There is only one bundle in the directory, which can be meant all the same."""
        make_odd(kind, folder / "source/checkpoint")
        found = tfb("halve", folder / "source", folder / "out/")
        if found.status == 0:
            assert tfbundle.verify(folder / "out/model").ok
        else:
            check_one_line(found, (3, 4, 5, 7), folder / "source")

    def test_checkpoint_file_of_a_target(self, folder: Path, tfb: Callable[..., Finished], kind: str) -> None:
        """The bundle is written all the same; an odd file is left alone."""
        make_odd(kind, folder / "out/checkpoint")
        before = os.lstat(folder / "out/checkpoint")
        found = tfb("halve", folder / "source/model", folder / "out/model")
        assert (found.status, found.errors) == (0, "")
        assert tfbundle.verify(folder / "out/model").ok
        after = os.lstat(folder / "out/checkpoint")
        assert "left alone" in found.output or kind in ("empty", "dangling link", "/dev/null")
        assert "left alone" not in found.output or before.st_ino == after.st_ino

    @pytest.mark.parametrize("option", ["--map", "--like"])
    def test_files_of_options(self, folder: Path, tfb: Callable[..., Finished], kind: str, option: str) -> None:
        if (kind, option) in (("fifo", "--map"), ("link to a fifo", "--map")):
            pytest.skip("a pipe will do, once somebody writes to it")
        name = "odd.meta" if option == "--like" else "odd.json"
        make_odd(kind, folder / "source" / name)
        found = tfb("halve", folder / "source/model", folder / "out/model", option, folder / "source" / name)
        check_one_line(found, (2, 3, 4, 5, 7), folder / "source")
        assert sorted(os.listdir(folder / "out")) == ["pipe"]

    @pytest.mark.parametrize("name", ["saved_model.pb", "odd.meta"])
    def test_graphs(self, folder: Path, tfb: Callable[..., Finished], kind: str, name: str) -> None:
        """They are not read, but tell where a checkpoint is."""
        make_odd(kind, folder / "source" / name)
        found = tfb("ls", folder / "source" / name)
        if found.status:
            check_one_line(found, (2, 3, 4, 5, 7), folder / "source")

    def test_array(self, folder: Path, tfb: Callable[..., Finished], kind: str) -> None:
        make_odd(kind, folder / "source/odd.npy")
        before = read_regular(folder)
        check_one_line(tfb("set", folder / "source/model", "a/b", folder / "source/odd.npy"), (2, 3, 4, 5, 7))
        assert read_regular(folder) == before


@pytest.mark.parametrize("kind", ODD)
class TestTargets:
    @pytest.mark.parametrize("name", [INDEX, DATA])
    @pytest.mark.parametrize("force", [False, True])
    def test_in_the_way(self, folder: Path, tfb: Callable[..., Finished], kind: str, name: str, force: bool) -> None:
        """Without --force all stays; with it what is there is replaced, not what it leads to; directories stay."""
        make_odd(kind, folder / "out" / name)
        before = (os.lstat(folder / "out" / name).st_ino, sorted(os.listdir(folder / "out")))
        found = tfb("halve", folder / "source/model", folder / "out/model", "--quiet", *["--force"][: int(force)])
        if force and kind != "directory":
            assert (found.status, found.errors) == (0, "")
            assert tfbundle.verify(folder / "out/model").ok
            assert sorted(os.listdir(folder / "out")) == sorted(
                ["checkpoint", "pipe", INDEX, *(f"model.data-0000{shard}-of-00003" for shard in range(3))]
            )
            return
        check_one_line(found, (3, 5, 7), folder / "out")
        assert (os.lstat(folder / "out" / name).st_ino, sorted(os.listdir(folder / "out"))) == before

    def test_report(self, folder: Path, tfb: Callable[..., Finished], kind: str) -> None:
        if kind in ("empty", "dangling link", "/proc/self/mem"):
            pytest.skip("an empty file may be replaced")
        make_odd(kind, folder / "out/report.html")
        before = os.lstat(folder / "out/report.html").st_ino
        found = tfb("stats", folder / "source/model", "--report", folder / "out/report.html")
        check_one_line(found, (3, 4, 5, 7), folder / "out")
        assert os.lstat(folder / "out/report.html").st_ino == before


def read_regular(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


class TestLinks:
    def test_data_files_elsewhere(self, folder: Path, tfb: Callable[..., Finished]) -> None:
        """As caches of downloads have them."""
        (folder / "store").mkdir()
        for path in sorted((folder / "source").glob("model.*")):
            shutil.move(path, folder / "store" / path.name)
            path.symlink_to(folder / "store" / path.name)
        before = read_tree(folder / "store")
        assert tfb("halve", folder / "source/model", folder / "out/model", "--quiet").status == 0
        assert tfbundle.verify(folder / "out/model").ok
        assert read_tree(folder / "store") == before

    def test_target_that_links_to_the_source(self, folder: Path, tfb: Callable[..., Finished]) -> None:
        (folder / "out" / INDEX).symlink_to(folder / "source" / INDEX)
        before = read_regular(folder / "source")
        found = tfb("halve", folder / "source/model", folder / "out/model", "--force")
        check_one_line(found, (3,), "the target is the source")
        assert read_regular(folder / "source") == before


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 1000)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    """Change bytes that may have been read already."""
    with path.open("r+b") as file:
        file.write(b"\xff" * 16)


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    other.rename(path)


class TestChangesMeanwhile:
    """The command is slowed down, and its source changed while it reads."""

    @pytest.mark.parametrize("change", [delete, truncate, empty, grow, overwrite, replace])
    @pytest.mark.parametrize("name", ["model.data-00000-of-00003", "model.data-00002-of-00003"])
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_source(self, bench: Bench, folder: Path, change: Callable[[Path], None], name: str, jobs: int) -> None:
        path = folder / "source" / name
        expected = {name: tensor.tobytes() for name, tensor in tfbundle.load(folder / "source/model").items()}

        def wait_and_change(_: int) -> None:
            for _ in range(1000):
                if any((folder / "out").glob("model.data-*")):
                    break
                time.sleep(0.005)
            change(path)

        arguments = ["halve", folder / "source/model", folder / "out/model", "--keep", "*", "--quiet", "--jobs", jobs]
        setting = Setting(step_nbytes=100_000 if jobs > 1 else 0, meanwhile=wait_and_change)
        with bench.launcher() as launcher:
            found = launcher.trace([*map(str, arguments)], ["fallocate:delay_exit=100000"], setting)
        if found.status == 0:  # it was deleted, and is read to its end
            assert change is delete
            loaded = {name: tensor.tobytes() for name, tensor in tfbundle.load(folder / "out/model").items()}
            assert loaded == expected
            return
        check_one_line(found, (3, 4, 7), folder / "source")
        assert not any((folder / "out").glob("model*"))
        assert not any((folder / "out").glob("checkpoint*"))


def test_odd_files_are_told_by_the_program_too(folder: Path) -> None:
    """As above, in a process that was started as users start it."""
    make_odd("fifo", folder / "source" / INDEX)
    status, output, errors = run_tfbundle("verify", folder / "source/model")
    assert (status, output) == (5, "")
    assert errors == f"tfbundle: {folder / 'source' / INDEX}: not a regular file\n"
    assert os.strerror(errno.EPIPE) not in errors
