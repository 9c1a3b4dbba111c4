"""Real TensorFlow restores what ``salvage`` saves of what TensorFlow wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import flip
from tests.support.requirements import tensorflow
from tfbundle import salvage


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def build(tf: Any, seed: int) -> Any:
    """A model of three variables."""
    root = tf.Module()
    random = np.random.default_rng(seed)
    root.kernel = tf.Variable(random.normal(size=(4, 3)).astype(np.float32))
    root.bias = tf.Variable(random.normal(size=3).astype(np.float32))
    root.step = tf.Variable(seed, dtype=tf.int64)
    return root


def place(prefix: str, name: str) -> tuple[str, int]:
    with tfbundle.open(prefix) as bundle:
        entry = bundle.entries[name]
        return bundle.shards.path(entry.shard), entry.offset


def test_model_of_tf2(tf: Any, tmp_path: Path) -> None:
    saved = build(tf, 1)
    prefix = tf.train.Checkpoint(model=saved).save(str(tmp_path / "m"))
    lost = "model/bias/.ATTRIBUTES/VARIABLE_VALUE"
    flip(*place(prefix, lost))
    with pytest.raises(tf.errors.DataLossError):
        tf.train.Checkpoint(model=build(tf, 2)).restore(prefix).assert_consumed()
    report = salvage(prefix, tmp_path / "saved" / "m")
    assert [damage.tensor for damage in report.lost] == [lost]
    other, fresh = build(tf, 2), build(tf, 2)
    tf.train.Checkpoint(model=other).restore(report.target).expect_partial()
    assert np.array_equal(other.kernel.numpy(), saved.kernel.numpy())
    assert int(other.step) == 1
    assert np.array_equal(other.bias.numpy(), fresh.bias.numpy())
    rest = tf.Module()
    rest.kernel, rest.step = tf.Variable(tf.zeros((4, 3))), tf.Variable(0, dtype=tf.int64)
    tf.train.Checkpoint(model=rest).restore(report.target).assert_consumed()  # nothing else is listed
    assert np.array_equal(rest.kernel.numpy(), saved.kernel.numpy())
    assert tf.train.latest_checkpoint(str(tmp_path / "saved")) == report.target


def test_names(tf: Any, tmp_path: Path) -> None:
    """Each tensor that is saved reads as before, from several shards of which one is missing."""
    random = np.random.default_rng(3)
    prefixes = []
    for number in range(3):
        prefixes.append(str(tmp_path / f"part{number}"))
        values = [random.normal(size=(5, 2)).astype(np.float32), np.array([b"x" * number, b"y"])]
        tf.raw_ops.SaveV2(
            prefix=prefixes[-1],
            tensor_names=[f"w{number}", f"s{number}"],
            shape_and_slices=["", ""],
            tensors=[tf.constant(value) for value in values],
        )
    whole = str(tmp_path / "whole")
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=whole, delete_old_dirs=False)
    before = {name: tf.train.load_checkpoint(whole).get_tensor(name) for name in ("w0", "s0", "w2", "s2")}
    os.remove(f"{whole}.data-00001-of-00003")
    report = salvage(whole, tmp_path / "saved")
    assert [damage.tensor for damage in report.lost] == ["s1", "w1"]
    reader = tf.train.load_checkpoint(str(tmp_path / "saved"))
    assert sorted(reader.get_variable_to_shape_map()) == ["s0", "s2", "w0", "w2"]
    for name, value in before.items():
        assert np.array_equal(reader.get_tensor(name), value)


def test_slices(tf: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(4).normal(size=(6, 4)).astype(np.float32)
    specs = ["6 4 0,3:0,4", "6 4 3,3:0,4"]
    for name in "vw":
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / name),
            tensor_names=[name, name],
            shape_and_slices=specs,
            tensors=[tf.constant(values[:3]), tf.constant(values[3:])],
        )
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(tmp_path / name) for name in "vw"],
        destination_prefix=str(tmp_path / "m"),
        delete_old_dirs=False,
    )
    flip(tmp_path / "m.data-00001-of-00002", 3 * 4 * 4)
    report = salvage(tmp_path / "m", tmp_path / "saved")
    assert len(report.lost) == 1
    (kept,) = set("vw") - {report.lost[0].tensor}
    (found,) = tf.raw_ops.RestoreV2(
        prefix=report.target, tensor_names=[kept], shape_and_slices=["6 4 2,3:0,4"], dtypes=[tf.float32]
    )
    assert np.array_equal(found.numpy(), values[2:5])
    assert list(tfbundle.open(report.target)) == [kept]
