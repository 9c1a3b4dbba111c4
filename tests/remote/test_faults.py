"""Every request fails once, or each from then on: what is left is the old bundle, the new one, or none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.remote.faulty import FaultyFileSystem
from tfbundle.storage import remote_calls, remote_stage

URL = "faulty://folder"
ANEW = tfbundle.RunOptions()
FORCE = tfbundle.RunOptions(if_exists="replace")


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_stage, "WHOLE_NBYTES", 1 << 12)  # so that a small bundle is uploaded in parts
    monkeypatch.setattr(remote_stage, "PART_NBYTES", 1 << 13)
    monkeypatch.setattr(remote_calls, "PAUSES_SECONDS", (0.0, 0.0))


@pytest.fixture
def expected(faulty: type[FaultyFileSystem], tmp_path: Path) -> dict[str, bytes]:
    """Put a bundle of two shards at ``source``; return the files of its half."""
    rng = np.random.default_rng(5)
    tfbundle.save(f"{URL}/one", {"a/w": rng.random(9_000, np.float32), "a/step": np.int64(7)})
    tfbundle.save(f"{URL}/two", {"b/w": rng.random(5_000, np.float32), "b/s": np.array([b"x", b"yz"], object)})
    tfbundle.merge([f"{URL}/one", f"{URL}/two"], f"{URL}/source")
    local = str(tmp_path / "half")
    tfbundle.halve(f"{URL}/source", local)
    names = ("index", "data-00000-of-00002", "data-00001-of-00002")
    return {name: (tmp_path / f"half.{name}").read_bytes() for name in names}


def _found() -> dict[str, bytes]:
    start = "/folder/target."
    store = FaultyFileSystem.store
    return {path.removeprefix(start): store[path].getvalue() for path in sorted(store) if path.startswith(start)}


def _remove_target() -> None:
    for path in [path for path in FaultyFileSystem.store if path.startswith(("/folder/target.", "/folder/checkpoint"))]:
        del FaultyFileSystem.store[path]


def _fail(error: Exception, at: int, *, for_ever: bool) -> Callable[[int, str, str], None]:
    def before(number: int, kind: str, path: str) -> None:
        if number == at or (for_ever and number > at):
            raise error

    return before


def _halve(options: tfbundle.RunOptions) -> None:
    tfbundle.halve(f"{URL}/source", f"{URL}/target", options=options)


def _count(options: tfbundle.RunOptions) -> int:
    FaultyFileSystem.reset()
    _halve(options)
    return len(FaultyFileSystem.calls)


def _old() -> dict[str, bytes]:
    tfbundle.save(f"{URL}/old", {"x": np.arange(5.0), "y": np.arange(3)}, if_exists="replace")
    tfbundle.halve(f"{URL}/old", f"{URL}/target", options=FORCE, layout=tfbundle.Layout(shards=2))
    return _found()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "Permission denied"), TimeoutError("too late"), RuntimeError("a bug of a file system")],
    ids=lambda error: type(error).__name__,
)
def test_every_request_fails(error: Exception, for_ever: bool, force: bool, expected: dict[str, bytes]) -> None:
    options = FORCE if force else tfbundle.RunOptions()
    if force:
        _old()
    num_requests = _count(options)
    assert _found() == expected
    for at in range(1, num_requests + 1):
        FaultyFileSystem.reset()
        _remove_target()
        old = _old() if force else {}
        FaultyFileSystem.reset(_fail(error, at, for_ever=for_ever))
        try:
            _halve(options)
        except OSError as caught:
            assert str(caught.filename).startswith(URL), at
            assert not isinstance(caught, tfbundle.BundleExistsError), at
            is_done = False
        else:
            is_done = True
        FaultyFileSystem.reset()
        found = _found()
        assert not is_done or found == expected, at
        if not for_ever:  # it could clean up
            assert FaultyFileSystem.uploads == set(), at
            assert "index" in found or not set(found) & set(expected) or force, at
        if "index" in found:
            assert found in (old, expected), at
        elif not force and not for_ever:
            assert found == {}, at


def test_answers_that_are_lost(expected: dict[str, bytes]) -> None:
    """A request may be carried out although nobody hears of it: no index may stay without its data files."""
    num_requests = _count(FORCE)
    for at in range(1, num_requests + 1):
        _remove_target()
        FaultyFileSystem.reset()
        FaultyFileSystem.after = _fail(PermissionError(13, "Permission denied"), at, for_ever=False)
        with contextlib.suppress(OSError):
            _halve(ANEW)
        FaultyFileSystem.reset()
        found = _found()
        assert found in ({}, expected), at


SOURCE, TARGET = f"{URL}/source", f"{URL}/target"
VERBS: dict[str, Callable[[], object]] = {
    "merge": lambda: tfbundle.merge([f"{URL}/one", f"{URL}/two"], TARGET),
    "average": lambda: tfbundle.average([SOURCE, SOURCE + ".index"], TARGET),
    "salvage": lambda: tfbundle.salvage(SOURCE, TARGET),
    "set": lambda: tfbundle.replace_tensor(SOURCE, "a/step", np.int64(1), output=TARGET),
    "set in place": lambda: tfbundle.replace_tensor(TARGET, "a/step", np.int64(1)),
    "save": lambda: tfbundle.save(TARGET, {"w": np.arange(3_000.0)}),
}


@pytest.mark.parametrize("verb", VERBS)
def test_other_verbs_leave_no_half_bundle(verb: str, expected: dict[str, bytes]) -> None:
    run = VERBS[verb]

    def prepare() -> dict[str, bytes]:
        FaultyFileSystem.reset()
        _remove_target()
        if verb != "set in place":
            return {}
        tfbundle.merge([f"{URL}/one", f"{URL}/two"], f"{URL}/target")
        return _found()

    old = prepare()
    FaultyFileSystem.reset()
    run()
    new, num_requests = _found(), len(FaultyFileSystem.calls)
    tfbundle.verify(f"{URL}/target")
    for at in range(1, num_requests + 1):
        prepare()
        FaultyFileSystem.reset(_fail(PermissionError(13, "Permission denied"), at, for_ever=False))
        with contextlib.suppress(OSError):
            run()
        FaultyFileSystem.reset()
        found = _found()
        if "index" in found:
            assert tfbundle.verify(f"{URL}/target").ok, at
            used = old if found["index"] == old.get("index") else new
            assert all(found.get(name) == data for name, data in used.items()), at
        else:
            assert found == {}, at
        assert FaultyFileSystem.uploads == set(), at


def test_nobody_else_can_write_meanwhile_and_stay_unnoticed(expected: dict[str, bytes]) -> None:
    other: dict[str, Any] = {}

    def before(number: int, kind: str, path: str) -> None:
        if kind == "part" and not other:
            other["done"] = True
            tfbundle.save(f"{URL}/target", {"theirs": np.int64(1)})

    FaultyFileSystem.reset(before)
    with pytest.raises(tfbundle.BundleExistsError, match="appeared while its replacement was written"):
        _halve(ANEW)
    FaultyFileSystem.reset()
    assert list(tfbundle.load(f"{URL}/target")) == ["theirs"]


def test_source_that_changes_meanwhile(expected: dict[str, bytes]) -> None:
    path = "/folder/source.data-00001-of-00002"

    def before(number: int, kind: str, where: str) -> None:
        if kind == "part":
            file = FaultyFileSystem.store[path]
            file.seek(0, 2)
            file.write(b"more")

    FaultyFileSystem.reset(before)
    with pytest.raises(tfbundle.FormatError, match="changed while it was read"):
        _halve(ANEW)
    FaultyFileSystem.reset()
    assert _found() == {}
    assert FaultyFileSystem.uploads == set()
