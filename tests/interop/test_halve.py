"""What ``halve`` is for, judged by TensorFlow itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tfbundle
from tests.support.corpus import Item, v2_items
from tests.support.requirements import corpus_root, tensorflow, tensorflow_module
from tfbundle import CastPolicy, FormatError, Layout, Selection, halve
from tfbundle.format.index import encode_index
from tfbundle.format.naming import data_filename, index_filename, name_to_key

AS_TENSORFLOW = CastPolicy(on_overflow="inf")
EVERYTHING = Selection(optimizer="cast")
HALF, FLOAT = 19, 1
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def whole_items() -> list[Item]:
    """V2 items without slices whose data is there."""
    return [
        item
        for item in v2_items()
        if not item.table["slice_entries"] and not any(tensor.error for tensor in item.tensors.values())
    ]


NO_CORPUS: list[Item | None] = [None]


@pytest.fixture(params=whole_items() or NO_CORPUS, ids=lambda item: item.label if item else "no corpus")
def item(request: pytest.FixtureRequest) -> Item:
    if request.param is None:
        corpus_root()
    found: Item = request.param
    return found


def restore(tf: Any, prefix: str, names: Sequence[str], dtypes: Sequence[int]) -> list[Any]:
    return list(
        tf.raw_ops.RestoreV2(
            prefix=prefix,
            tensor_names=[name_to_key(name) for name in names],
            shape_and_slices=[""] * len(names),
            dtypes=[tf.as_dtype(dtype) for dtype in dtypes],
        )
    )


def bits(tensor: Any) -> bytes:
    array = np.asarray(tensor.numpy(), object) if isinstance(tensor.numpy(), bytes) else np.asarray(tensor.numpy())
    return b"\0".join(array.reshape(-1).tolist()) if array.dtype == object else array.tobytes()


def test_every_checkpoint_of_the_corpus(tf: Any, item: Item, tmp_path: Path) -> None:
    target = str(tmp_path / "half")
    halve(item.prefix, target, selection=EVERYTHING, policy=AS_TENSORFLOW)
    with tfbundle.open(item.prefix) as before, tfbundle.open(target) as after:
        names = list(item.tensors)
        assert sorted(after) == sorted(names)
        dtypes = [before.entry(name).dtype for name in names]
        originals = restore(tf, item.prefix, names, dtypes)
        results = restore(tf, target, names, [HALF if dtype == FLOAT else dtype for dtype in dtypes])
        for name, dtype, original, result in zip(names, dtypes, originals, results, strict=True):
            assert result.shape == original.shape
            if dtype == FLOAT:
                assert bits(result) == bits(tf.cast(original, tf.float16)), name
                continue
            assert bits(result) == bits(original), name
            assert after.payload(name) == before.payload(name), name
            assert after.entry(name).crc32c == before.entry(name).crc32c, name


def test_bytes_of_the_oracle(tmp_path: Path) -> None:
    oracle = corpus_root() / "synth" / "raw_f32_to_f16_oracle"
    target = tmp_path / "half"
    halve(oracle / "src", target, selection=EVERYTHING, policy=AS_TENSORFLOW)
    for suffix in (".index", ".data-00000-of-00001"):
        ours = Path(f"{target}{suffix}").read_bytes()
        assert ours == Path(f"{oracle / 'tf_cast_f16'}{suffix}").read_bytes(), suffix


def saved_models() -> list[Item]:
    return [item for item in whole_items() if item.prefix.endswith(os.path.join("variables", "variables"))]


@pytest.mark.parametrize("item", saved_models() or [None], ids=lambda item: item.label if item else "no corpus")
def test_saved_model_directory(tf: Any, item: Item | None, tmp_path: Path) -> None:
    if item is None:
        corpus_root()
        return
    model = Path(item.prefix).parent.parent
    report = halve(model, tmp_path, selection=EVERYTHING, policy=AS_TENSORFLOW, layout=Layout(graph="leave"))
    assert report.target == str(tmp_path / "variables")
    reader = tf.train.load_checkpoint(str(tmp_path / "variables"))
    found = {name: dtype.name for name, dtype in reader.get_variable_to_dtype_map().items()}
    half = {"float32": "float16"}
    assert found == {name: half.get(tensor.dtype, tensor.dtype) for name, tensor in item.tensors.items()}
    has_graph = (model / "saved_model.pb").exists() and "float32" in {tensor.dtype for tensor in item.tensors.values()}
    assert any("saved_model.pb" in note for note in report.notes) == has_graph


# The case this package began with: float32 weights, a float16 graph.

FEATURES = np.random.default_rng(5).normal(size=(64, 6)).astype(np.float32)
LABELS = np.random.default_rng(6).normal(size=(64, 2)).astype(np.float32)


def v1_network(tf: Any, dtype: Any) -> tuple[Any, Any]:
    """A graph of two layers, and its loss."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        kernel = v1.get_variable("model/conv5_1/weights", (6, 5), dtype, v1.random_normal_initializer(seed=1))
        biases = v1.get_variable("model/conv5_1/biases", (5,), dtype, v1.random_normal_initializer(seed=2))
        last = v1.get_variable("model/last/weights", (5, 2), dtype, v1.random_normal_initializer(seed=3))
        v1.train.get_or_create_global_step()
        output = tf.matmul(tf.tanh(tf.matmul(tf.cast(FEATURES, dtype), kernel) + biases), last)
        loss = tf.reduce_mean(tf.square(tf.cast(output, tf.float32) - LABELS))
    return graph, loss


