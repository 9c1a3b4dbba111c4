"""Names that users choose: TensorFlow restores what was renamed, mapped, selected or averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import tensorflow
from tfbundle import Naming, Selection, halve

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def variables(tf: Any, names: list[str], dtype: str, seed: int | None = None) -> list[Any]:
    """Make TF1 variables of two by three, random ones or zeros."""
    random = np.random.default_rng(seed)
    values = [np.zeros((2, 3)) if seed is None else random.normal(size=(2, 3)) for _ in names]
    v1 = tf.compat.v1
    return [
        v1.get_variable(name, initializer=value.astype(dtype), use_resource=False)
        for name, value in zip(names, values, strict=True)
    ]


def save_v1(tf: Any, names: list[str], folder: Path) -> str:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        made = variables(tf, names, "float32", 1)
        session.run(tf.compat.v1.global_variables_initializer())
        return str(tf.compat.v1.train.Saver(made).save(session, str(folder / "model.ckpt"), write_meta_graph=False))


def restore_v1(tf: Any, names: list[str], prefix: Path) -> dict[str, Any]:
    """Restore float16 variables by name, all that there are."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        made = variables(tf, names, "float16")
        tf.compat.v1.train.Saver(made).restore(session, str(prefix))
        return dict(zip(names, session.run(made), strict=True))


def half(tf: Any, value: Any) -> Any:
    return tf.cast(tf.constant(value), tf.float16).numpy()


@pytest.mark.parametrize(
    ("naming", "expected"),
    [
        (Naming((("net/", "x/y/"),)), {"net/a/w": "x/y/a/w", "net/b": "x/y/b", "head/w": "head/w"}),
        (Naming(strip_prefix="net/"), {"net/a/w": "a/w", "net/b": "b", "head/w": "head/w"}),
        (Naming((), ("net/", "head/"), "x/"), {"net/a/w": "x/a/w", "net/b": "x/b", "head/w": "x/w"}),
        (Naming((("re:/w$", "/kernel"),)), {"net/a/w": "net/a/kernel", "net/b": "net/b", "head/w": "head/kernel"}),
        (Naming(map={"net/a/w:0": "head/w", "head/w:0": "net/a/w"}), {"net/a/w": "head/w", "head/w": "net/a/w"}),
    ],
)
def test_scopes_of_tf1(tf: Any, tmp_path: Path, naming: Naming, expected: dict[str, str]) -> None:
    path = save_v1(tf, ["net/a/w", "net/b", "head/w"], tmp_path / "source")
    halve(path, tmp_path / "h", naming=naming)
    assert {name for name, _ in tf.train.list_variables(str(tmp_path / "h"))} == set(expected.values())
    restored = restore_v1(tf, list(expected.values()), tmp_path / "h")
    reader = tf.train.load_checkpoint(path)
    for old, new in expected.items():
        assert np.array_equal(restored[new], half(tf, reader.get_tensor(old)))


def save_averages(tf: Any, names: list[str], num_averaged: int, folder: Path) -> str:
    """Save variables, a step counter, and the moving averages of some of the variables, which differ from them."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        made = variables(tf, names, "float32", 2)
        v1.train.get_or_create_global_step()
        update = v1.train.ExponentialMovingAverage(0.5).apply(made[:num_averaged])
        session.run(v1.variables_initializer(made))
        session.run(v1.global_variables_initializer())
        session.run([v1.assign_add(variable, tf.ones((2, 3))) for variable in made])
        session.run(update)
        return str(v1.train.Saver().save(session, str(folder / "model.ckpt")))


def restore_averages(tf: Any, path: str, names: list[str], num_averaged: int) -> dict[str, Any]:
    """Restore moving averages in the places of their variables, as TensorFlow does it."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        made = variables(tf, names, "float32")
        averaged = v1.train.ExponentialMovingAverage(0.5).variables_to_restore(made[:num_averaged])
        others = dict(zip(names[num_averaged:], made[num_averaged:], strict=True))
        v1.train.Saver({**others, **averaged}).restore(session, path)
        return dict(zip(names, session.run(made), strict=True))


def test_moving_averages_take_the_places_of_their_variables(tf: Any, tmp_path: Path) -> None:
    names = ["w", "scope/b", "bn/moving_mean"]
    path = save_averages(tf, names, 2, tmp_path / "source")
    naming = Naming(rename=(("re:/ExponentialMovingAverage$", ""),), on_collision="replace")
    halve(path, tmp_path / "h", naming=naming)
    assert {name for name, _ in tf.train.list_variables(str(tmp_path / "h"))} == {*names, "global_step"}
    expected = restore_averages(tf, path, names, 2)
    restored = restore_v1(tf, names, tmp_path / "h")
    for name in names:
        assert np.array_equal(restored[name], half(tf, expected[name])), name
    assert not np.array_equal(expected["w"], tf.train.load_variable(path, "w"))


