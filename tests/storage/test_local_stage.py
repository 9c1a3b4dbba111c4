from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfbundle.errors import BundleExistsError
from tfbundle.storage.base import staging
from tfbundle.storage.local import LocalStorage
from tfbundle.storage.local_stage import LocalStage, LocalStagedFile

STORAGE = LocalStorage()


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return str(tmp_path / "model")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class TestStaging:
    def test_nothing_is_visible_before_publication(self, prefix: str, tmp_path: Path) -> None:
        stage = STORAGE.stage(replace=False)
        stage.create(prefix + ".data").write_at(0, b"data")
        assert not os.path.exists(prefix + ".data")
        assert len(names(tmp_path)) == 1
        assert names(tmp_path)[0].startswith("model.data.tmp-")
        stage.publish(last=prefix + ".data")
        assert names(tmp_path) == ["model.data"]
        assert Path(prefix + ".data").read_bytes() == b"data"

    def test_pieces_in_any_order(self, prefix: str) -> None:
        stage = STORAGE.stage(replace=False)
        file = stage.create(prefix)
        file.write_at(4, b"5678")
        file.write_at(0, bytearray(b"1234"))
        file.write_at(8, memoryview(b"9"))
        stage.publish(last=prefix)
        assert Path(prefix).read_bytes() == b"123456789"

    @pytest.mark.parametrize("at_most", [1, 3, 99])
    def test_writes_that_take_less(self, prefix: str, monkeypatch: pytest.MonkeyPatch, at_most: int) -> None:
        whole = os.pwrite

        def short(descriptor: int, data: memoryview, offset: int) -> int:
            return whole(descriptor, data[:at_most], offset)

        monkeypatch.setattr(os, "pwrite", short)
        stage = STORAGE.stage(replace=False)
        stage.create(prefix).write_at(2, bytes(range(1, 101)))
        stage.publish(last=prefix)
        assert Path(prefix).read_bytes() == b"\0\0" + bytes(range(1, 101))

    def test_buffers_of_wide_elements(self, prefix: str) -> None:
        np = pytest.importorskip("numpy")
        stage = STORAGE.stage(replace=False)
        stage.create(prefix).write_at(0, memoryview(np.arange(5, dtype="<u4")))
        stage.publish(last=prefix)
        assert Path(prefix).read_bytes() == np.arange(5, dtype="<u4").tobytes()

    def test_reserved_size(self, prefix: str) -> None:
        stage = STORAGE.stage(replace=False)
        stage.create(prefix).reserve(1000)
        stage.create(prefix + "2").reserve(0)
        stage.publish(last=prefix)
        assert Path(prefix).read_bytes() == bytes(1000)
        assert Path(prefix + "2").read_bytes() == b""

    def test_file_system_that_cannot_reserve(self, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        stage = STORAGE.stage(replace=False)
        stage.create(prefix).reserve(1000)
        stage.publish(last=prefix)
        assert Path(prefix).stat().st_size == 1000

    def test_full_disk_names_the_file(self, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", fail)
        monkeypatch.setattr(os, "pwrite", fail)
        with staging(STORAGE, replace=False) as stage:
            file = stage.create(prefix)
            calls: list[Callable[[], None]] = [lambda: file.reserve(10), lambda: file.write_at(0, b"data")]
            for call in calls:
                with pytest.raises(OSError, match="No space left on device") as caught:
                    call()
                assert caught.value.filename == file.path

    def test_staged_file_opened_again(self, prefix: str) -> None:
        stage = STORAGE.stage(replace=False)
        file = stage.create(prefix)
        file.reserve(4)
        again = STORAGE.open_staged(file.path)
        again.write_at(2, b"zz")
        again.close()
        stage.publish(last=prefix)
        assert Path(prefix).read_bytes() == b"\0\0zz"

    @pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
    def test_mode_honours_umask(self, prefix: str, umask: int) -> None:
        previous = os.umask(umask)
        try:
            stage = STORAGE.stage(replace=False)
            stage.create(prefix)
            stage.publish(last=prefix)
        finally:
            os.umask(previous)
        assert stat.S_IMODE(os.stat(prefix).st_mode) == 0o666 & ~umask

    def test_directories_are_made(self, tmp_path: Path) -> None:
        target = str(tmp_path / "a" / "b" / "model")
        stage = STORAGE.stage(replace=False)
        stage.create(target)
        stage.publish(last=target)
        assert os.path.isfile(target)
        stage.discard()
        assert os.path.isfile(target)

    def test_relative_paths(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        stage = STORAGE.stage(replace=False)
        stage.create("plain")
        stage.create("sub/nested")
        stage.publish(last="plain")
        assert names(tmp_path) == ["plain", "sub"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Record renames, removals and syncs, with file names cut down to what was chosen by the caller."""
    recorded: list[str] = []

    def short(target: Any) -> str:
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)
        return os.path.relpath(path, tmp_path).partition(".tmp-")[0]

    def record(name: str) -> None:
        original = getattr(os, name)

        def recording(*arguments: Any, **options: Any) -> Any:
            recorded.append(f"{name} {short(arguments[-1])}")
            return original(*arguments, **options)

        monkeypatch.setattr(os, name, recording)

    for name in ("rename", "unlink", "fsync"):
        record(name)
    return recorded


def stage_model(prefix: str, contents: bytes, *, replace: bool) -> LocalStage:
    stage = STORAGE.stage(replace=replace)
    stage.create(prefix + ".index").write_at(0, contents)
    for shard in ("data-0", "data-1"):
        stage.create(f"{prefix}.{shard}").write_at(0, contents)
    return stage


class TestPublishing:
    def test_r10_files_are_durable_first_and_the_index_comes_last(self, prefix: str, calls: list[str]) -> None:
        stage_model(prefix, b"new", replace=False).publish(last=prefix + ".index")
        assert sorted(calls[:3]) == ["fsync model.data-0", "fsync model.data-1", "fsync model.index"]
        assert calls[3:] == [
            "fsync .",
            "rename model.data-0",
            "rename model.data-1",
            "fsync .",
            "rename model.index",
            "fsync .",
        ]

    def test_r10_directories_made_for_it_are_durable(self, tmp_path: Path, calls: list[str]) -> None:
        stage = STORAGE.stage(replace=False)
        stage.create(str(tmp_path / "a" / "b" / "file"))
        stage.publish(last=str(tmp_path / "a" / "b" / "file"))
        assert set(calls[1 : calls.index("rename a/b/file")]) == {"fsync .", "fsync a", "fsync a/b"}

    def test_r10_replacing_takes_the_old_index_away_first(self, prefix: str, calls: list[str]) -> None:
        stage_model(prefix, b"old", replace=False).publish(last=prefix + ".index")
        calls.clear()
        stage_model(prefix, b"new", replace=True).publish(last=prefix + ".index")
        assert calls[3:] == [
            "fsync .",
            "unlink model.index",
            "fsync .",
            "rename model.data-0",
            "rename model.data-1",
            "fsync .",
            "rename model.index",
            "fsync .",
        ]
        for suffix in (".data-0", ".data-1", ".index"):
            assert Path(prefix + suffix).read_bytes() == b"new"

    def test_replacing_nothing(self, prefix: str) -> None:
        stage_model(prefix, b"new", replace=True).publish(last=prefix + ".index")
        assert Path(prefix + ".index").read_bytes() == b"new"

    @pytest.mark.parametrize("suffix", [".index", ".data-1"])
    def test_file_that_appeared_meanwhile_stays(self, prefix: str, tmp_path: Path, suffix: str) -> None:
        stage = stage_model(prefix, b"new", replace=False)
        Path(prefix + suffix).write_bytes(b"other")
        with pytest.raises(BundleExistsError, match="appeared while"):
            stage.publish(last=prefix + ".index")
        stage.discard()
        assert names(tmp_path) == ["model" + suffix]
        assert Path(prefix + suffix).read_bytes() == b"other"

    def test_dangling_link_in_the_way_stays(self, prefix: str, tmp_path: Path) -> None:
        stage = stage_model(prefix, b"new", replace=False)
        os.symlink("nowhere", prefix + ".index")
        with pytest.raises(BundleExistsError):
            stage.publish(last=prefix + ".index")
        stage.discard()
        assert names(tmp_path) == ["model.index"]

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_r10_failing_rename_leaves_nothing(
        self, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        rename, count = os.rename, [0]

        def fail(source: str, target: str) -> None:
            if count[0] == number:
                raise OSError(errno.EIO, "Input/output error")
            count[0] += 1
            rename(source, target)

        monkeypatch.setattr(os, "rename", fail)
        stage = stage_model(prefix, b"new", replace=False)
        with pytest.raises(OSError, match="Input/output error"):
            stage.publish(last=prefix + ".index")
        stage.discard()
        assert names(tmp_path) == []

    def test_failing_sync_publishes_nothing(self, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        stage = stage_model(prefix, b"new", replace=False)
        with pytest.raises(OSError, match="Input/output error"):
            stage.publish(last=prefix + ".index")
        stage.discard()
        assert names(tmp_path) == []


class Fault:
    """Lets the n-th call of some functions of ``os`` fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: int) -> None:
        self.count = 0
        self.hit = ""
        for name in ("rename", "unlink", "fsync", "open", "close"):
            monkeypatch.setattr(os, name, self._failing(getattr(os, name), error, at))

    def _failing(self, call: Any, error: BaseException, at: int) -> Any:
        def failing(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if call.__name__ == "close":  # which an error does not keep from closing
                call(*arguments)
            if self.count == at:
                self.hit = call.__name__
                raise error
            return None if call.__name__ == "close" else call(*arguments, **options)

        return failing


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def model(data: bytes) -> dict[str, bytes]:
    return {"model" + suffix: data for suffix in (".data-0", ".data-1", ".index")}


class TestNoWayBack:
    """Once the old index is gone, the new files go to their places, or stay where they are, complete."""

    @pytest.fixture
    def stage(self, prefix: str) -> LocalStage:
        stage_model(prefix, b"old", replace=False).publish(last=prefix + ".index")
        return stage_model(prefix, b"new", replace=True)

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")], ids=repr)
    def test_fault_at_any_call(
        self, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        outcomes = []
        for at in range(1, 100):
            stage_model(prefix, b"old", replace=True).publish(last=prefix + ".index")
            stage = stage_model(prefix, b"new", replace=True)
            with monkeypatch.context() as patched:
                fault = Fault(patched, error, at)
                is_harmless = True
                try:
                    stage.publish(last=prefix + ".index")
                except (KeyboardInterrupt, OSError):
                    stage.discard()
                    is_harmless = False
            found = contents(tmp_path)
            assert found in ((model(b"new"),) if is_harmless else (model(b"old"), model(b"new")))
            if fault.count < at:
                break
            if not (is_harmless and fault.hit == "close"):  # of a directory, whose errors mean nothing
                outcomes.append(found == model(b"new"))
        assert outcomes == sorted(outcomes)
        assert 5 < sum(outcomes) < len(outcomes) - 5

    def test_machine_that_refuses_every_rename(
        self, stage: LocalStage, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", fail)
            with pytest.raises(OSError, match="has lost its index, and the new files are complete") as caught:
                stage.publish(last=prefix + ".index")
            stage.discard()
        assert caught.value.errno == errno.EIO
        found = contents(tmp_path)
        staged = {name.partition(".tmp-")[0]: data for name, data in found.items() if ".tmp-" in name}
        assert staged == model(b"new")
        assert {name for name in found if ".tmp-" not in name} == {"model.data-0", "model.data-1"}

    def test_files_left_like_that_can_be_taken_over(
        self, stage: LocalStage, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: str, target: str) -> None:
            raise OSError(errno.EIO, "Input/output error", target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", fail)
            with pytest.raises(OSError, match="complete"):
                stage.publish(last=prefix + ".index")
        staged = {str(path).partition(".tmp-")[0]: str(path) for path in tmp_path.iterdir() if ".tmp-" in path.name}
        STORAGE.stage(replace=True, staged=staged).publish(last=prefix + ".index")
        assert contents(tmp_path) == model(b"new")

    def test_last_sync_fails(
        self, stage: LocalStage, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: str) -> None:
            if contents(tmp_path) == model(b"new"):
                raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr("tfbundle.storage.local_stage.sync_directory", fail)
        with pytest.raises(OSError, match="all in place, but may not survive a power failure"):
            stage.publish(last=prefix + ".index")
        stage.discard()
        assert contents(tmp_path) == model(b"new")


class TestReadingBack:
    @pytest.mark.parametrize("size", [1, 5, (1 << 20) + 3])
    def test_r10_storage_that_loses_bytes(self, prefix: str, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        def pretend(descriptor: int, data: memoryview, offset: int) -> int:
            write(descriptor, data[:-1], offset)
            return len(data)

        write = os.pwrite
        stage = STORAGE.stage(replace=False)
        file = stage.create(prefix)
        file.write_at(3, b"x" * size)
        monkeypatch.setattr(os, "pwrite", pretend)
        file.write_at(3, b"x" * size)  # what is lost was there before
        for lost in (bytes(size), b"x" * (size - 1) + b"y"):
            with pytest.raises(OSError, match="does not keep what is written") as caught:
                file.write_at(3, lost)
            assert caught.value.filename == file.path
        with pytest.raises(OSError, match="does not keep what is written"):
            file.write_at(3 + size, b"z")
        stage.discard()

    def test_reads_that_return_less(self, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        read = os.preadv
        monkeypatch.setattr(
            os, "preadv", lambda descriptor, buffers, offset: read(descriptor, [buffers[0][:3]], offset)
        )
        stage = STORAGE.stage(replace=False)
        stage.create(prefix).write_at(0, b"0123456789")
        stage.discard()

    def test_write_that_stops(self, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "pwrite", lambda *_: 0)
        stage = STORAGE.stage(replace=False)
        with pytest.raises(OSError, match="nothing more can be written at 7"):
            stage.create(prefix).write_at(7, b"0123456789")
        stage.discard()


def test_closed_file_opens_again(prefix: str) -> None:
    stage = STORAGE.stage(replace=False)
    file = stage.create(prefix)
    file.write_at(0, b"one ")
    file.close()
    file.close()
    file.write_at(4, b"two")
    stage.publish(last=prefix)
    assert Path(prefix).read_bytes() == b"one two"


class TestDiscarding:
    def test_temporary_files_and_made_directories_go(self, tmp_path: Path) -> None:
        stage = STORAGE.stage(replace=False)
        stage.create(str(tmp_path / "a" / "b" / "model"))
        stage.create(str(tmp_path / "model"))
        stage.discard()
        assert names(tmp_path) == []

    def test_directories_of_others_stay(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        stage = STORAGE.stage(replace=False)
        stage.create(str(tmp_path / "a" / "b" / "model"))
        stage.discard()
        assert names(tmp_path) == ["a"]
        assert names(tmp_path / "a") == []

    def test_made_directory_with_a_file_of_somebody_else_stays(self, tmp_path: Path) -> None:
        stage = STORAGE.stage(replace=False)
        stage.create(str(tmp_path / "a" / "model"))
        (tmp_path / "a" / "theirs").touch()
        stage.discard()
        assert names(tmp_path / "a") == ["theirs"]

    def test_existing_target_stays(self, prefix: str) -> None:
        Path(prefix).write_bytes(b"old")
        stage = STORAGE.stage(replace=True)
        stage.create(prefix).write_at(0, b"new")
        stage.discard()
        assert Path(prefix).read_bytes() == b"old"

    def test_after_publication_nothing_is_removed(self, prefix: str) -> None:
        stage = STORAGE.stage(replace=False)
        stage.create(prefix)
        stage.publish(last=prefix)
        stage.discard()
        stage.discard()
        assert os.path.exists(prefix)

    def test_leaving_the_block_discards(self, prefix: str, tmp_path: Path) -> None:
        def stage_and_fail() -> None:
            with staging(STORAGE, replace=False) as stage:
                stage.create(prefix)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            stage_and_fail()
        assert names(tmp_path) == []

    def test_temporary_file_that_is_gone_already(self, prefix: str, tmp_path: Path) -> None:
        stage = STORAGE.stage(replace=False)
        os.unlink(stage.create(prefix).path)
        stage.discard()
        assert names(tmp_path) == []


class TestPublishingOver:
    """One file takes the place of another at once; those beside it are new."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        (tmp_path / "index").write_bytes(b"old")
        return tmp_path

    def staged(self, folder: Path) -> LocalStage:
        stage = LocalStage(replace=True)
        stage.create(str(folder / "data")).write_at(0, b"data")
        stage.create(str(folder / "index")).write_at(0, b"new")
        return stage

    def test_all_is_there(self, old: Path) -> None:
        stage = self.staged(old)
        stage.publish_over(str(old / "index"))
        stage.discard()
        assert {path.name: path.read_bytes() for path in old.iterdir()} == {"index": b"new", "data": b"data"}

    def test_there_is_always_one(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []

        def watch(call: Any) -> Any:
            def watched(*arguments: Any) -> Any:
                result = call(*arguments)
                seen.append((old / "index").read_bytes() + (b"+" if (old / "data").exists() else b""))
                return result

            return watched

        for name in ("rename", "unlink", "fsync"):
            monkeypatch.setattr(os, name, watch(getattr(os, name)))
        self.staged(old).publish_over(str(old / "index"))
        assert list(dict.fromkeys(seen)) == [b"old", b"old+", b"new+"]

    def test_others_are_durable_before(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []

        def note(call: Any) -> Any:
            def noted(*arguments: Any) -> Any:
                calls.append(call.__name__)
                return call(*arguments)

            return noted

        for name in ("rename", "fsync"):
            monkeypatch.setattr(os, name, note(getattr(os, name)))
        self.staged(old).publish_over(str(old / "index"))
        assert calls == ["fsync", "fsync", "fsync", "rename", "fsync", "rename", "fsync"]

    @pytest.mark.parametrize(("failing", "expected"), [(1, b"old"), (2, b"old"), (3, b"new")])
    def test_failure(self, old: Path, monkeypatch: pytest.MonkeyPatch, failing: int, expected: bytes) -> None:
        """The first rename, the second, or what comes after it."""
        stage = self.staged(old)
        calls = 0

        def fail(*arguments: Any, call: Any = os.rename) -> None:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.EIO, "Input/output error")
            call(*arguments)
            if calls == failing - 1 == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "rename", fail)
        with pytest.raises((OSError, KeyboardInterrupt)):
            stage.publish_over(str(old / "index"))
        stage.discard()
        assert (old / "index").read_bytes() == expected
        names = sorted(path.name for path in old.iterdir())
        assert names == (["data", "index"] if expected == b"new" else ["index"])


def test_link_to_the_file_behind_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    os.symlink("file", tmp_path / "name")
    stage = LocalStage(replace=False)
    stage.link(str(tmp_path / "name"), str(tmp_path / "below" / "other"))
    stage.publish(str(tmp_path / "below" / "other"))
    assert os.path.samefile(tmp_path / "file", tmp_path / "below" / "other")
    assert not (tmp_path / "below" / "other").is_symlink()


@pytest.mark.parametrize("over", [False, True])
def test_link_over_a_link_to_the_same_file(tmp_path: Path, over: bool) -> None:
    """Renaming one name of a file to another of its names does nothing, and succeeds."""
    (tmp_path / "source").write_bytes(b"data")
    os.link(tmp_path / "source", tmp_path / "model.data")
    stage = LocalStage(replace=True)
    stage.link(str(tmp_path / "source"), str(tmp_path / "model.data"))
    stage.create(str(tmp_path / "model.index")).write_at(0, b"index")
    (stage.publish_over if over else stage.publish)(str(tmp_path / "model.index"))
    stage.discard()
    assert contents(tmp_path) == {"source": b"data", "model.data": b"data", "model.index": b"index"}


def test_rename_that_takes_the_old_file_away_and_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = tmp_path / "last"
    last.write_bytes(b"old")
    rename = os.rename
    failed: list[str] = []

    def lose(source: str, target: str) -> None:
        if not failed:
            failed.append(target)
            os.unlink(target)
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", lose)
    with staging(STORAGE, replace=True) as stage:
        stage.create(str(last)).write_at(0, b"new")
        stage.publish_over(str(last))
    assert failed == [str(last)]
    assert last.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["last"]


def test_file_that_a_signal_kept_from_being_made_can_be_closed() -> None:
    """As when it comes at the first line of ``__init__``; then ``__del__`` closes what is not there yet."""
    LocalStagedFile.__new__(LocalStagedFile).close()
