"""Real TensorFlow reads what was imported, and exported files hold what it saved."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfbundle
from tests.support.exported import read_safetensors
from tests.support.requirements import tensorflow
from tfbundle import ExportOptions, Selection

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


TENSORS: dict[str, Any] = {
    "net/w": np.arange(60_000, dtype=np.float32).reshape(300, 200),
    "net/h": np.arange(7, dtype=np.float16),
    "net/brain": np.arange(7).astype(ml_dtypes.bfloat16),
    "step": np.int64(7),
    "flags": np.array([True, False]),
    "small": np.arange(4).astype(ml_dtypes.float8_e4m3fn),
    "z": np.array([1 + 2j], np.complex64),
    "none": np.zeros((0, 3), np.float32),
}


def _in_columns(value: Any) -> Any:
    return np.asfortranarray(value) if np.ndim(value) > 1 else value


@pytest.mark.parametrize("form", ["m.safetensors", "m.npz"])
def test_tensorflow_reads_an_import(tf: Any, form: str, tmp_path: Path) -> None:
    if form == "m.npz":
        arrays: dict[str, Any] = {name: _in_columns(value) for name, value in TENSORS.items()}
        np.savez_compressed(tmp_path / form, **arrays)
        files = tfbundle.ImportOptions(dtypes=(("net/brain", "bfloat16"), ("small", "float8_e4m3fn")))
    else:
        from safetensors.numpy import save_file

        save_file({name: np.asarray(value) for name, value in TENSORS.items()}, tmp_path / form, {"format": "tf"})
        files = tfbundle.ImportOptions()
    tfbundle.import_tensors(tmp_path / form, f"{tmp_path}/out/", files=files)
    prefix = tf.train.latest_checkpoint(str(tmp_path / "out"))
    reader = tf.train.load_checkpoint(prefix)
    dtypes = reader.get_variable_to_dtype_map()
    assert set(dtypes) - {"__metadata__"} == set(TENSORS)
    for name, value in TENSORS.items():
        array = np.asarray(value)
        assert dtypes[name].name == array.dtype.name
        (restored,) = tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=[dtypes[name]]
        )
        assert restored.numpy().tobytes() == array.tobytes()
        assert tuple(restored.shape) == array.shape


def test_what_tensorflow_saved(tf: Any, tmp_path: Path) -> None:
    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(3, name="dense")])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 3)), verbose=0)
    tf.train.Checkpoint(model=model).write(str(tmp_path / "m"))
    report = tfbundle.export(
        tmp_path / "m",
        tmp_path / "m.safetensors",
        selection=Selection(optimizer="drop"),
        files=ExportOptions(names="paths"),
    )
    found = read_safetensors(tmp_path / "m.safetensors")
    kernel, bias = model.get_weights()
    by_end = {name.rpartition("/")[2]: data for name, (_, _, data) in found.items()}
    assert by_end["_kernel"] == kernel.tobytes()
    assert by_end["bias"] == bias.tobytes()
    assert not any("ATTRIBUTES" in name for name in found)
    assert any("the object graph is left out" in note for note in report.notes)


def test_a_real_archive_is_one_for_everybody(tf: Any, tmp_path: Path) -> None:
    values = tf.reshape(tf.range(6), (2, 3))
    tf.raw_ops.SaveV2(prefix=str(tmp_path / "m"), tensor_names=["a/b"], shape_and_slices=[""], tensors=[values])
    tfbundle.export(tmp_path / "m", tmp_path / "m.npz")
    with zipfile.ZipFile(tmp_path / "m.npz") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/b.npy"]
    with np.load(tmp_path / "m.npz") as loaded:
        assert loaded["a/b"].tolist() == [[0, 1, 2], [3, 4, 5]]
