from __future__ import annotations

import errno
import gc
import os
import pickle
import shutil
import socket
from pathlib import Path

import pytest

from tfbundle.errors import BundleNotFoundError, FormatError, TruncatedError, UnsupportedError
from tfbundle.storage.local import LocalStorage

STORAGE = LocalStorage()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    return path


class TestReading:
    @pytest.mark.parametrize(("offset", "nbytes"), [(0, 100), (0, 0), (100, 0), (10, 5), (99, 1)])
    def test_range(self, file: Path, offset: int, nbytes: int) -> None:
        opened = STORAGE.open(str(file))
        assert opened.nbytes == 100
        assert opened.read(offset, nbytes) == bytes(range(100))[offset : offset + nbytes]
        buffer = bytearray(b"\xaa" * (nbytes + 2))
        opened.read_into(offset, memoryview(buffer)[1:-1])
        assert buffer == b"\xaa" + bytes(range(100))[offset : offset + nbytes] + b"\xaa"

    @pytest.mark.parametrize(("offset", "nbytes"), [(0, 101), (100, 1), (101, 0), (-1, 1), (50, 2**62), (2**62, 8)])
    def test_range_outside_the_file(self, file: Path, offset: int, nbytes: int) -> None:
        with pytest.raises(TruncatedError, match="Read less bytes than requested") as caught:
            STORAGE.open(str(file)).read(offset, nbytes)
        assert caught.value.path == str(file)

    def test_buffer_beyond_the_end(self, file: Path) -> None:
        with pytest.raises(TruncatedError):
            STORAGE.open(str(file)).read_into(50, memoryview(bytearray(51)))

    @pytest.mark.parametrize("at_most", [1, 3, 99])
    def test_reads_that_return_less(self, file: Path, monkeypatch: pytest.MonkeyPatch, at_most: int) -> None:
        whole = os.preadv

        def short(descriptor: int, buffers: list[memoryview], offset: int) -> int:
            return whole(descriptor, [buffers[0][:at_most]], offset)

        monkeypatch.setattr(os, "preadv", short)
        assert STORAGE.open(str(file)).read(1, 99) == bytes(range(1, 100))

    def test_one_call_asks_for_no_more_than_the_kernel_gives(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tfbundle.storage.local.MAX_CALL_NBYTES", 7)
        assert STORAGE.open(str(file)).read(3, 90) == bytes(range(3, 93))

    def test_file_that_shrinks(self, file: Path) -> None:
        opened = STORAGE.open(str(file))
        os.truncate(file, 50)
        assert opened.read(0, 50) == bytes(range(50))
        with pytest.raises(TruncatedError):
            opened.read(0, 51)

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        assert STORAGE.open(str(tmp_path / "empty")).read(0, 0) == b""

    def test_error_of_the_machine_names_the_file(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        opened = STORAGE.open(str(file))
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(OSError, match="Input/output error") as caught:
            opened.read(0, 1)
        assert caught.value.filename == str(file)

    def test_closing_twice(self, file: Path) -> None:
        opened = STORAGE.open(str(file))
        opened.close()
        opened.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            opened.read(0, 1)


class TestUnchanged:
    def test_untouched(self, file: Path) -> None:
        opened = STORAGE.open(str(file))
        opened.read(0, 100)
        opened.check_unchanged()

    def test_grown(self, file: Path) -> None:
        opened = STORAGE.open(str(file))
        with file.open("ab") as other:
            other.write(b"more")
        with pytest.raises(FormatError, match="changed while it was read") as caught:
            opened.check_unchanged()
        assert caught.value.path == str(file)

    def test_rewritten_at_the_same_size(self, file: Path) -> None:
        opened = STORAGE.open(str(file))
        os.utime(file, ns=(1, 1))
        with pytest.raises(FormatError, match="changed while it was read"):
            opened.check_unchanged()

    def test_replaced_by_another_file(self, file: Path) -> None:
        opened = STORAGE.open(str(file))
        other = file.with_name("other")
        other.write_bytes(b"new")
        os.replace(other, file)
        assert opened.read(0, 100) == bytes(range(100))  # the open file is the old one still
        with pytest.raises(FormatError, match="changed while it was read"):
            opened.check_unchanged()

    def test_removed(self, file: Path) -> None:
        opened = STORAGE.open(str(file))
        file.unlink()
        assert opened.read(0, 100) == bytes(range(100))
        opened.check_unchanged()


class TestRoom:
    def test_is_that_of_the_file_system(self, tmp_path: Path) -> None:
        free = STORAGE.free_nbytes(str(tmp_path / "not" / "there" / "yet"))
        assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)

    def test_is_not_known_everywhere(self) -> None:
        assert STORAGE.free_nbytes("/proc/self") is None


class TestUse:
    def test_staged_files_are_in_use_until_they_are_discarded(self, tmp_path: Path) -> None:
        stage = STORAGE.stage(replace=False)
        path = stage.create(str(tmp_path / "file")).path
        assert STORAGE.is_in_use(path)
        os.link(path, tmp_path / "copy")
        stage.discard()
        assert not STORAGE.is_in_use(str(tmp_path / "copy"))

    def test_no_file_is_not_in_use(self, tmp_path: Path) -> None:
        assert not STORAGE.is_in_use(str(tmp_path / "file"))

    def test_what_cannot_be_opened_may_be_in_use(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("elsewhere")
        assert STORAGE.is_in_use(str(tmp_path / "link"))


class TestOpening:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(BundleNotFoundError, match="No such file or directory") as caught:
            STORAGE.open(str(tmp_path / "missing"))
        assert caught.value.path == str(tmp_path / "missing")

    def test_below_a_file(self, file: Path) -> None:
        with pytest.raises(BundleNotFoundError):
            STORAGE.open(str(file / "below"))

    def test_nul_in_the_path(self) -> None:
        with pytest.raises(BundleNotFoundError, match="not a path"):
            STORAGE.open("a\0b")

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises(UnsupportedError, match="not a regular file"):
            STORAGE.open(str(tmp_path))

    def test_pipe_without_a_writer(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UnsupportedError, match="not a regular file"):
            STORAGE.open(str(tmp_path / "pipe"))

    def test_device(self) -> None:
        with pytest.raises(UnsupportedError, match="not a regular file"):
            STORAGE.open("/dev/zero")

    def test_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            with pytest.raises(UnsupportedError, match="not a regular file"):
                STORAGE.open("socket")

    def test_link_to_a_file(self, file: Path) -> None:
        link = file.with_name("link")
        link.symlink_to(file)
        assert STORAGE.open(str(link)).read(0, 3) == b"\0\1\2"

    def test_refused_files_leave_no_descriptor_behind(self, tmp_path: Path) -> None:
        gc.collect()  # files of other tests close now, not meanwhile
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with pytest.raises(UnsupportedError):
                STORAGE.open(str(tmp_path))
        assert len(os.listdir("/proc/self/fd")) == before


class TestNames:
    def test_existence_counts_dangling_links(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("nowhere")
        assert STORAGE.exists(str(tmp_path / "link"))
        assert STORAGE.exists(str(tmp_path))
        assert not STORAGE.exists(str(tmp_path / "missing"))

    def test_directories(self, file: Path) -> None:
        assert STORAGE.is_directory(str(file.parent))
        assert not STORAGE.is_directory(str(file))
        for missing in (file.with_name("missing"), file / "below", "nul\0"):
            assert not STORAGE.is_directory(str(missing))

    def test_directory_of_which_nobody_can_tell(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", fail)
            with pytest.raises(OSError, match="Input/output error"):
                STORAGE.is_directory(str(tmp_path))

    def test_identity_is_another_after_any_change(self, file: Path) -> None:
        first = STORAGE.identity(str(file))
        assert first is not None
        assert STORAGE.identity(str(file)) == first
        os.utime(file, ns=(1, 1))
        assert STORAGE.identity(str(file)) != first
        for missing in (file.with_name("missing"), file / "below", "nul\0"):
            assert STORAGE.identity(str(missing)) is None

    def test_same_file_by_any_link(self, file: Path) -> None:
        os.link(file, file.with_name("hard"))
        file.with_name("soft").symlink_to(file)
        for name in ("hard", "soft", "../" + file.parent.name + "/file"):
            assert STORAGE.is_same(str(file), str(file.parent / name))
        file.with_name("copy").write_bytes(file.read_bytes())
        assert not STORAGE.is_same(str(file), str(file.with_name("copy")))
        assert not STORAGE.is_same(str(file), str(file.with_name("missing")))

    def test_listing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("b", "a", "c"):
            (tmp_path / name).touch()
        assert STORAGE.list_directory(str(tmp_path)) == ["a", "b", "c"]
        assert STORAGE.list_directory(str(tmp_path / "missing")) == []
        assert STORAGE.list_directory(str(tmp_path / "a")) == []
        monkeypatch.chdir(tmp_path)
        assert STORAGE.list_directory("") == ["a", "b", "c"]

    def test_removing(self, file: Path) -> None:
        STORAGE.remove(str(file))
        STORAGE.remove(str(file))
        assert not file.exists()

    def test_pickles(self, file: Path) -> None:
        assert pickle.loads(pickle.dumps(STORAGE)).open(str(file)).nbytes == 100


class TestElsewhere:
    def test_path_that_another_directory_finds(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(file.parent)
        path = STORAGE.absolute("file")
        monkeypatch.chdir("/")
        assert STORAGE.open(path).read(0, 100) == bytes(range(100))
        assert STORAGE.absolute(path) == path

    def test_staged_file_is_never_made(self, file: Path) -> None:
        with pytest.raises(FileNotFoundError):
            STORAGE.open_staged(f"{file}.tmp-1-c0ffee00")
        assert [path.name for path in file.parent.iterdir()] == ["file"]
