"""The ``checkpoint`` file, read by TensorFlow and by this package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import tensorflow
from tfbundle import BundleNotFoundError, CheckpointState, FormatError, get_checkpoint_state, latest
from tfbundle.bundle.state_file import newest_prefixes
from tfbundle.storage.local import LocalStorage

NAME = "model_checkpoint_path"
ALL = "all_model_checkpoint_paths"


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with checkpoints, one of them below it, and one beside it."""
    run = tmp_path / "run"
    for prefix in (run / "a-1", run / "a-2", run / "sub" / "b-1", tmp_path / "beside" / "c-1"):
        tfbundle.save(prefix, {"w": np.float32(1)})
    return run


def write(folder: Path, text: str | bytes) -> None:
    (folder / "checkpoint").write_bytes(text.encode() if isinstance(text, str) else text)


SAME = [
    f'{NAME}: "a-1"',
    f"{NAME}: 'a-1'",
    f'# the latest\n{NAME}: "a-2"  # so far\n# that is all',
    f'{NAME}: "a-2" {ALL}: "a-1" {ALL}: "a-2"',
    f'{NAME}: "a-2"; {ALL}: "a-1", {ALL}: "a-2"',
    f'{NAME}: "a" "-" \'1\'',
    f'{NAME}: "\\141-\\x31"',
    f'{NAME}: "sub/b-1"\n{ALL}: "sub/b-1"',
    f'{NAME}:"a-1"{ALL}:["a-2","a-1"]',
    f'{ALL}: "a-1"\n{NAME}: "a-1"\n',
    f'{NAME}: "a-9"\n{ALL}: "a-9"',
    f'{NAME}: "./a-1"',
    f'{NAME}: "a-1"\n{ALL}: "a-1"\nall_model_checkpoint_timestamps: 1.5\nlast_preserved_timestamp: 1e9',
    f'{NAME}: "\\303\\244"',
]


@pytest.mark.parametrize("text", SAME)
def test_same_paths_as_in_tensorflow(tf: Any, folder: Path, text: str) -> None:
    write(folder, text)
    theirs = tf.train.get_checkpoint_state(str(folder))
    ours = get_checkpoint_state(folder)
    assert ours is not None
    assert ours.latest == theirs.model_checkpoint_path
    listed = list(theirs.all_model_checkpoint_paths)
    assert [*ours.all_paths] == listed or (not ours.all_paths and listed == [ours.latest])  # which TensorFlow adds
    assert list(ours.timestamps) == list(theirs.all_model_checkpoint_timestamps)
    assert ours.last_preserved == theirs.last_preserved_timestamp
    assert latest(folder) == tf.train.latest_checkpoint(str(folder))


def test_known_values(folder: Path) -> None:
    write(folder, f'{NAME}: "a-2" {ALL}: "a-1" {ALL}: "a-2" all_model_checkpoint_timestamps: [1.5, 2.5]')
    assert get_checkpoint_state(folder) == CheckpointState(
        f"{folder}/a-2", (f"{folder}/a-1", f"{folder}/a-2"), (1.5, 2.5), 0.0
    )
    assert latest(folder) == f"{folder}/a-2"


def test_relative_directory_stays_relative(tf: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, f'{NAME}: "a-1"')
    monkeypatch.chdir(folder.parent)
    assert latest("run") == tf.train.latest_checkpoint("run") == os.path.join("run", "a-1")


@pytest.mark.parametrize(
    "text", [f"{NAME}: a-1", f'{NAME}: "a-1" no_such_field: 1', f'{NAME}: "a-1', "\x00", f"{NAME} {{}}"]
)
def test_text_that_tensorflow_does_not_read(tf: Any, folder: Path, text: str) -> None:
    """It says None, as if there was no file; here it is an error."""
    write(folder, text)
    assert tf.train.latest_checkpoint(str(folder)) is None
    for read in (latest, get_checkpoint_state):
        with pytest.raises(FormatError, match="not a checkpoint state file") as caught:
            read(folder)
        assert str(folder / "checkpoint") in str(caught.value)


