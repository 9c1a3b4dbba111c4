"""TensorFlow restores what ``average`` and ``set`` write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.requirements import tensorflow
from tfbundle import average, replace_tensor


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def train_tf1(tf: Any, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Train with Adam; return three checkpoints and what a session reads from each."""
    v1 = tf.compat.v1
    folder.mkdir()
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.get_or_create_global_step()
        kernel = v1.get_variable("dense/kernel", (3, 2))
        loss = tf.reduce_sum((kernel - v1.get_variable("dense/bias", (2,))) ** 2)
        train = v1.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver()
        prefixes, values = [], []
        for _ in range(3):
            session.run(train)
            prefixes.append(saver.save(session, str(folder / "model"), global_step=step))
            values.append({variable.op.name: session.run(variable) for variable in v1.global_variables()})
    return prefixes, {name: [value[name] for value in values] for name in values[0]}


def restore_tf1(tf: Any, prefix: str) -> dict[str, NDArray[Any]]:
    """Build the same graph anew, restore everything, and take another training step."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.get_or_create_global_step()
        kernel = v1.get_variable("dense/kernel", (3, 2))
        loss = tf.reduce_sum((kernel - v1.get_variable("dense/bias", (2,))) ** 2)
        train = v1.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
        v1.train.Saver().restore(session, prefix)
        found = {variable.op.name: session.run(variable) for variable in v1.global_variables()}
        session.run(train)
        return found


def mean(values: list[NDArray[Any]]) -> NDArray[Any]:
    found: NDArray[Any] = np.mean(np.stack([value.astype(np.float64) for value in values]), axis=0)
    return found.astype(values[0].dtype)


def test_mean_of_a_tf1_run(tf: Any, tmp_path: Path) -> None:
    prefixes, values = train_tf1(tf, tmp_path / "run")
    report = average([tmp_path / "run"], tmp_path / "mean" / "model", last=3)
    assert list(report.sources) == prefixes
    found = restore_tf1(tf, tf.train.latest_checkpoint(str(tmp_path / "mean")))
    assert {"dense/kernel/Adam", "dense/kernel/Adam_1", "beta1_power", "global_step"} < found.keys()
    for name, value in found.items():
        expected = values[name][-1] if name == "global_step" else mean(values[name])
        assert value.tobytes() == expected.tobytes(), name


def test_tensor_set_in_a_tf1_run(tf: Any, tmp_path: Path) -> None:
    prefixes, values = train_tf1(tf, tmp_path / "run")
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2)
    for output in (None, tmp_path / "copy"):
        prefix = replace_tensor(prefixes[-1], "dense/kernel", kernel, output=output).target
        found = restore_tf1(tf, prefix)
        assert np.array_equal(found.pop("dense/kernel"), kernel)
        assert all(value.tobytes() == values[name][-1].tobytes() for name, value in found.items())


def build_tf2(tf: Any) -> Any:
    model = tf.keras.Sequential([tf.keras.layers.Input((3,)), tf.keras.layers.Dense(2), tf.keras.layers.Dense(1)])
    optimizer = tf.keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    return model, optimizer, tf.train.Checkpoint(model=model, optimizer=optimizer)


def train_tf2(tf: Any, folder: Path) -> tuple[list[str], list[list[NDArray[Any]]]]:
    tf.keras.utils.set_random_seed(3)
    model, optimizer, checkpoint = build_tf2(tf)
    prefixes, values = [], []
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(tf.ones((4, 3))) ** 2)
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        prefixes.append(checkpoint.save(str(folder / "ck")))
        values.append([variable.numpy() for variable in (*model.variables, *optimizer.variables)])
    return prefixes, values


def restore_tf2(tf: Any, prefix: str) -> list[NDArray[Any]]:
    model, optimizer, checkpoint = build_tf2(tf)
    checkpoint.restore(prefix).assert_existing_objects_matched().assert_consumed()
    return [np.asarray(variable.numpy()) for variable in (*model.variables, *optimizer.variables)]


def test_mean_of_a_keras_run(tf: Any, tmp_path: Path) -> None:
    prefixes, values = train_tf2(tf, tmp_path / "run")
    report = average(prefixes, tmp_path / "mean" / "ck")
    found = restore_tf2(tf, report.target)
    assert any(array.dtype.kind == "i" for array in found)  # the optimizer's iterations
    for array, *all_three in zip(found, *values, strict=True):
        expected = all_three[-1] if array.dtype.kind == "i" else mean(all_three)
        assert array.tobytes() == expected.tobytes()


def test_tensor_set_in_a_keras_run(tf: Any, tmp_path: Path) -> None:
    prefixes, values = train_tf2(tf, tmp_path / "run")
    kernel = np.full((3, 2), 7, np.float32)
    for output in (None, tmp_path / "copy"):
        report = replace_tensor(prefixes[-1], "optimizer/_trainable_variables/0", kernel, output=output)
        found = restore_tf2(tf, report.target)
        changed = [at for at, array in enumerate(found) if array.tobytes() != values[-1][at].tobytes()]
        assert len(changed) == 1
        assert np.array_equal(found[changed[0]], kernel)


def test_mean_of_partitioned_variables(tf: Any, tmp_path: Path) -> None:
    values = [np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32) for seed in range(2)]
    for number, value in enumerate(values):
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / f"{number}"),
            tensor_names=["w", "w"],
            shape_and_slices=["5 3 0,2:-", "5 3 2,3:-"],
            tensors=[value[:2], value[2:]],
        )
    average([tmp_path / "0", tmp_path / "1"], tmp_path / "m")
    for slices in ("", "5 3 2,3:-", "5 3 1,2:-"):
        (found,) = tf.raw_ops.RestoreV2(
            prefix=str(tmp_path / "m"), tensor_names=["w"], shape_and_slices=[slices], dtypes=[tf.float32]
        )
        rows = {"": slice(None), "5 3 2,3:-": slice(2, 5), "5 3 1,2:-": slice(1, 3)}[slices]
        assert np.array_equal(found.numpy(), mean(values)[rows])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64"])
def test_dtypes_of_tensorflow(tf: Any, tmp_path: Path, dtype: str) -> None:
    for number in (1, 2):
        value = tf.cast(tf.constant([number, -number, 0.25 * number]), dtype)
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / f"{number}"), tensor_names=["w"], shape_and_slices=[""], tensors=[value]
        )
    average([tmp_path / "1", tmp_path / "2"], tmp_path / "m")
    found = tf.train.load_checkpoint(str(tmp_path / "m")).get_tensor("w")
    assert found.astype(np.complex128).tolist() == [1.5, -1.5, 0.375]
