"""Switches of what is not there can be turned, and say what they were turned to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tfbundle.compat import tf


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    yield
    tf.enable_eager_execution()


def test_eager_execution() -> None:
    assert tf.executing_eagerly()
    tf.compat.v1.disable_v2_behavior()
    assert not tf.executing_eagerly()
    tf.compat.v1.enable_v2_behavior()
    assert tf.executing_eagerly()
    tf.disable_eager_execution()
    assert not tf.compat.v1.executing_eagerly()


def test_there_are_no_devices() -> None:
    assert tf.config.list_physical_devices("GPU") == []
    assert tf.config.experimental.list_physical_devices() == []
    assert not tf.test.is_gpu_available()
    tf.config.set_visible_devices([], "GPU")
    with tf.device("/cpu:0"):
        pass


def test_nothing_else_happens() -> None:
    for switch in (tf.reset_default_graph, tf.compat.v1.enable_resource_variables):
        assert switch() is None
    assert tf.random.set_seed(1) is tf.set_random_seed(1) is tf.autograph.set_verbosity(0) is None