@pytest.mark.parametrize("text", ["", f'{NAME}: ""', f'{ALL}: "a-1"'])
def test_no_latest_checkpoint(tf: Any, folder: Path, text: str) -> None:
    write(folder, text)
    with pytest.raises(ValueError, match="Invalid checkpoint state"):
        tf.train.get_checkpoint_state(str(folder))
    with pytest.raises(FormatError, match="Invalid checkpoint state"):
        get_checkpoint_state(folder)


def test_bytes_that_are_no_text(folder: Path) -> None:
    write(folder, b'model_checkpoint_path: "\xff"')
    with pytest.raises(FormatError, match="not a checkpoint state file"):
        get_checkpoint_state(folder)


def test_r13_file_that_is_far_too_large(folder: Path) -> None:
    write(folder, b"#" * ((1 << 20) + 1))
    with pytest.raises(FormatError, match="too many"):
        get_checkpoint_state(folder)


def test_no_file(tf: Any, folder: Path) -> None:
    for directory in (folder, folder / "missing"):
        assert latest(directory) is None
        assert get_checkpoint_state(directory) is None
        assert tf.train.latest_checkpoint(str(directory)) is None


class TestOutside:
    def test_absolute_path_within_the_directory(self, tf: Any, folder: Path) -> None:
        write(folder, f'{NAME}: "{folder}/a-1"\n{ALL}: "{folder}/a-1"')
        assert latest(folder) == tf.train.latest_checkpoint(str(folder)) == f"{folder}/a-1"
        assert latest(folder, allow_outside=True) == f"{folder}/a-1"

    @pytest.mark.parametrize("absolute", [False, True])
    def test_other_directory_only_on_request(self, tf: Any, folder: Path, absolute: bool) -> None:
        path = f"{folder.parent}/beside/c-1" if absolute else "../beside/c-1"
        write(folder, f'{NAME}: "{path}"\n{ALL}: "a-1"\n{ALL}: "{path}"')
        theirs = tf.train.latest_checkpoint(str(folder))
        assert latest(folder) is None
        assert latest(folder, allow_outside=True) == theirs == os.path.join(folder, path)
        inside = get_checkpoint_state(folder)
        assert inside is not None
        assert inside.all_paths == (f"{folder}/a-1", f"{folder}/c-1")
        outside = get_checkpoint_state(folder, allow_outside=True)
        assert outside is not None
        assert outside.all_paths == (f"{folder}/a-1", os.path.join(folder, path))

    @pytest.mark.parametrize("path", ["/old/place/a-2", "../old/a-2", "sub/../../old/a-2"])
    def test_checkpoint_of_that_name_after_a_move(self, folder: Path, path: str) -> None:
        write(folder, f'{NAME}: "{path}"')
        assert latest(folder) == f"{folder}/a-2"
        assert latest(folder, allow_outside=True) is None

    def test_r13_link_to_another_directory_only_on_request(self, tf: Any, folder: Path) -> None:
        (folder / "link").symlink_to(folder.parent / "beside")
        (folder / "within").symlink_to("sub")
        write(folder, f'{NAME}: "link/c-1"\n{ALL}: "within/b-1"\n{ALL}: "link/c-1"')
        assert latest(folder) is None
        assert latest(folder, allow_outside=True) == tf.train.latest_checkpoint(str(folder)) == f"{folder}/link/c-1"
        inside = get_checkpoint_state(folder)
        assert inside is not None
        assert inside.all_paths == (f"{folder}/within/b-1", f"{folder}/c-1")

    def test_r13_directory_that_is_a_link_itself(self, folder: Path) -> None:
        write(folder, f'{NAME}: "sub/b-1"')
        (folder.parent / "alias").symlink_to(folder)
        assert latest(folder.parent / "alias") == f"{folder.parent}/alias/sub/b-1"

    @pytest.mark.parametrize("path", ["a\\000b", "sub/a\\000/b", "\\000"])
    def test_r13_nul(self, folder: Path, path: str) -> None:
        write(folder, f'{NAME}: "{path}"')
        assert latest(folder) is None

    def test_two_dots_in_a_name_are_no_parent(self, folder: Path) -> None:
        tfbundle.save(folder / "a..b", {"w": np.float32(1)})
        write(folder, f'{NAME}: "a..b"')
        assert latest(folder) == f"{folder}/a..b"