def module(tf: Any, **children: Any) -> Any:
    made = tf.Module()
    for name, child in children.items():
        setattr(made, name, child)
    return made


def variable(tf: Any, seed: int) -> Any:
    return tf.Variable(np.random.default_rng(seed).normal(size=(2, 3)).astype("float32"))


def empty(tf: Any) -> Any:
    return tf.Variable(tf.zeros((2, 3), tf.float16))


@pytest.fixture
def tf2(tf: Any, tmp_path: Path) -> tuple[str, Any]:
    """A checkpoint of a model, and the model."""
    made = module(tf, enc=module(tf, w=variable(tf, 1), b=variable(tf, 2)), dec=module(tf, w=variable(tf, 3)))
    return tf.train.Checkpoint(model=made).save(str(tmp_path / "source" / "ck")), made


def test_mapped_objects(tf: Any, tf2: tuple[str, Any], tmp_path: Path) -> None:
    path, made = tf2
    halve(path, tmp_path / "h", naming=Naming(map={"model/enc/w": "net/layer/kernel", "model/dec/w": "model/enc/w"}))
    net, rest = module(tf, layer=module(tf, kernel=empty(tf))), module(tf, enc=module(tf, w=empty(tf)))
    status = tf.train.Checkpoint(net=net, model=rest).restore(str(tmp_path / "h"))
    status.assert_existing_objects_matched()
    status.assert_consumed()
    assert np.array_equal(net.layer.kernel.numpy(), half(tf, made.enc.w.numpy()))
    assert np.array_equal(rest.enc.w.numpy(), half(tf, made.dec.w.numpy()))


@pytest.mark.parametrize(
    ("naming", "place"),
    [
        (Naming(strip_prefix="model/"), lambda made: made),
        (Naming(add_prefix="a/b/"), lambda made: {"a": {"b": {"model": made}}}),
        (Naming((("model/", "student/"),)), lambda made: {"student": made}),
        (Naming((("", "x/"),)), lambda made: {"x": {"model": made}}),
    ],
)
def test_moved_model(tf: Any, tf2: tuple[str, Any], tmp_path: Path, naming: Naming, place: Any) -> None:
    path, made = tf2
    halve(path, tmp_path / "h", naming=naming)
    twin = {"enc": {"w": empty(tf), "b": empty(tf)}, "dec": {"w": empty(tf)}}
    status = tf.train.Checkpoint(**place(twin)).restore(str(tmp_path / "h"))
    status.assert_existing_objects_matched()
    status.assert_consumed()
    assert np.array_equal(twin["enc"]["b"].numpy(), half(tf, made.enc.b.numpy()))


def test_objects_that_are_united(tf: Any, tf2: tuple[str, Any], tmp_path: Path) -> None:
    path, made = tf2
    names = {"model/enc/w": "net/a", "model/enc/b": "net/b", "model/dec/w": "net/w"}
    for number, naming in enumerate((Naming(map=names), Naming((("model/enc/w", "net/a"), ("re:model/...", "net"))))):
        halve(path, tmp_path / f"h{number}", naming=naming)
        twin = module(tf, a=empty(tf), b=empty(tf), w=empty(tf))
        status = tf.train.Checkpoint(net=twin).restore(str(tmp_path / f"h{number}"))
        status.assert_existing_objects_matched()
        status.assert_consumed()
        assert np.array_equal(twin.b.numpy(), half(tf, made.enc.b.numpy()))
        assert np.array_equal(twin.w.numpy(), half(tf, made.dec.w.numpy()))


def test_object_that_takes_the_place_of_one_that_is_left_out(tf: Any, tf2: tuple[str, Any], tmp_path: Path) -> None:
    path, made = tf2
    naming = Naming(rename=(("model/enc/", "model/dec/"),), on_collision="replace")
    report = halve(path, tmp_path / "h", naming=naming)
    assert report.count_reasons("drop") == {"replaced by a renamed tensor": 1}
    twin = module(tf, dec=module(tf, w=empty(tf), b=empty(tf)))
    status = tf.train.Checkpoint(model=twin).restore(str(tmp_path / "h"))
    status.assert_existing_objects_matched()
    status.assert_consumed()
    assert np.array_equal(twin.dec.w.numpy(), half(tf, made.enc.w.numpy()))


def test_selected_objects(tf: Any, tf2: tuple[str, Any], tmp_path: Path) -> None:
    path, made = tf2
    halve(path, tmp_path / "h", selection=Selection(select=("model/enc/*",)))
    twin = module(tf, enc=module(tf, w=empty(tf), b=empty(tf)))
    status = tf.train.Checkpoint(model=twin).restore(str(tmp_path / "h"))
    status.assert_existing_objects_matched()
    status.assert_consumed()
    assert np.array_equal(twin.enc.w.numpy(), half(tf, made.enc.w.numpy()))