@pytest.fixture(scope="module")
def v1_trained(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, NDArray[Any]]]:
    """Prefix of a float32 checkpoint, and the values in it."""
    v1 = tf.compat.v1
    prefix = str(tmp_path_factory.mktemp("v1") / "model.ckpt-20")
    graph, loss = v1_network(tf, tf.float32)
    with graph.as_default(), v1.Session() as session:
        step = v1.train.GradientDescentOptimizer(0.05).minimize(loss, v1.train.get_global_step())
        session.run(v1.global_variables_initializer())
        for _ in range(20):
            session.run(step)
        v1.train.Saver().save(session, prefix)
        values = {variable.op.name: session.run(variable) for variable in v1.global_variables()}
    return prefix, values


def restore_v1(tf: Any, prefix: str, dtype: Any) -> dict[str, NDArray[Any]]:
    """Restore a checkpoint into a graph of that dtype with its own Saver."""
    v1 = tf.compat.v1
    graph, _ = v1_network(tf, dtype)
    with graph.as_default(), v1.Session() as session:
        v1.train.Saver().restore(session, prefix)
        return {variable.op.name: session.run(variable) for variable in v1.global_variables()}


def test_v1_graph_refuses_float32(tf: Any, v1_trained: tuple[str, dict[str, NDArray[Any]]]) -> None:
    message = "expected dtype half does not equal original dtype float"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        restore_v1(tf, v1_trained[0], tf.float16)


def test_v1_graph_accepts_the_halved(tf: Any, v1_trained: tuple[str, dict[str, NDArray[Any]]], tmp_path: Path) -> None:
    prefix, values = v1_trained
    halve(prefix, tmp_path / "model.ckpt-20")
    restored = restore_v1(tf, str(tmp_path / "model.ckpt-20"), tf.float16)
    assert restored.keys() == values.keys()
    for name, value in values.items():
        expected = tf.cast(value, tf.float16).numpy() if value.dtype == np.float32 else value
        assert restored[name].dtype == expected.dtype
        assert restored[name].tobytes() == expected.tobytes(), name
    assert restored["global_step"] == 20


def test_v1_graph_of_float32_refuses_the_halved(
    tf: Any, v1_trained: tuple[str, dict[str, NDArray[Any]]], tmp_path: Path
) -> None:
    halve(v1_trained[0], tmp_path / "half")
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected dtype float does not equal original dtype half"):
        restore_v1(tf, str(tmp_path / "half"), tf.float32)


def relabel(source: str, target: str) -> None:
    """Copy a bundle and call its float32 entries float16, payload untouched."""
    with tfbundle.open(source) as bundle:
        rows = [
            (key, replace(entry, dtype=HALF) if entry.dtype == FLOAT else entry)
            for key, entry in sorted(bundle.index.items())
        ]
        table: list[bytes] = []
        encode_index(table.append, bundle.index.header, rows)
    Path(index_filename(target)).write_bytes(b"".join(table))
    Path(data_filename(target, 0, 1)).write_bytes(Path(data_filename(source, 0, 1)).read_bytes())


def test_older_refusal_is_of_stored_sizes(
    tf: Any, v1_trained: tuple[str, dict[str, NDArray[Any]]], tmp_path: Path
) -> None:
    """TensorFlow up to 1.12 did not compare dtypes, and so stumbled over the size: as here, where they agree."""
    relabelled = str(tmp_path / "relabelled")
    relabel(v1_trained[0], relabelled)
    message = r"Invalid size in bundle entry: key model/conv5_1/biases; stored size 20; expected size 10"
    with pytest.raises(tf.errors.DataLossError, match=message):
        restore(tf, relabelled, ["model/conv5_1/biases"], [HALF])
    with pytest.raises(FormatError, match=r"Invalid size in bundle entry: .*stored size 20; expected size 10"):
        tfbundle.load(relabelled, ["model/conv5_1/biases"])


