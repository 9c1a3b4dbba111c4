"""The reader beyond the parity table: order, threads, errors' causes, missing packages."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.processes import run_script
from tfbundle.compat import StandInError, tf
from tfbundle.compat.hash_order import order_names
from tfbundle.format.dtypes import numpy_dtype


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    prefix = str(tmp_path / "model.ckpt-1")
    tensors = {f"w{number}": np.full((3, number), number, np.float32) for number in range(20)}
    with tfbundle.create(prefix) as writer:
        for name, tensor in tensors.items():
            writer.add(name, tensor)
        writer.add("brain", np.array([1, 2], np.uint16), dtype="bfloat16")
        writer.add("text", np.array(b"abc", object))
        writer.add("quantised", np.array(-3, np.int8), dtype="qint8")
    return prefix


def test_types_of_results(prefix: str) -> None:
    reader = tf.train.load_checkpoint(prefix)
    assert reader.get_tensor("text") == b"abc"
    assert isinstance(reader.get_tensor("quantised"), np.int8)
    assert reader.get_tensor("w2").flags.writeable
    assert reader.get_variable_to_dtype_map()["brain"] is tf.bfloat16
    assert reader.get_variable_to_shape_map()["w3"] == [3, 3]
    assert type(reader.get_variable_to_shape_map()["w3"]) is list
    assert reader.debug_string().splitlines()[:2] == [b"brain (DT_BFLOAT16) [2]", b"quantised (DT_QINT8) []"]


def test_names_are_in_order(prefix: str) -> None:
    reader = tf.train.load_checkpoint(prefix)
    names = list(reader.get_variable_to_shape_map())
    assert names == [name.decode() for name in order_names([name.encode() for name in sorted(names)])]
    assert list(reader.get_variable_to_dtype_map()) == names
    assert [name for name, _ in tf.train.list_variables(prefix)] == sorted(names)


def test_results_belong_to_the_caller(prefix: str) -> None:
    reader = tf.train.load_checkpoint(prefix)
    reader.get_variable_to_shape_map()["w1"].append(9)
    reader.get_tensor("w1")[:] = 0
    assert reader.get_variable_to_shape_map()["w1"] == [3, 1]
    assert reader.get_tensor("w1").tolist() == [[1], [1], [1]]


def test_threads_share_a_reader(prefix: str) -> None:
    reader = tf.train.load_checkpoint(prefix)

    def read(number: int) -> bool:
        value = reader.get_tensor(f"w{number % 20}")
        return bool((value == number % 20).all()) and reader.has_tensor("text")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))


def test_cause_is_the_error_of_the_package(prefix: str) -> None:
    Path(f"{prefix}.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(IndexError, match="Read less bytes than requested") as caught:
        tf.train.load_variable(prefix, "w3")
    assert isinstance(caught.value.__cause__, tfbundle.TruncatedError)
    with pytest.raises(tf.errors.NotFoundError, match=r"Key w\\x1b not found in checkpoint") as missing:
        tf.train.load_variable(prefix, "w\x1b")
    assert isinstance(missing.value.__cause__, tfbundle.TensorNotFoundError)


def test_no_integers_where_numpy_lacks_the_dtype(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    numpy_dtype.cache_clear()
    try:
        with pytest.raises(StandInError, match=r"numpy has no bfloat16; pip install 'tfbundle\[dtypes\]'"):
            tf.train.load_variable(prefix, "brain")
    finally:
        numpy_dtype.cache_clear()


def test_state_file_that_is_no_file_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "checkpoint")
    assert tf.train.latest_checkpoint(str(tmp_path)) is None
    assert "Checkpoint ignored" in caplog.text
    (tmp_path / "checkpoint").unlink()
    (tmp_path / "checkpoint").write_bytes(b"#" * (2 << 20))
    assert tf.train.get_checkpoint_state(tmp_path) is None


def test_iterator_tells_of_each_checkpoint_once(prefix: str) -> None:
    folder = Path(prefix).parent
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-1"')
    asked: list[str] = []

    def finish() -> bool:
        asked.append("timeout")
        return True

    found = tf.train.checkpoints_iterator(str(folder), timeout=0, timeout_fn=finish)
    assert next(found) == prefix
    assert list(found) == []
    assert asked == ["timeout"]


def test_no_tensorflow_is_imported(prefix: str) -> None:
    code = """
import sys
from tfbundle.compat import tf
tf.train.load_variable(sys.argv[1], "w3"), tf.compat.v1.train.NewCheckpointReader(sys.argv[1]).debug_string()
tf.io.gfile.glob(sys.argv[1] + "*"), tf.logging.info("x"), tf.train.latest_checkpoint("."), tf.float32.max
print([name for name in sys.modules if name.split(".")[0] in ("tensorflow", "absl", "keras")])
"""
    assert run_script(code, prefix).strip() == "[]"


def test_slices_are_put_together(tmp_path: Path) -> None:
    prefix = str(tmp_path / "m")
    with tfbundle.create(prefix) as writer:
        writer.add_slice("t", np.ones((2, 3), np.float32), shape=(4, 3), extents=((0, 2), (0, -1)))
        writer.add_slice("t", np.ones((2, 3), np.float32), shape=(4, 3), extents=((2, 2), (0, -1)))
    assert tf.train.load_variable(prefix, "t").shape == (4, 3)
