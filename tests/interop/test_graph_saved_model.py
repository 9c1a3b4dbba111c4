"""A SavedModel halved as a whole: every loader of TensorFlow takes it, and it answers the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import tensorflow
from tests.support.saved_models import largest_difference, make_input, read_saved_model, run_cli, run_v1, run_v2
from tfbundle.choosing.select import Selection
from tfbundle.errors import BundleExistsError
from tfbundle.graph import models
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.run import RunOptions

pytestmark = pytest.mark.filterwarnings("ignore")


def save_module(path: Path) -> None:
    """Write a tf.Module with control flow, lists, tables with float values, an asset and a constant it captures."""
    tf = tensorflow()
    words = path.parent / "words.txt"
    words.write_text("a\nb\nc\n")

    base: Any = tf.Module

    class Module(base):  # type: ignore[misc]
        def __init__(self) -> None:
            random = np.random.default_rng(1)
            self.kernel = tf.Variable(random.random((8, 8)).astype(np.float32) - 0.5, name="kernel")
            self.table = tf.Variable(random.random((3, 8)).astype(np.float32), name="table")
            self.scale = tf.constant(random.random(8).astype(np.float32))
            self.steps = tf.Variable(3, dtype=tf.int64)
            index = tf.lookup.TextFileIndex
            start = tf.lookup.TextFileInitializer(str(words), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)
            self.words = tf.lookup.StaticHashTable(start, 0)
            self.scores = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.5)
            self.scores.insert(tf.constant([0], tf.int64), tf.constant([1e-9]))

        def answer(self, x: Any, index: Any) -> Any:
            rows = tf.TensorArray(tf.float32, size=3, element_shape=[None, 8])
            for step in tf.range(3):
                x = tf.tanh(tf.matmul(x, self.kernel)) if step % 2 == 0 else x * self.scale
                rows = rows.write(step, x)
            found = self.words.lookup(tf.constant(["c"]))
            x = x + tf.gather(self.table, index) + self.scores.lookup(tf.constant([0], tf.int64))
            return {"out": tf.reduce_sum(rows.stack(), 0) + x, "found": found, "steps": self.steps}

    module = Module()
    specs = [tf.TensorSpec([None, 8], tf.float32), tf.TensorSpec([], tf.int32)]
    module.function = tf.function(module.answer, input_signature=specs)
    tf.saved_model.save(module, str(path), signatures=module.function.get_concrete_function())


def save_cnn(path: Path) -> None:
    """Write a Keras 3 model with the layers that convolutional networks have."""
    tf = tensorflow()
    layers = tf.keras.layers
    model = tf.keras.Sequential([
        layers.Input((16, 16, 3)),
        layers.Conv2D(16, 3, activation="swish"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3),
        layers.Resizing(8, 8),
        layers.MaxPool2D(),
        layers.LayerNormalization(),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.export(str(path), verbose=False)


def save_rnn(path: Path) -> None:
    """Write a Keras 3 model with recurrent layers."""
    tf = tensorflow()
    layers = tf.keras.layers
    model = tf.keras.Sequential([
        layers.Input((5,), dtype="int32"),
        layers.Embedding(20, 8),
        layers.Bidirectional(layers.LSTM(8, return_sequences=True)),
        layers.GRU(8),
        layers.Dense(3),
    ])  # fmt: skip
    model.export(str(path), verbose=False)


def save_tf1(path: Path) -> None:
    """Write a SavedModel of TF1 with two graphs, for serving and for training, that share a checkpoint."""
    tf = tensorflow()
    builder = tf.compat.v1.saved_model.Builder(str(path))
    for tags in (["serve"], ["train", "serve"]):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, (None, 8), "x")
            start = tf.compat.v1.truncated_normal_initializer(seed=2)
            w = tf.compat.v1.get_variable("w", (8, 40), initializer=start, use_resource=False)
            y = tf.nn.relu(tf.matmul(x, w)) * (2.0 if "train" in tags else 1.0)
            session.run(tf.compat.v1.global_variables_initializer())
            signature = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": y})
            if tags == ["serve"]:
                builder.add_meta_graph_and_variables(session, tags, {"serving_default": signature})
            else:
                builder.add_meta_graph(tags, {"serving_default": signature})
    builder.save()


MAKERS = {"module": save_module, "cnn": save_cnn, "rnn": save_rnn, "tf1": save_tf1}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that writes each model once, and says where."""
    found: dict[str, Path] = {}

    def save(name: str) -> Path:
        if name not in found:
            found[name] = tmp_path_factory.mktemp(name) / "model"
            MAKERS[name](found[name])
        return found[name]

    return save