def test_objects_become_variables_of_tf1(tf: Any, tf2: tuple[str, Any], tmp_path: Path) -> None:
    path, made = tf2
    names = {f"model/enc/w{VALUE}": "encoder/weights", f"model/dec/w{VALUE}": "w"}
    report = halve(path, tmp_path / "h", naming=Naming(map=names))
    assert [name for name, _ in tf.train.list_variables(str(tmp_path / "h"))] == ["encoder/weights", "w"]
    assert report.count_reasons("drop") == {"not in --map": 1, "no object has a value": 2}
    restored = restore_v1(tf, list(names.values()), tmp_path / "h")
    assert np.array_equal(restored["encoder/weights"], half(tf, made.enc.w.numpy()))


def test_some_objects_become_variables_of_tf1(tf: Any, tf2: tuple[str, Any], tmp_path: Path) -> None:
    path, made = tf2
    halve(path, tmp_path / "h", naming=Naming(map={f"model/enc/w{VALUE}": "w"}, map_rest="keep"))
    twin = module(tf, enc=module(tf, b=empty(tf)), dec=module(tf, w=empty(tf)))
    status = tf.train.Checkpoint(model=twin).restore(str(tmp_path / "h"))
    status.assert_existing_objects_matched()
    status.assert_consumed()
    assert np.array_equal(twin.enc.b.numpy(), half(tf, made.enc.b.numpy()))
    assert np.array_equal(restore_v1(tf, ["w"], tmp_path / "h")["w"], half(tf, made.enc.w.numpy()))


@pytest.fixture(scope="module")
def keras(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """A checkpoint of a Keras 3 model, whose weights stand under its optimizer's path, and the model."""
    layers = tf.keras.layers
    net = tf.keras.Sequential([tf.keras.Input((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(1)])
    net.compile(tf.keras.optimizers.Adam(), "mse")
    net.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    folder = tmp_path_factory.mktemp("keras")
    return tf.train.Checkpoint(model=net, optimizer=net.optimizer).save(str(folder / "ck")), net


def half_twin(tf: Any) -> Any:
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input((3,)),
            layers.Dense(4, dtype="float16"),
            layers.BatchNormalization(dtype="float16"),
            layers.Dense(1, dtype="float16"),
        ]
    )


def test_keras_model_is_renamed_with_weights_that_stand_elsewhere(
    tf: Any, keras: tuple[str, Any], tmp_path: Path
) -> None:
    path, net = keras
    assert any("_trainable_variables" in name for name in tfbundle.open(path))
    naming = Naming(rename=(("model/", "student/"),))
    halve(path, tmp_path / "h", selection=Selection(optimizer="drop"), naming=naming)
    names = {name for name in tfbundle.open(tmp_path / "h") if name != GRAPH}
    assert len(names) == len(net.weights) + 1
    assert all(name.startswith(("student/", "save_counter")) for name in names)
    twin = half_twin(tf)
    status = tf.train.Checkpoint(student=twin).restore(str(tmp_path / "h"))
    status.assert_existing_objects_matched()
    for restored, original in zip(twin.weights, net.weights, strict=True):
        assert np.array_equal(restored.numpy(), half(tf, original.numpy())), original.path


def test_keras_weights_by_name_and_by_path(tf: Any, keras: tuple[str, Any], tmp_path: Path) -> None:
    path, net = keras
    kernel, bias = net.layers[0].weights
    names = {kernel.path: "out/kernel", "model/_functional/_operations/1/bias": "out/bias"}
    halve(path, tmp_path / "h", naming=Naming(map=names))
    out = module(tf, kernel=tf.Variable(tf.zeros((3, 4), tf.float16)), bias=tf.Variable(tf.zeros((4,), tf.float16)))
    status = tf.train.Checkpoint(out=out).restore(str(tmp_path / "h"))
    status.assert_existing_objects_matched()
    status.assert_consumed()
    assert np.array_equal(out.kernel.numpy(), half(tf, kernel.numpy()))
    assert np.array_equal(out.bias.numpy(), half(tf, bias.numpy()))


def test_keras_normalization_layers_are_kept(tf: Any, keras: tuple[str, Any], tmp_path: Path) -> None:
    path, net = keras
    report = halve(path, tmp_path / "h", selection=Selection(keep=("batchnorm",), optimizer="drop"))
    assert report.count_reasons("keep") == {"--keep batchnorm": 4}
    kept = [np.asarray(value) for value in tfbundle.load(tmp_path / "h").values() if value.dtype == np.float32]
    expected = [weight.numpy() for weight in net.layers[1].weights]
    assert sorted(value.tolist() for value in kept) == sorted(value.tolist() for value in expected)
