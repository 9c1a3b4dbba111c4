"""Which tensors are optimizer state, as the optimizers of TensorFlow and Keras leave them."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from tests.support.requirements import tensorflow
from tfbundle import Selection, halve

MODEL_ONLY = Selection(optimizer="drop")


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def dropped_names(prefix: str, folder: Path) -> set[str]:
    report = halve(prefix, folder / "half", selection=MODEL_ONLY)
    return {tensor.name for tensor in report.select("drop")}


Optimizer1 = Callable[[Any], Any]
"""Makes an optimizer from ``tf.compat.v1.train``."""

TF1: dict[str, Optimizer1] = {
    "Adam": lambda train: train.AdamOptimizer(),
    "GradientDescent": lambda train: train.GradientDescentOptimizer(0.1),
    "Momentum": lambda train: train.MomentumOptimizer(0.1, 0.9),
    "RMSProp": lambda train: train.RMSPropOptimizer(0.1, momentum=0.9),
    "centered RMSProp": lambda train: train.RMSPropOptimizer(0.1, centered=True),
    "Adagrad": lambda train: train.AdagradOptimizer(0.1),
    "AdagradDA": lambda train: train.AdagradDAOptimizer(0.1, train.get_or_create_global_step()),
    "Adadelta": lambda train: train.AdadeltaOptimizer(0.1),
    "Ftrl": lambda train: train.FtrlOptimizer(0.1),
    "ProximalAdagrad": lambda train: train.ProximalAdagradOptimizer(0.1),
    "ProximalGradientDescent": lambda train: train.ProximalGradientDescentOptimizer(0.1),
}


@pytest.mark.parametrize("scope", ["", "training"])
@pytest.mark.parametrize("name", TF1)
def test_tf1(tf: Any, tmp_path: Path, name: str, scope: str) -> None:
    v1 = tf.compat.v1
    prefix = str(tmp_path / "model")
    with tf.Graph().as_default(), v1.Session() as session:
        weights = v1.get_variable("net/dense/kernel", (3, 2)), v1.get_variable("net/dense/bias", (2,))
        v1.get_variable("net/dense/moving_mean", (2,), trainable=False)
        v1.train.get_or_create_global_step()
        model = {variable.op.name for variable in v1.global_variables()}
        with v1.variable_scope(scope) if scope else v1.name_scope(""):
            TF1[name](v1.train).minimize(sum(tf.reduce_sum(weight**2) for weight in weights))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, prefix)
        state = {variable.op.name for variable in v1.global_variables()} - model
    assert dropped_names(prefix, tmp_path) == state


def test_tf1_two_optimizers_and_an_average(tf: Any, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    prefix = str(tmp_path / "model")
    with tf.Graph().as_default(), v1.Session() as session:
        weight = v1.get_variable("generator/kernel", (3, 2))
        other = v1.get_variable("discriminator/kernel", (3, 2))
        v1.train.ExponentialMovingAverage(0.9).apply([weight])
        model = {variable.op.name for variable in v1.global_variables()}
        for variable in (weight, other):
            v1.train.AdamOptimizer().minimize(tf.reduce_sum(variable**2), var_list=[variable])
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(weight**2), var_list=[weight])
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, prefix)
        state = {variable.op.name for variable in v1.global_variables()} - model
    assert dropped_names(prefix, tmp_path) == state
    assert not any(name.endswith("ExponentialMovingAverage") for name in state)


OptimizerK = Callable[[Any], Any]
"""Makes an optimizer from ``keras.optimizers``."""

KERAS3: dict[str, OptimizerK] = {
    "SGD": lambda make: make.SGD(0.1),
    "SGD with momentum": lambda make: make.SGD(0.1, momentum=0.9),
    "Adam": lambda make: make.Adam(),
    "Adam with amsgrad": lambda make: make.Adam(amsgrad=True),
    "Adam with an average": lambda make: make.Adam(use_ema=True),
    "Adam with a schedule": lambda make: make.Adam(make.schedules.ExponentialDecay(0.1, 100, 0.9)),
    "Adam that accumulates": lambda make: make.Adam(gradient_accumulation_steps=2),
    "AdamW": lambda make: make.AdamW(),
    "Adamax": lambda make: make.Adamax(),
    "Nadam": lambda make: make.Nadam(),
    "RMSprop": lambda make: make.RMSprop(centered=True, momentum=0.9),
    "Adagrad": lambda make: make.Adagrad(),
    "Adadelta": lambda make: make.Adadelta(),
    "Adafactor": lambda make: make.Adafactor(),
    "Ftrl": lambda make: make.Ftrl(),
    "Lion": lambda make: make.Lion(),
    "Adam with a scaled loss": lambda make: make.LossScaleOptimizer(make.Adam()),
}


def by_name(name: str) -> OptimizerK:
    """Return what makes an optimizer with its own defaults."""
    return lambda make: attrgetter(name)(make)()


KERAS2_NAMES = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lion",
    "Nadam",
    "RMSprop",
    "SGD",
)
KERAS2_LEGACY_NAMES = ("Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "RMSprop", "SGD")


def check_keras(tf: Any, keras: Any, make: OptimizerK, folder: Path, compiled: bool) -> None:
    """Give every value of the optimizer and of the model a value of its own, and look for it in the checkpoint."""
    layers = keras.layers
    model = keras.Sequential([layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)])
    model.build((None, 4))
    optimizer = make(keras.optimizers)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.ones((2, 4)), training=True) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    weights = {id(weight) for weight in model.weights}
    state = [variable for variable in optimizer_variables(optimizer) if id(variable) not in weights]
    for number, variable in enumerate([*model.weights, *state]):
        variable.assign(tf.cast(tf.fill(variable.shape, 1000 + number), variable.dtype))
    if compiled:
        model.compile(optimizer=optimizer)
        checkpoint = tf.train.Checkpoint(model=model)
    else:
        checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    prefix = checkpoint.write(str(folder / "model"))
    reader = tf.train.load_checkpoint(prefix)
    stored = {}
    for name in reader.get_variable_to_shape_map():
        if not name.startswith("_CHECKPOINTABLE"):
            stored[name] = float(reader.get_tensor(name).reshape(-1)[0]) if reader.get_tensor(name).size else None
    first = 1000 + len(model.weights)
    of_model = {name for name, value in stored.items() if value is not None and 1000 <= value < first}
    assert len(of_model) == len(model.weights)
    assert dropped_names(prefix, folder) == stored.keys() - of_model
    assert state


def optimizer_variables(optimizer: Any) -> list[Any]:
    variables = optimizer.variables
    return list(variables() if callable(variables) else variables)


@pytest.mark.parametrize("compiled", [False, True], ids=["beside the model", "within the model"])
@pytest.mark.parametrize("name", KERAS3)
def test_keras3(tf: Any, tmp_path: Path, name: str, compiled: bool) -> None:
    check_keras(tf, tf.keras, KERAS3[name], tmp_path, compiled)