def files(path: Path) -> set[str]:
    return {str(each.relative_to(path)) for each in path.rglob("*") if each.is_file()}


@pytest.mark.parametrize("name", MAKERS)
def test_answers_the_same_in_every_loader(name: str, saved: Any, tmp_path: Path) -> None:
    tf, source, target = tensorflow(), saved(name), tmp_path / "half"
    report = tfbundle.halve(source, target)
    assert report.select("cast")
    assert largest_difference(run_v1(tf, source), run_v1(tf, target)) <= 5e-4
    assert files(target) == files(source) - {"fingerprint.pb"}
    assert tfbundle.verify(target).ok
    assert sorted(os.listdir(tmp_path)) == ["half"]
    if name != "tf1":  # which has no single graph that the loader of TF2 would choose
        assert largest_difference(run_v2(tf, source), run_v2(tf, target)) <= 5e-4
        loaded = tf.saved_model.load(str(target))
        variables = getattr(loaded, "variables", None) or [loaded.kernel, loaded.table]
        assert {variable.dtype.name for variable in variables if variable.dtype.is_floating} == {"float32"}


@pytest.mark.parametrize("name", ["module", "cnn", "rnn"])
def test_saved_model_cli(name: str, saved: Any, tmp_path: Path) -> None:
    tf, source, target = tensorflow(), saved(name), tmp_path / "half"
    tfbundle.halve(source, target)
    signature = read_saved_model(source).meta_graphs[0].signature_def["serving_default"]
    inputs = {
        key: make_input(tf.dtypes.as_dtype(info.dtype), [dim.size for dim in info.tensor_shape.dim])
        for key, info in signature.inputs.items()
    }
    expected, found = run_cli(source, inputs, tmp_path / "1"), run_cli(target, inputs, tmp_path / "2")
    key = next(key for key, info in signature.outputs.items() if info.dtype == 1)
    assert 0 < np.abs(expected[key] - found[key]).max() <= 5e-4


