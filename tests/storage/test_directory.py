"""A directory that becomes visible as a whole: the old one, none, or the new one, whatever happens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tfbundle.errors import BundleExistsError
from tfbundle.storage.directory import staged_directory


def fill(path: str, text: str = "new") -> None:
    os.mkdir(os.path.join(path, "inner"))
    Path(path, "inner", "file").write_text(text)


def make_old(path: Path) -> None:
    path.mkdir()
    fill(str(path), "old")


def contents(path: Path) -> str:
    return (path / "inner" / "file").read_text()


def test_is_seen_when_it_is_published(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with staged_directory(f"{target}/", replace=False) as stage:
        fill(stage.path)
        assert os.path.dirname(stage.path) == str(target.parent)
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


def test_old_directory_is_replaced(tmp_path: Path) -> None:
    make_old(tmp_path / "b")
    with staged_directory(str(tmp_path / "b"), replace=True) as stage:
        fill(stage.path)
        assert contents(tmp_path / "b") == "old"
        stage.publish()
    assert (contents(tmp_path / "b"), os.listdir(tmp_path)) == ("new", ["b"])


def test_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    make_old(tmp_path / "real")
    (tmp_path / "b").symlink_to("real")
    with staged_directory(str(tmp_path / "b"), replace=True) as stage:
        fill(stage.path)
        stage.publish()
    assert not (tmp_path / "b").is_symlink()
    assert (contents(tmp_path / "b"), contents(tmp_path / "real")) == ("new", "old")
    assert sorted(os.listdir(tmp_path)) == ["b", "real"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["rename", "fsync"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("old", [False, True])
def test_every_call_may_fail(
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
    real, counter = getattr(os, call), iter(range(100))

    def fail(*arguments: Any) -> Any:
        is_due = next(counter) == number
        if is_due and not after:
            raise error
        result = real(*arguments)
        if is_due:
            raise error
        return result

    with pytest.MonkeyPatch.context() as patch:
        try:
            with staged_directory(str(target), replace=True) as stage:
                fill(stage.path)
                patch.setattr(os, call, fail)
                stage.publish()
        except (OSError, KeyboardInterrupt) as raised:
            assert raised is error or isinstance(raised, OSError)
        else:
            assert contents(target) == "new"
    left = os.listdir(tmp_path)
    assert left in (["b"], []) if not old else left == ["b"]
    if left:
        assert contents(target) in ("old", "new")


def test_killed_between_the_renames(tmp_path: Path) -> None:
    """Old and new are both there, complete, under names that say whose they are."""
    make_old(tmp_path / "b")
    child = os.fork()
    if not child:
        real = os.rename

        def rename(source: str, target: str) -> None:
            if target == str(tmp_path / "b"):
                os._exit(9)
            real(source, target)

        os.rename = rename  # type: ignore[assignment]
        with staged_directory(str(tmp_path / "b"), replace=True) as stage:
            fill(stage.path)
            stage.publish()
    os.waitpid(child, 0)
    new, old = sorted(os.listdir(tmp_path))
    assert new.startswith("b.tmp-")
    assert old == f"{new}-old"
    assert (contents(tmp_path / new), contents(tmp_path / old)) == ("new", "old")
