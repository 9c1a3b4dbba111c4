"""Dropping and renaming in TF2 checkpoints: the object graph stays true, and TensorFlow restores accordingly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import files_of
from tests.support.requirements import tensorflow, tensorflow_module
from tests.support.wire import varint_field
from tfbundle import Naming, Selection, halve
from tfbundle.format.object_graph import drop_values, rename_values

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def module(tf: Any, **children: Any) -> Any:
    made = tf.Module()
    for name, child in children.items():
        setattr(made, name, child)
    return made


def variable(tf: Any, seed: int, dtype: str = "float32") -> Any:
    return tf.Variable(np.random.default_rng(seed).normal(size=(2, 3)).astype(dtype))


def empty(tf: Any) -> Any:
    return tf.Variable(tf.zeros((2, 3), tf.float16))


def model(tf: Any) -> Any:
    encoder = module(tf, w=variable(tf, 1), b=variable(tf, 2))
    return module(tf, enc=encoder, dec=module(tf, w=variable(tf, 3)), parts=[variable(tf, 4), variable(tf, 5)])


def half_model(tf: Any) -> Any:
    return module(
        tf, enc=module(tf, w=empty(tf), b=empty(tf)), dec=module(tf, w=empty(tf)), parts=[empty(tf), empty(tf)]
    )


def same(tf: Any, restored: Any, original: Any) -> bool:
    return bool(np.array_equal(restored.numpy(), tf.cast(original, tf.float16).numpy()))


@pytest.fixture(scope="module")
def trained(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """A checkpoint of a model and a Keras optimizer, and the model."""
    made = model(tf)
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build([made.enc.w, made.enc.b])
    path = tf.train.Checkpoint(model=made, optimizer=optimizer).save(str(tmp_path_factory.mktemp("tf2") / "ck"))
    return path, made


@pytest.fixture(scope="module")
def with_slots(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """A checkpoint of a model and an optimizer of the kind that has slots, and both."""
    made = model(tf)
    optimizer = tf.compat.v1.train.AdamOptimizer()
    optimizer.apply_gradients([(tf.ones((2, 3)), made.enc.w)])
    path = tf.train.Checkpoint(model=made, optimizer=optimizer).save(str(tmp_path_factory.mktemp("slots") / "ck"))
    return path, (made, optimizer)


def test_graph_is_untouched_without_need(trained: tuple[str, Any], tmp_path: Path) -> None:
    halve(trained[0], tmp_path / "h")
    with tfbundle.open(trained[0]) as before, tfbundle.open(tmp_path / "h") as after:
        assert after.payload(GRAPH) == before.payload(GRAPH)


@pytest.mark.parametrize("kind", ["trained", "with_slots"])
def test_dropped_optimizer_is_not_missed(tf: Any, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path, made = request.getfixturevalue(kind)
    made = made[0] if isinstance(made, tuple) else made
    report = halve(path, tmp_path / "h", selection=Selection(optimizer="drop"))
    names = {name.removesuffix(SUFFIX) for name in tfbundle.open(tmp_path / "h")} - {GRAPH}
    weights = {"model/enc/w", "model/enc/b", "model/dec/w", "model/parts/0", "model/parts/1"}
    assert names == weights | {"save_counter"}
    restored = half_model(tf)
    tf.train.Checkpoint(model=restored).restore(str(tmp_path / "h")).assert_consumed()
    assert same(tf, restored.enc.w, made.enc.w)
    assert same(tf, restored.parts[1], made.parts[1])
    assert any("object graph is rewritten" in note for note in report.notes)


def test_dropped_weights_are_not_missed(tf: Any, trained: tuple[str, Any], tmp_path: Path) -> None:
    path, made = trained
    halve(path, tmp_path / "h", selection=Selection(drop=("model/dec/*", "model/parts/0"), optimizer="drop"))
    restored = module(tf, enc=module(tf, w=empty(tf), b=empty(tf)), parts=[empty(tf), empty(tf)])
    tf.train.Checkpoint(model=restored).restore(str(tmp_path / "h")).assert_consumed()
    assert not restored.parts[0].numpy().any()
    assert same(tf, restored.parts[1], made.parts[1])


def test_renamed_container(tf: Any, trained: tuple[str, Any], tmp_path: Path) -> None:
    path, made = trained
    naming = Naming(rename=(("model/enc", "net/encoder"),))
    halve(path, tmp_path / "h", selection=Selection(optimizer="drop"), naming=naming)
    assert f"net/encoder/w{SUFFIX}" in tfbundle.open(tmp_path / "h")
    net = module(tf, encoder=module(tf, w=empty(tf), b=empty(tf)))
    rest = module(tf, dec=module(tf, w=empty(tf)), parts=[empty(tf), empty(tf)])
    tf.train.Checkpoint(net=net, model=rest).restore(str(tmp_path / "h")).assert_consumed()
    assert same(tf, net.encoder.w, made.enc.w)
    assert same(tf, rest.dec.w, made.dec.w)


def test_renamed_root_child(tf: Any, trained: tuple[str, Any], tmp_path: Path) -> None:
    path, made = trained
    halve(path, tmp_path / "h", selection=Selection(optimizer="drop"), naming=Naming(rename=(("model/", "student/"),)))
    restored = half_model(tf)
    tf.train.Checkpoint(student=restored).restore(str(tmp_path / "h")).assert_consumed()
    assert same(tf, restored.parts[0], made.parts[0])


def test_renamed_leaf_and_list_item(tf: Any, trained: tuple[str, Any], tmp_path: Path) -> None:
    path, made = trained
    rename = (("re:enc/w", "enc/kernel"), ("model/parts/1", "model/last"))
    halve(path, tmp_path / "h", selection=Selection(optimizer="drop"), naming=Naming(rename=rename))
    encoder = module(tf, kernel=empty(tf), b=empty(tf))
    restored = module(tf, enc=encoder, dec=module(tf, w=empty(tf)), parts=[empty(tf)], last=empty(tf))
    tf.train.Checkpoint(model=restored).restore(str(tmp_path / "h")).assert_consumed()
    assert same(tf, encoder.kernel, made.enc.w)
    assert same(tf, restored.last, made.parts[1])


def test_swapped_names(tf: Any, trained: tuple[str, Any], tmp_path: Path) -> None:
    path, made = trained
    rename = (("model/enc/w", "x"), ("model/enc/b", "model/enc/w"), ("x", "model/enc/b"))
    halve(path, tmp_path / "h", selection=Selection(optimizer="drop"), naming=Naming(rename=rename))
    restored = half_model(tf)
    tf.train.Checkpoint(model=restored).restore(str(tmp_path / "h")).assert_consumed()
    assert same(tf, restored.enc.w, made.enc.b)
    assert same(tf, restored.enc.b, made.enc.w)


def test_names_with_escapes(tf: Any, tmp_path: Path) -> None:
    values = {"a/b": variable(tf, 1), ".x": variable(tf, 2)}
    path = tf.train.Checkpoint(d=values).save(str(tmp_path / "ck"))
    assert f"d/a.Sb{SUFFIX}" in tfbundle.open(path)
    halve(path, tmp_path / "h", naming=Naming(rename=(("d/a.Sb", "d/c.Sd"), ("d/..x", "e/..y"))))
    first, second = {"c/d": empty(tf)}, {".y": empty(tf)}
    tf.train.Checkpoint(d=first, e=second).restore(str(tmp_path / "h")).assert_consumed()
    assert same(tf, first["c/d"], values["a/b"])
    assert same(tf, second[".y"], values[".x"])


def test_slots_follow_their_variable(tf: Any, with_slots: tuple[str, Any], tmp_path: Path) -> None:
    path, (made, optimizer) = with_slots
    naming = Naming(rename=(("model/enc/w", "model/enc/kernel"),))
    halve(path, tmp_path / "h", selection=Selection(keep=("*",)), naming=naming)
    assert f"model/enc/kernel/.OPTIMIZER_SLOT/optimizer/m{SUFFIX}" in tfbundle.open(tmp_path / "h")
    encoder = module(tf, kernel=tf.Variable(tf.zeros((2, 3))))
    fresh = tf.compat.v1.train.AdamOptimizer()
    status = tf.train.Checkpoint(model=module(tf, enc=encoder), optimizer=fresh).restore(str(tmp_path / "h"))
    fresh.apply_gradients([(tf.zeros((2, 3)), encoder.kernel)], name="step")
    status.expect_partial()
    before = optimizer.get_slot(made.enc.w, "m").numpy()
    assert np.allclose(fresh.get_slot(encoder.kernel, "m").numpy(), 0.9 * before)
    assert before.any()


def test_keras_weights_under_the_optimizers_path(tf: Any, tmp_path: Path) -> None:
    """Keras 3 may name weights after the optimizer; dropping its state must not touch them."""
    keras = tf.keras
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    net.compile(keras.optimizers.Adam(), "mse")
    net.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    path = tf.train.Checkpoint(model=net, optimizer=net.optimizer).save(str(tmp_path / "ck"))
    assert any("_trainable_variables" in name for name in tfbundle.open(path))
    halve(path, tmp_path / "h", selection=Selection(optimizer="drop"))
    twin = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, dtype="float16"), keras.layers.Dense(1, dtype="float16")]
    )
    tf.train.Checkpoint(model=twin).restore(str(tmp_path / "h")).expect_partial()
    for restored, original in zip(twin.weights, net.weights, strict=True):
        assert np.array_equal(restored.numpy(), tf.cast(original.numpy(), tf.float16).numpy())


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ((("model/enc/w", "model/enc/b"),), "would both be called"),
        ((("model/nothing", "x"),), "matches none"),
        ((("model/dec/w", "model/enc"),), "another object of the checkpoint is there|would both be called"),
    ],
)
def test_impossible_names(trained: tuple[str, Any], tmp_path: Path, rename: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        halve(trained[0], tmp_path / "h", naming=Naming(rename=rename))
    assert files_of(tmp_path) == {}


def test_unknown_fields_are_kept(tf: Any, trained: tuple[str, Any]) -> None:
    graph = tfbundle.open(trained[0])[GRAPH].item() + varint_field(99, 5)
    key = f"model/dec/w{SUFFIX}"
    for edited in (drop_values(graph, {key}), rename_values(graph, {key: f"model/dec/v{SUFFIX}"})):
        assert edited.endswith(varint_field(99, 5))
        proto = tensorflow_module("core.protobuf.trackable_object_graph_pb2")
        before, after = (proto.TrackableObjectGraph.FromString(data) for data in (graph, edited))
        assert [node.has_checkpoint_values for node in after.nodes[: len(before.nodes)]] == [
            node.has_checkpoint_values for node in before.nodes
        ]


def test_what_is_no_graph() -> None:
    with pytest.raises(tfbundle.FormatError, match="TrackableObjectGraph not parseable"):
        rename_values(b"\xff", {f"a{SUFFIX}": f"b{SUFFIX}"})
    with pytest.raises(tfbundle.FormatError, match="TrackableObjectGraph not parseable"):
        drop_values(b"\xff", {f"a{SUFFIX}"})
