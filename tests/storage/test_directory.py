"""A directory that becomes visible as a whole: the old one or the new one, whatever happens."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfbundle.errors import BundleExistsError
from tfbundle.storage import directory
from tfbundle.storage.directory import staged_directory
from tfbundle.storage.exchange import exchange
from tfbundle.storage.lock import is_in_use


def fill(path: str, text: str = "new") -> None:
    os.mkdir(os.path.join(path, "inner"))
    Path(path, "inner", "file").write_text(text)


def make_old(path: Path) -> None:
    path.mkdir()
    fill(str(path), "old")


def contents(path: Path) -> str:
    return (path / "inner" / "file").read_text()


def replace(target: Path) -> None:
    with staged_directory(str(target), replace=True) as stage:
        fill(stage.path)
        stage.publish()


@pytest.fixture(params=["exchanged", "renamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let directories be exchanged, or the old one moved away first."""
    if request.param == "renamed":
        monkeypatch.setattr(directory, "exchange", lambda *_: False)
    elif sys.platform != "linux":
        pytest.skip("directories are exchanged on Linux")
    return str(request.param)


def test_is_seen_when_it_is_published(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with staged_directory(f"{target}/", replace=False) as stage:
        fill(stage.path)
        assert os.path.dirname(stage.around) == str(target.parent)
        assert not target.exists()
        stage.publish()
        assert contents(target) == "new"
    assert os.listdir(target.parent) == ["b"]


def test_nothing_is_left_of_what_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged_directory(str(tmp_path / "a" / "b"), replace=False) as stage:
        fill(stage.path)
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_empty_directory_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with staged_directory(str(tmp_path / "b"), replace=False) as stage:
        fill(stage.path)
        stage.publish()
    assert contents(tmp_path / "b") == "new"


@pytest.mark.parametrize("make", [make_old, lambda path: path.write_text("old")])
def test_what_appeared_meanwhile_stays(make: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(BundleExistsError, match="appeared"),
        staged_directory(str(tmp_path / "b"), replace=False) as stage,
    ):
        fill(stage.path)
        make(tmp_path / "b")
        stage.publish()
    assert os.listdir(tmp_path) == ["b"]


def test_old_directory_is_replaced(way: str, tmp_path: Path) -> None:
    make_old(tmp_path / "b")
    with staged_directory(str(tmp_path / "b"), replace=True) as stage:
        fill(stage.path)
        assert contents(tmp_path / "b") == "old"
        stage.publish()
    assert (contents(tmp_path / "b"), os.listdir(tmp_path)) == ("new", ["b"])


def test_link_is_replaced_and_not_followed(way: str, tmp_path: Path) -> None:
    make_old(tmp_path / "real")
    (tmp_path / "b").symlink_to("real")
    replace(tmp_path / "b")
    assert not (tmp_path / "b").is_symlink()
    assert (contents(tmp_path / "b"), contents(tmp_path / "real")) == ("new", "old")
    assert sorted(os.listdir(tmp_path)) == ["b", "real"]


def test_is_in_use_until_all_is_removed(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_old(tmp_path / "b")
    remove, seen = shutil.rmtree, []

    def look(path: str) -> None:
        seen.append(is_in_use(path))
        remove(path)

    with staged_directory(str(tmp_path / "b"), replace=True) as stage:
        seen.append(is_in_use(stage.around))
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", look)
            stage.publish()
    assert seen == [True, True]


def test_old_directory_that_cannot_be_removed(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_old(tmp_path / "b")

    def fail(_path: str, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise OSError(errno.EIO, "Input/output error")

    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match=r"Input.*; .*/b is complete, but .*/b\.tmp-") as caught,
    ):
        patch.setattr(shutil, "rmtree", fail)
        replace(tmp_path / "b")
    assert contents(tmp_path / "b") == "new"
    assert contents(Path(caught.value.filename) / "old") == "old"


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["rename", "fsync", "exchange", "unlink", "rmdir"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("old", [False, True])
def test_every_call_may_fail(
    way: str,
    error: BaseException,
    call: str,
    after: bool,
    number: int,
    old: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fails, or is interrupted when it has been done: there is the old directory or the new one, and no other."""
    target = tmp_path / "b"
    if old:
        make_old(target)
    place = directory if call == "exchange" else os
    real, counter = getattr(place, call), iter(range(100))

    def fail(*arguments: Any, **options: Any) -> Any:
        is_due = next(counter) == number
        if is_due and not after:
            raise error
        result = real(*arguments, **options)
        if is_due:
            raise error
        return result

    with pytest.MonkeyPatch.context() as patch:
        try:
            with staged_directory(str(target), replace=True) as stage:
                fill(stage.path)
                patch.setattr(place, call, fail)
                stage.publish()
        except (OSError, KeyboardInterrupt) as raised:
            assert raised is error or isinstance(raised, OSError)
        else:
            assert contents(target) == "new"
    left = os.listdir(tmp_path)
    assert left in (["b"], []) if not old else left == ["b"]
    if left:
        assert contents(target) in ("old", "new")


def test_interrupt_that_a_removal_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``rmtree`` does, whose second ``close`` of a descriptor fails."""
    make_old(tmp_path / "b")
    real = shutil.rmtree

    def hide(path: str, ignore_errors: bool = False) -> None:
        if ignore_errors:
            return real(path, ignore_errors=True)
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            os.close(-1)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", hide)
        replace(tmp_path / "b")
    assert (contents(tmp_path / "b"), os.listdir(tmp_path)) == ("new", ["b"])


def test_both_stay_where_nothing_can_take_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, real = tmp_path / "b", os.rename

    def fail(source: str, to: str) -> None:
        if to == str(target):
            raise OSError(errno.EIO, "Input/output error")
        real(source, to)

    make_old(target)
    monkeypatch.setattr(directory, "exchange", lambda *_: False)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output error"):
        patch.setattr(os, "rename", fail)
        replace(target)
    (around,) = tmp_path.iterdir()
    assert (contents(around / "new"), contents(around / "old")) == ("new", "old")


def killed(target: Path, watch: Callable[[pytest.MonkeyPatch, Callable[[], None]], None]) -> list[str]:
    """Kill a replacement where ``watch`` says; return what is left in the directory with the temporary name."""
    make_old(target)
    child = os.fork()
    if not child:
        watch(pytest.MonkeyPatch(), lambda: os._exit(9))
        replace(target)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (around,) = target.parent.glob("b.tmp-*")
    assert not is_in_use(str(around))
    return sorted(f"{path.name}: {contents(path)}" for path in around.iterdir())


def test_killed_between_the_renames(tmp_path: Path) -> None:
    """Old and new are both there, complete, under names that say which is which."""

    def watch(patch: pytest.MonkeyPatch, die: Callable[[], None]) -> None:
        real = os.rename

        def rename(source: str, target: str) -> None:
            if target == str(tmp_path / "b"):
                die()
            real(source, target)

        patch.setattr(os, "rename", rename)
        patch.setattr(directory, "exchange", lambda *_: False)

    assert killed(tmp_path / "b", watch) == ["new: new", "old: old"]
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="directories are exchanged on Linux")
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_the_exchange(after: bool, tmp_path: Path) -> None:
    """There is a directory in the place before and after it."""

    def watch(patch: pytest.MonkeyPatch, die: Callable[[], None]) -> None:
        def die_there(left: str, right: str) -> None:
            if after:
                exchange(left, right)
            die()

        patch.setattr(directory, "exchange", die_there)

    there, aside = ("new", "old") if after else ("old", "new")
    assert killed(tmp_path / "b", watch) == [f"new: {aside}"]
    assert contents(tmp_path / "b") == there


def test_what_is_not_complete_is_called_part(tmp_path: Path) -> None:
    def watch(patch: pytest.MonkeyPatch, die: Callable[[], None]) -> None:
        patch.setattr(os, "fsync", lambda _: die())

    assert killed(tmp_path / "b", watch) == ["part: new"]
    assert contents(tmp_path / "b") == "old"
