"""Networks that TensorFlow makes, saves and runs, as graphs of TF1 have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

NUM_CLASSES = 10
IMAGE = (16, 16, 3)


def images(count: int = 8) -> Any:
    """Return random images."""
    return np.random.default_rng(7).random((count, *IMAGE)).astype(np.float32)


def labels(count: int = 8) -> Any:
    """Return random classes."""
    return np.random.default_rng(8).integers(0, NUM_CLASSES, count).astype(np.int64)


def _variable(tf: Any, name: str, shape: tuple[int, ...], kind: str) -> Any:
    v1 = tf.compat.v1
    partitioner = v1.fixed_size_partitioner(3, axis=len(shape) - 1) if kind == "partitioned" else None
    start = v1.truncated_normal_initializer(stddev=0.05, seed=len(name))
    use_resource = kind == "resource"
    return v1.get_variable(name, shape, initializer=start, partitioner=partitioner, use_resource=use_resource)


def conv_net(tf: Any, kind: str) -> Any:
    """Build a small classifier of images, of 226,026 float32 weights, in the current graph; return its logits.

    Args:
        tf: TensorFlow.
        kind: of its variables: ``ref``, ``resource`` or ``partitioned``.
    """
    v1 = tf.compat.v1
    value = v1.placeholder(tf.float32, (None, *IMAGE), "image")
    for name, channels in (("conv1", (3, 33)), ("conv2", (33, 63))):
        with v1.variable_scope(name):
            kernel = tf.convert_to_tensor(_variable(tf, "weights", (3, 3, *channels), kind))
            value = tf.nn.conv2d(value, kernel, 1, "SAME") + _variable(tf, "biases", (channels[1],), kind)
            value = tf.nn.max_pool2d(tf.nn.relu(value), 2, 2, "SAME")
    flat = tf.reshape(value, (-1, 4 * 4 * 63))
    for name, shape in (("dense", (4 * 4 * 63, 201)), ("logits", (201, NUM_CLASSES))):
        with v1.variable_scope(name):
            flat = tf.matmul(flat, tf.convert_to_tensor(_variable(tf, "weights", shape, kind)))
            flat = tf.add(flat, _variable(tf, "biases", shape[1:], kind), name="out")
            flat = tf.nn.relu(flat) if name == "dense" else flat
    return flat


def add_training(tf: Any, logits: Any) -> None:
    """Add a loss and a step of Adam."""
    v1 = tf.compat.v1
    wanted = v1.placeholder(tf.int64, (None,), "label")
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=logits)
    loss = tf.identity(tf.reduce_mean(losses), name="loss")
    v1.train.AdamOptimizer(0.01).minimize(loss, name="step")


def save_conv_net(tf: Any, prefix: Path, kind: str, *, adam: bool = False, steps: int = 0, **saver: Any) -> Any:
    """Save a network with its graph; return its logits."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(3)
        logits = conv_net(tf, kind)
        if adam:
            add_training(tf, logits)
        session.run(tf.compat.v1.global_variables_initializer())
        for _ in range(steps):
            session.run("step", {"image:0": images(), "label:0": labels()})
        tf.compat.v1.train.Saver(**saver).save(session, str(prefix))
        return session.run(logits, {"image:0": images()})


class Restored:
    """A graph imported from a ``.meta`` file, with its variables restored."""

    def __init__(self, tf: Any, prefix: Path, *, initialize: bool = False) -> None:
        self.tf = tf
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.session = tf.compat.v1.Session()
            self.saver = tf.compat.v1.train.import_meta_graph(f"{prefix}.meta")
            self.variables = tf.compat.v1.global_variables()
            if initialize:
                self.session.run(tf.compat.v1.global_variables_initializer())
            self.saver.restore(self.session, str(prefix))

    def logits(self) -> Any:
        """Return what the network says of the images."""
        return self.session.run("logits/out:0", {"image:0": images()})

    def train(self, steps: int) -> list[float]:
        """Return the loss before each step of training."""
        feed = {"image:0": images(), "label:0": labels()}
        return [float(self.session.run(["loss:0", "step"], feed)[0]) for _ in range(steps)]

    def save(self, prefix: Path) -> None:
        """Save the variables again."""
        with self.graph.as_default():
            self.saver.save(self.session, str(prefix))
