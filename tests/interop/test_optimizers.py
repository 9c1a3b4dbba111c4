"""Every optimizer of TensorFlow 1 and of Keras: its state is recognised, all of it and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import tensorflow
from tfbundle import RunOptions, Selection, halve

V1_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "AdamOptimizer": {},
    "RMSPropOptimizer": {"learning_rate": 0.1, "momentum": 0.9, "centered": True},
    "AdagradOptimizer": {"learning_rate": 0.1},
    "AdadeltaOptimizer": {},
    "FtrlOptimizer": {"learning_rate": 0.1},
    "MomentumOptimizer": {"learning_rate": 0.1, "momentum": 0.9},
    "ProximalAdagradOptimizer": {"learning_rate": 0.1},
}
KERAS_OPTIMIZERS = (
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl", "Lion", "Adafactor", "Lamb",
)  # fmt: skip
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def kept(prefix: str, folder: Path) -> set[str]:
    """Return the names that are left without optimizer state."""
    options = RunOptions(dry_run=True)
    report = halve(prefix, folder / "h", selection=Selection(optimizer="drop"), options=options)
    return {tensor.name.removesuffix(SUFFIX) for tensor in report.tensors if tensor.action != "drop"}


@pytest.mark.parametrize("name", V1_OPTIMIZERS)
@pytest.mark.parametrize("scope", ["", "training"])
def test_v1(tf: Any, tmp_path: Path, name: str, scope: str) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        weights = v1.get_variable("net/w", (2, 2))
        with v1.variable_scope(scope) if scope else v1.name_scope(None):
            optimizer = getattr(v1.train, name)(**V1_OPTIMIZERS[name])
            optimizer.minimize(tf.reduce_sum(weights * weights), global_step=v1.train.get_or_create_global_step())
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            prefix = v1.train.Saver().save(session, str(tmp_path / "m"), write_meta_graph=False)
    assert len(tfbundle.open(prefix)) > 2
    assert {entry.rpartition("/")[2] for entry in kept(prefix, tmp_path)} == {"global_step", "w"}


@pytest.mark.parametrize("name", [*KERAS_OPTIMIZERS, "LossScaleOptimizer"])
def test_keras(tf: Any, tmp_path: Path, name: str) -> None:
    keras = tf.keras
    arguments = (keras.optimizers.Adam(),) if name == "LossScaleOptimizer" else ()
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    net.compile(getattr(keras.optimizers, name)(*arguments), "mse", run_eagerly=True)
    net.fit(np.ones((4, 3)), np.ones((4, 4)), verbose=0)
    prefix = tf.train.Checkpoint(model=net, optimizer=net.optimizer).save(str(tmp_path / "ck"))
    left = kept(prefix, tmp_path)
    assert len(tfbundle.open(prefix)) > len(left)
    with tfbundle.open(prefix) as bundle:
        weights = [bundle[f"{name}{SUFFIX}"] for name in left - {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter"}]
    expected = [weight.numpy() for weight in net.weights]
    assert len(weights) == len(expected)
    assert all(any(np.array_equal(one, other) for other in weights) for one in expected)
