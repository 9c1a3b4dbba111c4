"""What people do in sessions to get float32 weights into a float16 graph, and the same on the files, bit for bit.

One way goes by the new graph: each of its variables is loaded by name, cast if its dtype asks for it, and assigned.
The other goes by the checkpoint: everything that a dictionary of names lists is loaded, cast if it is float32, and
stored in a variable of its new name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import tensorflow
from tests.support.tensors import same
from tfbundle import Naming, Selection, halve
from tfbundle.cli import main

LAYERS = {"conv1": (3, 3, 1, 8), "conv2": (3, 3, 8, 16), "dense": (64, 10)}


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def layer(v1: Any, scope: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """A layer's variables, and a sum that depends on them."""
    with v1.variable_scope(scope):
        weights = v1.get_variable("weights", shape, dtype, v1.truncated_normal_initializer(stddev=0.1, seed=len(scope)))
        biases = v1.get_variable("biases", shape[-1:], dtype, v1.constant_initializer(0.1))
        return v1.reduce_sum(weights * 3e-4) + v1.reduce_sum(biases * biases)


@pytest.fixture(scope="module")
def trained(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A TF1 model with scopes, a step counter and Adam's slots, trained for a few steps."""
    v1 = tf.compat.v1
    prefix = str(tmp_path_factory.mktemp("trained") / "model.ckpt")
    with tf.Graph().as_default(), v1.Session() as session:
        with v1.variable_scope("tower"):
            loss = tf.add_n([layer(v1, scope, shape, tf.float32) for scope, shape in LAYERS.items()])
        step = v1.train.get_or_create_global_step()
        train = v1.train.AdamOptimizer(0.01).minimize(loss, step)
        session.run(v1.global_variables_initializer())
        for _ in range(5):
            session.run(train)
        return str(v1.train.Saver().save(session, prefix, global_step=step))


def third_of_the_graph(tf: Any) -> Any:
    """Build, in float16, the part of the model that somebody needs, and a counter; return its saver."""
    v1 = tf.compat.v1
    with v1.variable_scope("tower"):
        layer(v1, "conv2", LAYERS["conv2"], tf.float16)
    v1.train.get_or_create_global_step()
    return v1.train.Saver()


def everything(prefix: str | Path) -> dict[str, Any]:
    return tfbundle.load(prefix)


def check_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    assert all(same(left[name], right[name]) for name in left)


def test_by_the_new_graph(tf: Any, trained: str, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        saver = third_of_the_graph(tf)
        for variable in v1.global_variables():
            value = tf.train.load_variable(trained, variable.op.name)
            session.run(variable.assign(tf.cast(value, variable.dtype.base_dtype)))
        by_session = saver.save(session, str(tmp_path / "session" / "model"))

    report = halve(trained, tmp_path / "files" / "model", selection=Selection(like=by_session + ".meta"))
    check_same(everything(tmp_path / "files" / "model"), everything(by_session))
    assert len(everything(by_session)) == 3
    assert report.count_reasons("drop") == {"not in --like": len(tf.train.list_variables(trained)) - 3}
    like_bundle = tmp_path / "like" / "model"
    halve(trained, like_bundle, selection=Selection(like=by_session))
    check_same(everything(like_bundle), everything(by_session))

    with tf.Graph().as_default(), v1.Session() as session:
        third_of_the_graph(tf).restore(session, str(tmp_path / "files" / "model"))
        found = {variable.op.name: np.asarray(session.run(variable)) for variable in v1.global_variables()}
    check_same(found, everything(by_session))
    assert found["global_step"] == 5


def test_by_a_dictionary_of_names(tf: Any, trained: str, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    names = {
        f"tower/{scope}/{part}": f"net/block_{number}/{part}"
        for number, scope in enumerate(LAYERS)
        for part in ("weights", "biases")
    } | {"global_step": "step"}
    with tf.Graph().as_default(), v1.Session() as session:
        for name, _ in tf.train.list_variables(trained):
            if name in names:
                value = tf.constant(tf.train.load_variable(trained, name))
                v1.get_variable(
                    names[name], initializer=tf.cast(value, tf.float16) if value.dtype == tf.float32 else value
                )
        session.run(v1.global_variables_initializer())
        by_session = v1.train.Saver().save(session, str(tmp_path / "session" / "model"))

    (tmp_path / "names.json").write_text(json.dumps(names))
    target = str(tmp_path / "files" / "model")
    assert main(["halve", trained, target, "--map", str(tmp_path / "names.json"), "--quiet"]) == 0
    check_same(everything(target), everything(by_session))
    report = halve(trained, tmp_path / "python" / "model", naming=Naming(map=names))
    check_same(everything(tmp_path / "python" / "model"), everything(by_session))
    assert report.tensors.num_renamed == len(names)


def test_without_training_nodes_under_another_scope(tf: Any, trained: str, tmp_path: Path) -> None:
    """Everything but optimizer state, into a graph whose scope has another name."""
    v1 = tf.compat.v1
    naming = Naming(rename=(("tower/", "net/tower/"),))
    halve(trained, tmp_path / "m", selection=Selection(optimizer="drop"), naming=naming)
    with tf.Graph().as_default(), v1.Session() as session:
        with v1.variable_scope("net/tower"):
            for scope, shape in LAYERS.items():
                layer(v1, scope, shape, tf.float16)
        v1.train.get_or_create_global_step()
        v1.train.Saver().restore(session, str(tmp_path / "m"))
        found = {variable.op.name: session.run(variable) for variable in v1.global_variables()}
    assert found.keys() == everything(tmp_path / "m").keys()
    for name, value in found.items():
        before = tf.train.load_variable(trained, name.removeprefix("net/"))
        assert same(np.asarray(value), tf.cast(before, value.dtype).numpy())


def test_what_the_graph_lacks_and_what_the_checkpoint_lacks(tf: Any, trained: str, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "like", {"tower/conv3/weights": np.zeros(3, np.float16), "global_step": np.zeros(2)})
    with pytest.raises(ValueError, match=r"wants 1 tensor that .* lacks: tower/conv3/weights") as caught:
        halve(trained, tmp_path / "m", selection=Selection(like=str(tmp_path / "like")))
    assert "1 tensor of another shape: global_step: [] in" in str(caught.value)
    assert not list(tmp_path.glob("m*"))
