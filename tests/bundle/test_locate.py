from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.bundles import shard_path, write_worked_example
from tests.support.tables import WORKED_TABLE, write_table
from tfbundle.bundle.locate import find_bundle, latest
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.state_file import latest_prefix, read_state
from tfbundle.errors import BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.storage.local import LocalStorage

STORAGE = LocalStorage()
LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def find(path: str | os.PathLike[str]) -> str:
    return find_bundle(path, STORAGE).prefix


def write_state(directory: Path, latest_path: str) -> None:
    (directory / "checkpoint").write_text(f'model_checkpoint_path: "{latest_path}"\n')


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    path = str(tmp_path / "model.ckpt-7")
    write_worked_example(path)
    return path


class TestPathsOfOneBundle:
    @pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00000-of-00001", ".data-00003-of-00009"])
    def test_files(self, prefix: str, suffix: str) -> None:
        assert find(prefix + suffix) == prefix

    def test_path_objects(self, prefix: str) -> None:
        assert find(Path(prefix)) == prefix
        assert find(Path(prefix + ".index")) == prefix

    def test_relative_path(self, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(os.path.dirname(prefix))
        assert find("model.ckpt-7") == "model.ckpt-7"
        assert find("./model.ckpt-7.index") == "./model.ckpt-7"

    def test_meta_file_beside_it(self, prefix: str) -> None:
        Path(prefix + ".meta").write_bytes(b"graph")
        assert find(prefix + ".meta") == prefix

    @pytest.mark.parametrize(
        "name",
        [
            "model.v1.2",
            "model.ckpt-1000",
            "ckpt-00001-of-00002",
            "m[0-9]",
            "m*?",
            "a b",
            "%s {0}",
            "naïve",
            "-x",
            ".hidden",
            "model.index",
            "model.data-00000-of-00001",
            "checkpoint",
            "saved_model.pb",
            "new\nline",
        ],
    )
    def test_prefix_is_taken_literally(self, tmp_path: Path, name: str) -> None:
        path = str(tmp_path / name)
        write_worked_example(path)
        for suffix in ("", ".index", ".data-00000-of-00001", ".meta"):
            assert find(path + suffix) == path

    def test_glob_characters_match_nothing_else(self, tmp_path: Path) -> None:
        write_worked_example(str(tmp_path / "m1"))
        with pytest.raises(BundleNotFoundError):
            find(str(tmp_path / "m[0-9]"))
        with pytest.raises(BundleNotFoundError):
            find(str(tmp_path / "m?"))

    def test_empty_base_name(self, tmp_path: Path) -> None:
        directory = str(tmp_path / "net") + os.sep
        write_worked_example(directory)
        for path in (directory, directory + ".index", directory + ".data-00000-of-00001", directory[:-1]):
            assert find(path) == directory
            with open_bundle(path) as bundle:
                assert bundle["s"] == 3

    def test_literal_reading_goes_first(self, prefix: str) -> None:
        write_worked_example(prefix + ".index")
        assert find(prefix + ".index") == prefix + ".index"
        assert find(prefix) == prefix


class TestDirectories:
    def test_state_file_says_which(self, tmp_path: Path) -> None:
        for number in (1, 2, 3):
            write_worked_example(str(tmp_path / f"ckpt-{number}"))
        write_state(tmp_path, "ckpt-2")
        assert find(tmp_path) == str(tmp_path / "ckpt-2")
        assert find(tmp_path / "checkpoint") == str(tmp_path / "ckpt-2")
        assert find(str(tmp_path) + os.sep) == str(tmp_path / "ckpt-2")
        assert latest(tmp_path) == str(tmp_path / "ckpt-2")

    def test_state_file_in_the_working_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_worked_example(str(tmp_path / "ckpt-1"))
        write_worked_example(str(tmp_path / "ckpt-2"))
        write_state(tmp_path, "ckpt-1")
        monkeypatch.chdir(tmp_path)
        for path in (".", "checkpoint", "./checkpoint"):
            assert os.path.normpath(find(path)) == "ckpt-1"

    def test_relative_directory_stays_relative(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_worked_example(str(tmp_path / "cs" / "ck"))
        write_state(tmp_path / "cs", "ck")
        monkeypatch.chdir(tmp_path)
        assert latest("cs") == os.path.join("cs", "ck")

    def test_checkpoint_in_a_directory_below(self, tmp_path: Path) -> None:
        write_worked_example(str(tmp_path / "sub" / "ckpt-1"))
        write_state(tmp_path, "sub/ckpt-1")
        assert find(tmp_path) == str(tmp_path / "sub" / "ckpt-1")

    @pytest.mark.parametrize("path", ["/data/run/ckpt-5", "../run/ckpt-5"])
    def test_path_from_before_the_directory_was_moved(self, tmp_path: Path, path: str) -> None:
        write_worked_example(str(tmp_path / "ckpt-4"))
        write_worked_example(str(tmp_path / "ckpt-5"))
        write_state(tmp_path, path)
        assert find(tmp_path) == str(tmp_path / "ckpt-5")

    def test_path_out_of_the_directory_is_not_followed(self, tmp_path: Path) -> None:
        write_worked_example(str(tmp_path / "elsewhere" / "ckpt-5"))
        (tmp_path / "run").mkdir()
        write_state(tmp_path / "run", "../elsewhere/ckpt-5")
        assert latest(tmp_path / "run") is None
        with pytest.raises(BundleNotFoundError):
            find(tmp_path / "run")

    def test_single_index(self, prefix: str, tmp_path: Path) -> None:
        assert find(tmp_path) == prefix

    def test_several_without_a_state_file(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            write_worked_example(str(tmp_path / name))
        with pytest.raises(BundleNotFoundError, match=r"Couldn't find 'checkpoint' file.*give one of a, b"):
            find(tmp_path)

    def test_state_file_that_points_to_nothing(self, prefix: str, tmp_path: Path) -> None:
        write_state(tmp_path, "gone")
        assert latest(tmp_path) is None
        assert find(tmp_path) == prefix

    @pytest.mark.parametrize("text", [b"garbage", b"\xff\xfe", b"", b'model_checkpoint_path: ""'])
    def test_damaged_state_file_does_not_hide_the_bundle(self, prefix: str, tmp_path: Path, text: bytes) -> None:
        (tmp_path / "checkpoint").write_bytes(text)
        assert find(tmp_path) == prefix
        with pytest.raises(FormatError) as caught:
            latest(tmp_path)
        assert caught.value.path == str(tmp_path / "checkpoint")

    def test_state_file_that_is_far_too_large(self, tmp_path: Path) -> None:
        (tmp_path / "checkpoint").write_bytes(b"#" * ((1 << 20) + 1))
        with pytest.raises(FormatError, match="too many"):
            read_state(str(tmp_path), STORAGE)

    def test_no_state_file(self, tmp_path: Path) -> None:
        assert read_state(str(tmp_path), STORAGE) is None
        assert latest_prefix(str(tmp_path), STORAGE) is None
        assert latest(tmp_path) is None

    def test_empty_directory(self, tmp_path: Path) -> None:
        with pytest.raises(BundleNotFoundError, match="Couldn't find 'checkpoint' file or checkpoints") as caught:
            find(tmp_path)
        assert caught.value.path == str(tmp_path)


class TestSavedModels:
    @pytest.fixture
    def saved_model(self, tmp_path: Path) -> Path:
        write_worked_example(str(tmp_path / "variables" / "variables"))
        (tmp_path / "saved_model.pb").write_bytes(b"model")
        return tmp_path

    def test_directory(self, saved_model: Path) -> None:
        assert find(saved_model) == str(saved_model / "variables" / "variables")

    def test_file_in_it(self, saved_model: Path) -> None:
        assert find(saved_model / "saved_model.pb") == str(saved_model / "variables" / "variables")

    def test_variables_directory(self, saved_model: Path) -> None:
        assert find(saved_model / "variables") == str(saved_model / "variables" / "variables")

    def test_without_variables(self, tmp_path: Path) -> None:
        (tmp_path / "saved_model.pb").write_bytes(b"model")
        for path in (tmp_path, tmp_path / "saved_model.pb"):
            with pytest.raises(BundleNotFoundError, match=r"no variables/variables\.index"):
                find(path)


class TestNothingThere:
    def test_close_names_are_told(self, prefix: str, tmp_path: Path) -> None:
        write_worked_example(str(tmp_path / "other"))
        with pytest.raises(BundleNotFoundError, match=r"Failed to find any matching files.*model\.ckpt-7$") as caught:
            find(str(tmp_path / "model.ckpt-70"))
        assert caught.value.path == str(tmp_path / "model.ckpt-70")

    def test_names_are_told_though_none_is_close(self, prefix: str, tmp_path: Path) -> None:
        with pytest.raises(BundleNotFoundError, match=r"Failed to find any matching files.*model\.ckpt-7$"):
            find(str(tmp_path / "zzz"))

    def test_nothing_to_tell(self, tmp_path: Path) -> None:
        with pytest.raises(BundleNotFoundError, match="Failed to find any matching files"):
            find(str(tmp_path / "model"))

    def test_missing_directory(self, tmp_path: Path) -> None:
        with pytest.raises(BundleNotFoundError, match="Failed to find any matching files"):
            find(str(tmp_path / "no" / "such" / "model"))

    @pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
    def test_what_is_no_path(self, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(BundleNotFoundError):
            find(path)

    def test_it_is_a_file_not_found_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            find(str(tmp_path / "model"))

    @pytest.mark.parametrize("suffix", ["", ".index"])
    def test_data_without_an_index(self, prefix: str, suffix: str) -> None:
        os.unlink(prefix + ".index")
        with pytest.raises(
            BundleNotFoundError, match=r"model\.ckpt-7\.data-00000-of-00001 is there, but without its index"
        ):
            find(prefix + suffix)

    @pytest.mark.parametrize("suffix", [".data-00000-of-00001", ".meta"])
    def test_file_without_its_index(self, prefix: str, suffix: str) -> None:
        Path(prefix + ".meta").write_bytes(b"graph" * 20)
        os.unlink(prefix + ".index")
        with pytest.raises(BundleNotFoundError, match=r"model\.ckpt-7\.index"):
            find(prefix + suffix)


class TestOtherFiles:
    def test_v1_file(self, tmp_path: Path) -> None:
        (tmp_path / "model").write_bytes(write_table([(b"", b"\x0a\x00")]))
        assert find_bundle(tmp_path / "model", STORAGE) == (str(tmp_path / "model"), (str(tmp_path / "model"),))

    def test_v1_shards(self, tmp_path: Path) -> None:
        for number in (0, 1):
            (tmp_path / f"export-{number:05d}-of-00002").write_bytes(WORKED_TABLE)
        files = tuple(str(tmp_path / f"export-{number:05d}-of-00002") for number in (0, 1))
        (tmp_path / "export.meta").write_bytes(b"graph")
        for path in ("export", "export-00000-of-00002", "export-?????-of-00002", "export.meta", "."):
            assert find_bundle(tmp_path / path, STORAGE) == (str(tmp_path / "export"), files), path
        os.unlink(files[1])
        with pytest.raises(BundleNotFoundError, match="one of 2 shards") as caught:
            find(tmp_path / "export")
        assert caught.value.path == files[1]

    @pytest.mark.parametrize(
        "name", ["export-00000-of-00002", "export-?????-of-00002", "export-00000-of-100001", "export-00000-of-99999999"]
    )
    def test_v1_shards_of_which_there_is_none(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(BundleNotFoundError):
            find(tmp_path / name)

    @pytest.mark.parametrize("data", [b"", b"short", os.urandom(500)])
    def test_any_other_file(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "notes.txt").write_bytes(data)
        with pytest.raises(UnsupportedError, match="neither a checkpoint's prefix nor one of its files"):
            find(tmp_path / "notes.txt")

    def test_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "model")
        with pytest.raises(UnsupportedError, match="not a regular file"):
            find(tmp_path / "model")

    def test_index_that_is_a_pipe_or_a_directory(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.index")
        (tmp_path / "directory.index").mkdir()
        for name in ("pipe", "directory"):
            with pytest.raises(UnsupportedError, match="not a regular file"):
                open_bundle(tmp_path / name)

    def test_index_that_is_an_lfs_pointer(self, prefix: str) -> None:
        Path(prefix + ".index").write_bytes(LFS_POINTER)
        with pytest.raises(FormatError, match=r"Git LFS pointer.*git lfs pull") as caught:
            open_bundle(prefix)
        assert caught.value.path == prefix + ".index"

    def test_shard_that_is_an_lfs_pointer(self, prefix: str) -> None:
        Path(shard_path(prefix)).write_bytes(LFS_POINTER)
        with open_bundle(prefix) as bundle, pytest.raises(FormatError, match="Git LFS pointer") as caught:
            bundle["v"]
        assert caught.value.path == shard_path(prefix)

    def test_lfs_pointer_without_an_index(self, tmp_path: Path) -> None:
        (tmp_path / "model.data-00000-of-00001").write_bytes(LFS_POINTER)
        with pytest.raises(FormatError, match="Git LFS pointer"):
            find(tmp_path / "model.data-00000-of-00001")

    def test_index_that_is_a_dangling_link(self, tmp_path: Path) -> None:
        (tmp_path / "model.index").symlink_to("nowhere")
        with pytest.raises(BundleNotFoundError):
            open_bundle(tmp_path / "model")


def test_names_that_tell_of_more_shards_than_there_can_be(tmp_path: Path) -> None:
    (tmp_path / "m-00000-of-1000000000").write_bytes(b"")
    for path in ("m", "m-00000-of-1000000000"):
        with pytest.raises((BundleNotFoundError, UnsupportedError)):
            find_bundle(tmp_path / path, LocalStorage())
