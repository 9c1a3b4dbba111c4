"""``diff`` on what TensorFlow writes, with TensorFlow's own reading of it as the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import tensorflow
from tfbundle import DiffOptions, diff

NAMES = ("dense/kernel", "dense/bias", "step", "words")
IGNORE = DiffOptions(ignore_dtype=True)


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def tensors(tf: Any, seed: int) -> list[Any]:
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(64, 48)).astype(np.float32)
    return [tf.constant(numbers), tf.constant(random.normal(size=48)), tf.constant(seed), tf.constant([b"a", b"b"])]


def save(tf: Any, prefix: Path, values: list[Any]) -> str:
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=NAMES, shape_and_slices=[""] * 4, tensors=values)
    return str(prefix)


def read(tf: Any, prefix: str, name: str) -> Any:
    return np.asarray(tf.train.load_checkpoint(prefix).get_tensor(name))


def test_two_steps_of_a_training(tf: Any, tmp_path: Path) -> None:
    sides = [save(tf, tmp_path / str(seed), tensors(tf, seed)) for seed in (1, 2)]
    report = diff(*sides, rtol=0.5, atol=0.1)
    for found in report.values:
        left, right = (read(tf, side, found.name).astype(np.float64) for side in sides)
        assert found.num_different == np.count_nonzero(~np.isclose(left, right, rtol=0.5, atol=0.1))
        assert found.largest_absolute is not None
        assert found.largest_absolute.value == np.abs(left - right).max()
    assert [found.name for found in report.values] == ["dense/bias", "dense/kernel"]
    assert [(found.name, found.num_close) for found in report.close] == [("step", 1)]  # |1 - 2| <= 0.1 + 0.5 * 2
    assert diff(sides[0], save(tf, tmp_path / "again", tensors(tf, 1))).equal


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_tensorflow_casts(tf: Any, tmp_path: Path, dtype: str) -> None:
    values = tensors(tf, 3)
    left = save(tf, tmp_path / "float32", values)
    right = save(tf, tmp_path / dtype, [tf.cast(values[0], dtype), *values[1:]])
    relative = {"float16": 2**-11, "bfloat16": 2**-8}[dtype]
    assert diff(left, right, rtol=relative, atol=2**-25, options=IGNORE).equal
    report = diff(left, right, options=IGNORE)
    (found,) = report.values
    rounded = tf.cast(tf.cast(values[0], dtype), tf.float64).numpy()
    exact = values[0].numpy().astype(np.float64)
    assert found.num_different == np.count_nonzero(exact != rounded)
    assert found.largest_absolute is not None
    assert found.largest_absolute.value == np.abs(exact - rounded).max()


def test_partitions_and_versions(tf: Any, tmp_path: Path) -> None:
    """The same values: plain, in slices by rows and by columns, and as a V1 checkpoint."""
    whole = np.random.default_rng(4).normal(size=(12, 10)).astype(np.float32)
    specs = {
        "rows": (["12 10 0,5:0,10", "12 10 5,7:0,10"], [whole[:5], whole[5:]]),
        "columns": (["12 10 0,12:0,4", "12 10 0,12:4,6"], [whole[:, :4], whole[:, 4:]]),
        "plain": ([""], [whole]),
    }
    for name, (slices, parts) in specs.items():
        names = ["w"] * len(parts)
        tf.raw_ops.SaveV2(prefix=str(tmp_path / name), tensor_names=names, shape_and_slices=slices, tensors=parts)
        v1 = str(tmp_path / f"v1_{name}")
        tf.raw_ops.SaveSlices(filename=v1, tensor_names=names, shapes_and_slices=slices, data=parts)
    every = [tmp_path / f"{version}{name}" for version in ("", "v1_") for name in specs]
    for left in every:
        for right in every:
            assert diff(left, right, options=DiffOptions(bits=True)).equal, (left, right)
    changed = whole.copy()
    changed[6, 7] += 1
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "changed"), tensor_names=["w"], shape_and_slices=[""], tensors=[tf.constant(changed)]
    )
    for left in every:
        (found,) = diff(left, tmp_path / "changed").values
        assert (found.num_different, found.first) == (1, (6, 7))


def test_proof_of_a_halved_checkpoint(tf: Any, tmp_path: Path) -> None:
    source = save(tf, tmp_path / "m", tensors(tf, 5))
    tfbundle.halve(source, tmp_path / "half")
    assert diff(source, tmp_path / "half", rtol=2**-11, atol=2**-25, options=IGNORE).equal
    assert not diff(source, tmp_path / "half", rtol=2**-14, options=IGNORE).equal