def test_file_of_a_checkpoint_manager(tf: Any, tmp_path: Path) -> None:
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(v=tf.Variable(1.0)), str(tmp_path / "run"), max_to_keep=2)
    for _ in range(3):
        manager.save()
    state = get_checkpoint_state(tmp_path / "run")
    assert state is not None
    assert state.latest == manager.latest_checkpoint
    assert list(state.all_paths) == manager.checkpoints
    assert len(state.timestamps) == 2
    assert latest(tmp_path / "run") == manager.latest_checkpoint


def test_file_of_a_sharded_v1_save_has_question_marks(tf: Any, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", initializer=np.arange(3, dtype=np.float32))
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(sharded=True, write_version=v1.train.SaverDef.V1)
        saver.save(session, str(tmp_path / "ck"), write_meta_graph=False)
    assert "?????" in (tmp_path / "checkpoint").read_text()
    assert latest(tmp_path) == tf.train.latest_checkpoint(str(tmp_path)) == f"{tmp_path}/ck-?????-of-00001"
    assert tfbundle.load(tmp_path)["w"].tolist() == [0, 1, 2]


def newest(folder: Path, count: int) -> list[str]:
    return [os.path.basename(prefix) for prefix in newest_prefixes(str(folder), count, LocalStorage())]


def test_newest_are_the_last_listed(folder: Path) -> None:
    lines = [f'{NAME}: "a-3"', *(f'{ALL}: "a-{number}"' for number in (1, 2, 3))]
    write(folder, "\n".join(lines))
    assert newest(folder, 1) == ["a-3"]
    assert newest(folder, 2) == ["a-2", "a-3"]
    assert newest(folder, 3) == ["a-1", "a-2", "a-3"]
    with pytest.raises(BundleNotFoundError, match="checkpoint: lists 3 checkpoints, not 4"):
        newest(folder, 4)


def test_latest_counts_where_it_is_not_listed(folder: Path) -> None:
    write(folder, f'{NAME}: "a-2"\n{ALL}: "a-1"')
    assert newest(folder, 2) == ["a-1", "a-2"]
    write(folder, f'{NAME}: "a-2"')
    assert newest(folder, 1) == ["a-2"]


def test_no_list(folder: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="Couldn't find 'checkpoint' file"):
        newest(folder, 1)


def test_path_with_a_nul_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "a\\000b/c"')
    assert latest(tmp_path) is None
    with pytest.raises(BundleNotFoundError):
        tfbundle.open(tmp_path)


@pytest.mark.parametrize("path", ["..", "../..", "/..", "/", "a/..", "../m", "/tmp/m"])
def test_no_path_leads_out_of_the_directory(tmp_path: Path, path: str) -> None:
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{path}"')
    state = get_checkpoint_state(tmp_path)
    assert state is not None
    assert os.path.commonpath([tmp_path, os.path.normpath(state.latest)]) == str(tmp_path)


@pytest.mark.parametrize("path", ["a" * 300 + "/m", "loop/m", "m-?????-of-999999999", "m-?????-of-" + "9" * 5000])
def test_path_that_nothing_can_be_at(tmp_path: Path, path: str) -> None:
    """A number of files that takes for ever to count among them."""
    os.symlink("loop", tmp_path / "loop")
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{path}"')
    assert latest(tmp_path) is None
    with pytest.raises(BundleNotFoundError):
        tfbundle.open(tmp_path)