def test_tf2_needs_the_functions_that_restore(saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is good enough for the loader of TF1 is not for that of TF2: the reason for all of ``objects``."""
    tf, source = tensorflow(), saved("cnn")
    monkeypatch.setattr(models, "add_functions", lambda graph, saved, numbers: None)
    tfbundle.halve(source, tmp_path / "half")
    assert largest_difference(run_v1(tf, source), run_v1(tf, tmp_path / "half")) <= 5e-4
    with pytest.raises(Exception, match="dtype float does not equal original dtype half"):
        tf.saved_model.load(str(tmp_path / "half"))


def test_restored_model_saves_float16_again(saved: Any, tmp_path: Path) -> None:
    tf = tensorflow()
    tfbundle.halve(saved("module"), tmp_path / "half")
    loaded = tf.saved_model.load(str(tmp_path / "half"))
    prefix = tf.train.Checkpoint(model=loaded).write(str(tmp_path / "again"))
    found = tfbundle.load(prefix)
    half = tfbundle.load(tmp_path / "half")
    name = "kernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert np.array_equal(found[f"model/{name}"], half[name])
    assert half[name].dtype == np.float16


def test_float_values_of_a_table_stay(saved: Any, tmp_path: Path) -> None:
    report = tfbundle.halve(saved("module"), tmp_path / "half")
    kept = {tensor.name: tensor.reason for tensor in report.select("keep")}
    assert kept == {"scores/.ATTRIBUTES/table-values": "no plain variable of the SavedModel"}
    name = "scores/.ATTRIBUTES/table-values"
    assert tfbundle.load(tmp_path / "half")[name].tolist() == [np.float32(1e-9)]


def test_selection_is_that_of_graph_and_variables(saved: Any, tmp_path: Path) -> None:
    tf, source = tensorflow(), saved("module")
    tfbundle.halve(source, tmp_path / "half", selection=Selection(keep=("kernel",)))
    found = {name: value.dtype.name for name, value in tfbundle.load(tmp_path / "half").items()}
    assert found["kernel/.ATTRIBUTES/VARIABLE_VALUE"] == "float32"
    assert found["table/.ATTRIBUTES/VARIABLE_VALUE"] == "float16"
    assert largest_difference(run_v2(tf, source), run_v2(tf, tmp_path / "half")) <= 5e-4
    assert largest_difference(run_v1(tf, source), run_v1(tf, tmp_path / "half")) <= 5e-4


def test_nothing_selected_is_the_same_graph(saved: Any, tmp_path: Path) -> None:
    for name in MAKERS:
        tfbundle.halve(saved(name), tmp_path / name, selection=Selection(keep=("*",)))
        assert read_saved_model(tmp_path / name) == read_saved_model(saved(name))


def test_converting_again_changes_nothing(saved: Any, tmp_path: Path) -> None:
    tfbundle.halve(saved("cnn"), tmp_path / "half")
    report = tfbundle.halve(tmp_path / "half", tmp_path / "again")
    assert not report.select("cast")
    assert read_saved_model(tmp_path / "again") == read_saved_model(tmp_path / "half")
    assert largest_difference(run_v2(tensorflow(), tmp_path / "half"), run_v2(tensorflow(), tmp_path / "again")) == 0


def test_growth_is_told(saved: Any, tmp_path: Path) -> None:
    report = tfbundle.halve(saved("cnn"), tmp_path / "half", options=RunOptions(dry_run=True))
    assert report.graph is not None
    assert any(note.startswith("the graph grew by") and "more than" in note for note in report.notes)
    assert not (tmp_path / "half").exists()
    done = tfbundle.halve(saved("cnn"), tmp_path / "half")
    assert done.graph == report.graph
    assert done.graph.target_nbytes == (tmp_path / "half" / "saved_model.pb").stat().st_size


def test_targets_that_are_there(saved: Any, tmp_path: Path) -> None:
    source, target = saved("cnn"), tmp_path / "half"
    target.mkdir()
    tfbundle.halve(source, target)
    with pytest.raises(BundleExistsError, match="--force"):
        tfbundle.halve(source, target)
    replace = RunOptions(if_exists="replace")
    inode = target.stat().st_ino
    tfbundle.halve(source, target, options=replace)
    assert target.stat().st_ino != inode
    assert os.listdir(tmp_path) == ["half"]
    (target / "notes.txt").write_text("mine")
    with pytest.raises(BundleExistsError, match=r"what no SavedModel has: notes\.txt"):
        tfbundle.halve(source, target, options=replace)
    for own in (source, source.parent, f"{source}/", source / ".." / "model"):
        with pytest.raises(BundleExistsError, match="is the source"):
            tfbundle.halve(source, own, options=replace)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BundleExistsError, match="no directory"):
        tfbundle.halve(source, tmp_path / "file", options=replace)


def test_from_a_store(saved: Any, tmp_path: Path) -> None:
    import fsspec

    tf, source = tensorflow(), saved("cnn")
    tfbundle.halve(source, "memory://model/half")
    files = fsspec.filesystem("memory")
    files.get("/model/half", str(tmp_path / "half"), recursive=True)
    files.rm("/model", recursive=True)
    assert largest_difference(run_v2(tf, source), run_v2(tf, tmp_path / "half")) <= 5e-4


def test_checkpoint_alone(saved: Any, tmp_path: Path) -> None:
    source = saved("cnn")
    report = tfbundle.halve(source, tmp_path / "half", layout=Layout(graph="leave"))
    assert report.graph is None
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "half.data-00000-of-00001", "half.index"]
    tfbundle.halve(source / "variables" / "variables", tmp_path / "prefix")
    assert (tmp_path / "prefix.index").exists()
