"""Every SavedModel and ``.meta`` of the corpus, converted: TensorFlow loads it, and it answers the same."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import corpus_root, find_corpus, needs_keras2, tensorflow
from tests.support.saved_models import (
    Answers,
    import_keras2,
    largest_difference,
    read_saved_model,
    run_cli,
    run_v1,
    run_v2,
)
from tfbundle.choosing.select import Selection
from tfbundle.errors import UnsupportedError

ROOT = find_corpus() or Path("/no/corpus")
SAVED_MODELS = sorted(
    str(path.parent.relative_to(ROOT))
    for path in ROOT.glob("*/**/saved_model.pb")
    if (path.parent / "variables" / "variables.index").exists()
)
METAS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("*/**/*.meta"))
LOGITS = {
    "synth/v1graph_convbn_infer_and_train": ("image:0", "image", "probs:0", "probs"),
    "synth/v1saver_": ("x:0", "x", "net/dense_2/logits:0", "logits"),
}
MOST = 2e-3
"""The largest difference there is, of basic-pitch; of the others 5e-4."""


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TensorFlow says of old models
        yield


@pytest.mark.parametrize("name", SAVED_MODELS)
def test_saved_model_answers_the_same(name: str, tmp_path: Path) -> None:
    """With the loaders of TF1 and TF2; those that cannot load the original fail in the same way."""
    tf, source = tensorflow(), corpus_root() / name
    import_keras2()  # or the loader of TF2 cannot make the optimizers of some
    report = tfbundle.halve(source, tmp_path / "half")
    assert report.graph is not None
    for run in (run_v1, run_v2):
        expected = outcome(run, tf, source)
        difference = largest_difference(expected, outcome(run, tf, tmp_path / "half"))
        assert difference <= (MOST if report.select("cast") else 0)
        failed = expected.get(("load", ""), {}).get("error")
        row = (name, run.__name__, sizes(report), f"the original fails, too: {failed}" if failed else difference)
        print("|", *row, "|", sep=" | ")


def outcome(run: Callable[[Any, Path], Answers], tf: Any, path: Path) -> Answers:
    """Return what a model answers, or what keeps it from being loaded."""
    try:
        return run(tf, path)
    except (AttributeError, KeyError, RuntimeError, ValueError, tf.errors.OpError) as error:
        return {("load", ""): {"error": type(error).__name__}}


def sizes(report: tfbundle.CastReport) -> str:
    assert report.graph is not None
    return (
        f"{report.source_nbytes:,} -> {report.target_nbytes:,} | "
        f"{report.graph.source_nbytes:,} -> {report.graph.target_nbytes:,}"
    )


@pytest.mark.parametrize("name", [name for name in SAVED_MODELS if name.startswith("synth/keras2")])
def test_keras_2_loads_and_keeps_float32(name: str, tmp_path: Path) -> None:
    needs_keras2()
    import tf_keras

    source = corpus_root() / name
    tfbundle.halve(source, tmp_path / "half")
    values = np.load(source.parent / "io.npz")
    model = tf_keras.models.load_model(str(tmp_path / "half"))
    assert {weight.dtype.name for weight in model.weights} == {"float32"}
    assert np.abs(model(values["x"]).numpy() - values["y"]).max() <= 5e-4


@pytest.mark.parametrize("name", [name for name in SAVED_MODELS if name.startswith("synth/keras3")])
def test_keras_3_export_answers_as_the_model_did(name: str, tmp_path: Path) -> None:
    tf, source = tensorflow(), corpus_root() / name
    tfbundle.halve(source, tmp_path / "half")
    values = np.load(source.parent / "io.npz")
    function = tf.saved_model.load(str(tmp_path / "half")).signatures["serving_default"]
    (key,) = function.structured_input_signature[1]
    (found,) = function(**{key: tf.constant(values["x"])}).values()
    assert np.abs(found.numpy() - values["y"]).max() <= 5e-4


@pytest.mark.parametrize("name", ["keras2_conv/sm", "keras2_lstm_gru/sm", "keras3_sm_lstm_gru/sm"])
def test_saved_model_cli(name: str, tmp_path: Path) -> None:
    source = corpus_root() / "synth" / name
    tfbundle.halve(source, tmp_path / "half")
    values = np.load(source.parent / "io.npz")
    (key,) = read_saved_model(source).meta_graphs[0].signature_def["serving_default"].inputs
    (found,) = run_cli(tmp_path / "half", {key: values["x"]}, tmp_path / "cli").values()
    assert np.abs(found - values["y"]).max() <= 5e-4


@pytest.mark.parametrize("name", [name for name in SAVED_MODELS if "keras" not in name and "tfjs" not in name])
def test_saved_model_of_tf1_without_training(name: str, tmp_path: Path) -> None:
    tf, source = tensorflow(), corpus_root() / name
    selection = Selection(keep=("*",), strip_training=True)
    try:
        report = tfbundle.halve(source, tmp_path / "exact", selection=selection)
    except UnsupportedError as error:
        assert "SavedModel of TF2" in str(error)
        return
    expected = outcome(run_v1, tf, source)
    if ("load", "") in expected:
        pytest.skip("TensorFlow does not load the original either")
    found = outcome(run_v1, tf, tmp_path / "exact")
    assert largest_difference({key: expected[key] for key in found}, found) == 0
    assert len(found) == len(expected)
    print("|", name, "stripped", sizes(report), "|", sep=" | ")


@pytest.mark.parametrize("name", METAS)
def test_meta_restores_what_is_stored(name: str, tmp_path: Path) -> None:
    source = str(corpus_root() / name).removesuffix(".meta")
    if not prefix_exists(source):
        pytest.skip("no checkpoint beside it")
    report = tfbundle.halve(source, tmp_path / "half", selection=Selection(optimizer="cast"))
    tf = tensorflow()
    with tf.Graph().as_default():
        config = tf.compat.v1.ConfigProto(device_count={"CPU": 3}, allow_soft_placement=True)
        with tf.compat.v1.Session(config=config) as session:
            saver = import_graph(tf, f"{source}.meta", f"{tmp_path / 'half'}.meta")
            saver.restore(session, str(tmp_path / "half"))
            check_values(tf, session, source)
            difference = check_logits(session, name)
            saver.save(session, str(tmp_path / "again"), write_meta_graph=False)
    print("|", name, "import_meta_graph", sizes(report), difference, "|", sep=" | ")
    before, after = tfbundle.load(tmp_path / "half"), tfbundle.load(tmp_path / "again")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key], equal_nan=before[key].dtype.kind == "f") for key in before)


def import_graph(tf: Any, source: str, target: str) -> Any:
    """Return the saver of the converted graph; a graph that TensorFlow no longer imports is none the worse."""
    with tf.Graph().as_default():
        try:
            tf.compat.v1.train.import_meta_graph(source)
        except ValueError as error:
            with pytest.raises(type(error)):
                tf.compat.v1.train.import_meta_graph(target)
            pytest.skip(f"TensorFlow does not import the original either: {error}")
    return tf.compat.v1.train.import_meta_graph(target)


def prefix_exists(prefix: str) -> bool:
    folder, base = os.path.split(prefix)
    return any(name in (base, f"{base}.index") or name.startswith(f"{base}-0") for name in os.listdir(folder))


def check_values(tf: Any, session: Any, source: str) -> None:
    """Compare the variables with what was stored, rounded as float16."""
    stored = tfbundle.load(source)
    for variable in tf.compat.v1.global_variables():
        if variable.op.name in stored and variable.dtype.base_dtype == tf.float32:
            value = stored[variable.op.name]
            with np.errstate(over="ignore"):
                assert np.array_equal(session.run(variable), value.astype(np.float16).astype(np.float32))


def check_logits(session: Any, name: str) -> float:
    """Compare what a network answers with what it answered when it was saved; return the largest difference."""
    for start, (feed, given, fetch, wanted) in LOGITS.items():
        values = corpus_root() / os.path.dirname(name) / "io.npz"
        is_last = not name.endswith(("-10.meta", "-20.meta")) or not list(values.parent.glob("*-30.meta"))
        if name.startswith(start) and values.exists() and is_last:
            found = np.load(values)
            difference = np.abs(session.run(fetch, {feed: found[given]}) - found[wanted]).max()
            assert difference <= 1e-3 * np.abs(found[wanted]).max()
            return float(difference)
    return 0.0


def test_every_kind_is_there() -> None:
    corpus_root()
    assert len(SAVED_MODELS) > 20
    assert len(METAS) > 15