def module(tf: Any, dtype: str, seed: int) -> Any:
    """A tf.Module with a few variables of that dtype."""
    random = np.random.default_rng(seed)
    made = tf.Module()
    made.kernel = tf.Variable(random.normal(size=(7, 3)), dtype=dtype)
    made.tables = [tf.Variable(random.normal(size=(4,)) * 1e-6, dtype=dtype), tf.Variable(2.5, dtype=dtype)]
    made.steps = tf.Variable(seed, dtype="int64")
    return made


def test_v2_module(tf: Any, tmp_path: Path) -> None:
    trained = module(tf, "float32", 11)
    prefix = tf.train.Checkpoint(model=trained).save(str(tmp_path / "ckpt"))
    half = module(tf, "float16", 12)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected dtype half does not equal original dtype float"):
        tf.train.Checkpoint(model=half).restore(prefix)

    halve(prefix, tmp_path / "half" / "ckpt-1")
    half = module(tf, "float16", 12)
    latest = tf.train.latest_checkpoint(str(tmp_path / "half"))
    tf.train.Checkpoint(model=half).restore(latest).assert_consumed()
    assert half.steps.numpy() == 11
    pairs = zip((trained.kernel, *trained.tables), (half.kernel, *half.tables), strict=True)
    for before, after in pairs:
        assert after.numpy().tobytes() == tf.cast(before, tf.float16).numpy().tobytes()


def keras_model(keras: Any, dtype: str, seed: int) -> Any:
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [layers.Input((5,)), layers.Dense(8, "relu", dtype=dtype), layers.Dense(3, dtype=dtype)],
    )


def test_keras_model_of_float16_policy(tf: Any, tmp_path: Path) -> None:
    keras = tf.keras
    trained = keras_model(keras, "float32", 1)
    prefix = tf.train.Checkpoint(model=trained).save(str(tmp_path / "ckpt"))
    half = keras_model(keras, "float16", 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected dtype half does not equal original dtype float"):
        tf.train.Checkpoint(model=half).restore(prefix)

    halve(prefix, tmp_path / "half")
    half = keras_model(keras, "float16", 2)
    tf.train.Checkpoint(model=half).restore(str(tmp_path / "half")).assert_existing_objects_matched()
    assert len(half.weights) == 4
    for before, after in zip(trained.weights, half.weights, strict=True):
        assert after.numpy().tobytes() == tf.cast(before.value, tf.float16).numpy().tobytes()


def test_dropped_optimizer_state_is_not_missed(tf: Any, tmp_path: Path) -> None:
    keras = tf.keras
    trained = keras_model(keras, "float32", 1)
    optimizer = keras.optimizers.Adam()
    optimizer.build(trained.trainable_variables)
    prefix = tf.train.Checkpoint(model=trained, optimizer=optimizer).save(str(tmp_path / "ckpt"))
    report = halve(prefix, tmp_path / "half", selection=Selection(optimizer="drop"))
    dropped = {name.removesuffix(VALUE) for name in (tensor.name for tensor in report.select("drop"))}
    moments = {f"optimizer/_variables/{number}" for number in range(2, 10)}
    assert dropped == {"optimizer/_iterations", "optimizer/_learning_rate", *moments}

    half = keras_model(keras, "float16", 2)
    status = tf.train.Checkpoint(model=half).restore(str(tmp_path / "half"))
    status.expect_partial()
    status.assert_existing_objects_matched()
    for before, after in zip(trained.weights, half.weights, strict=True):
        assert after.numpy().tobytes() == tf.cast(before.value, tf.float16).numpy().tobytes()


# Training goes on after a conversion.

STEPS, RATE = 600, 1e-2
SAMPLES = 256
GRADIENT_SCALE = 1e-4
"""Brings gradients to the 1e-5 of a large network, and Adam's second moments to the 1e-10 that float16 lacks."""


class AdamRun:
    """A regression in float32, trained with Adam."""

    def __init__(self, tf: Any) -> None:
        v1 = tf.compat.v1
        random = np.random.default_rng(7)
        inputs = random.normal(size=(SAMPLES, 16)).astype(np.float32)
        hidden = np.tanh(inputs @ random.normal(size=(16, 8)))
        wanted = hidden @ random.normal(size=(8, 4)) + random.normal(size=(SAMPLES, 4)) / 2
        self.tf = tf
        self.graph = tf.Graph()
        with self.graph.as_default():
            first = v1.get_variable("hidden/kernel", (16, 32), initializer=v1.glorot_uniform_initializer(seed=3))
            biases = v1.get_variable("hidden/bias", (32,), initializer=v1.zeros_initializer())
            last = v1.get_variable("out/kernel", (32, 4), initializer=v1.glorot_uniform_initializer(seed=4))
            output = tf.matmul(tf.tanh(tf.matmul(inputs, first) + biases), last)
            self.loss = tf.reduce_mean(tf.square(output - wanted.astype(np.float32)))
            self.model = v1.trainable_variables()
            self.step = v1.train.AdamOptimizer(RATE).minimize(self.loss * GRADIENT_SCALE)
            self.initialize = v1.global_variables_initializer()
            self.saver = v1.train.Saver()

    def train(self, prefix: str) -> list[float]:
        """Train, save, and return the losses of the next five steps."""
        with self.tf.compat.v1.Session(graph=self.graph) as session:
            session.run(self.initialize)
            for _ in range(STEPS):
                session.run(self.step)
            self.saver.save(session, prefix)
            return self._five_losses(session)

    def resume(self, prefix: str) -> list[float]:
        """Load whatever is float16 into the float32 variables by way of a cast, all else as it is, and train on."""
        dtypes = self.tf.train.load_checkpoint(prefix).get_variable_to_dtype_map()
        with self.graph.as_default(), self.tf.compat.v1.Session() as session:
            for variable in self.tf.compat.v1.global_variables():
                name = variable.op.name
                (value,) = restore(self.tf, prefix, [name], [dtypes[name].as_datatype_enum])
                session.run(variable.assign(self.tf.cast(value, self.tf.float32)))
            return self._five_losses(session)

    def _five_losses(self, session: Any) -> list[float]:
        losses = []
        for _ in range(5):
            session.run(self.step)
            losses.append(float(session.run(self.loss)))
        return losses


@pytest.fixture(scope="module")
def adam(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[float]]:
    """A checkpoint in the middle of a training with Adam, and the five losses that followed."""
    prefix = str(tmp_path_factory.mktemp("adam") / "model")
    return prefix, AdamRun(tf).train(prefix)


def relative_errors(losses: list[float], expected: list[float]) -> list[float]:
    return [abs(found / wanted - 1) for found, wanted in zip(losses, expected, strict=True)]


def test_adam_follows_the_losses_by_default(tf: Any, adam: tuple[str, list[float]], tmp_path: Path) -> None:
    prefix, losses = adam
    halve(prefix, tmp_path / "half")
    run = AdamRun(tf)
    dtypes = tf.train.load_checkpoint(str(tmp_path / "half")).get_variable_to_dtype_map()
    weights = {variable.op.name for variable in run.model}
    assert len(weights) == 3
    assert {name for name, dtype in dtypes.items() if dtype == tf.float16} == weights
    assert {f"{name}/{slot}" for name in weights for slot in ("Adam", "Adam_1")} < set(dtypes)
    assert max(relative_errors(run.resume(str(tmp_path / "half")), losses)) < 0.01


def test_adam_strays_with_float16_moments(tf: Any, adam: tuple[str, list[float]], tmp_path: Path) -> None:
    """Why optimizer state is kept by default; if this ever fails, the test above proves nothing."""
    prefix, losses = adam
    report = halve(prefix, tmp_path / "half", selection=EVERYTHING)
    second_moments = [tensor for tensor in report.tensors if tensor.name.endswith("/Adam_1")]
    assert len(second_moments) == 3
    for tensor in second_moments:
        assert tensor.stats is not None
        assert tensor.stats.largest < 1e-7
        assert tensor.stats.underflow > 0.9 * tensor.stats.elements
    assert max(relative_errors(AdamRun(tf).resume(str(tmp_path / "half")), losses)) > 0.1


def test_tensorflow_shares_the_process() -> None:
    """The messages of this package and those of TensorFlow have the same names and live side by side."""
    theirs = tensorflow_module("core.protobuf.tensor_bundle_pb2").BundleHeaderProto
    from tfbundle.pb import message_class

    ours = message_class("BundleHeaderProto")
    assert ours is not theirs
    assert ours.FromString(theirs(num_shards=3).SerializeToString()).num_shards == 3
