"""A ``.meta`` file rewritten beside its halved checkpoint: TensorFlow imports, restores, runs, trains and saves it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.networks import Restored, save_conv_net
from tests.support.requirements import tensorflow, tensorflow_module
from tfbundle.choosing.select import Selection

KINDS = ("ref", "resource", "partitioned")
Saved = Callable[..., tuple[Path, Any]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Return a function that saves a network once, and says where and what it answers."""
    tf = tensorflow()
    found: dict[str, tuple[Path, Any]] = {}

    def save(kind: str, **options: Any) -> tuple[Path, Any]:
        key = repr((kind, sorted(options.items())))
        if key not in found:
            prefix = tmp_path_factory.mktemp("net") / "model"
            found[key] = prefix, save_conv_net(tf, prefix, kind, **options)
        return found[key]

    return save


def size(prefix: Path) -> int:
    return sum(path.stat().st_size for path in prefix.parent.glob(f"{prefix.name}.[id]*"))


def data_size(prefix: Path) -> int:
    return sum(path.stat().st_size for path in prefix.parent.glob(f"{prefix.name}.data-*"))


def read_meta(prefix: Path) -> Any:
    message = tensorflow_module("core.protobuf.meta_graph_pb2").MetaGraphDef()
    message.ParseFromString(Path(f"{prefix}.meta").read_bytes())
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_restores_and_answers_the_same(kind: str, saved: Saved, tmp_path: Path) -> None:
    source, expected = saved(kind)
    target = tmp_path / "half"
    report = tfbundle.halve(source, target)
    restored = Restored(tensorflow(), target)
    logits = restored.logits()
    assert np.abs(logits - expected).max() <= 1e-3
    assert (logits.argmax(1) == expected.argmax(1)).all()
    assert {variable.dtype.base_dtype.name for variable in restored.variables} == {"float32"}
    assert size(target) <= 0.502 * size(source)
    assert report.graph is not None
    assert report.graph.target_nbytes == Path(f"{target}.meta").stat().st_size <= 1.1 * report.graph.source_nbytes
    assert report.graph.source_nbytes == Path(f"{source}.meta").stat().st_size


@pytest.mark.parametrize("kind", KINDS)
def test_saves_float16_again(kind: str, saved: Saved, tmp_path: Path) -> None:
    source, _ = saved(kind)
    tfbundle.halve(source, tmp_path / "half")
    restored = Restored(tensorflow(), tmp_path / "half")
    restored.save(tmp_path / "again")
    before, after = tfbundle.load(tmp_path / "half"), tfbundle.load(tmp_path / "again")
    assert {name: value.dtype for name, value in after.items()} == {name: value.dtype for name, value in before.items()}
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on(kind: str, saved: Saved, tmp_path: Path) -> None:
    source, _ = saved(kind, adam=True, steps=5)
    expected = Restored(tensorflow(), source).train(5)
    report = tfbundle.halve(source, tmp_path / "half")
    found = Restored(tensorflow(), tmp_path / "half").train(5)
    assert np.allclose(found, expected, rtol=0.01)
    assert any("optimizer state stays float32" in note for note in report.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_cast_restores_too(kind: str, saved: Saved, tmp_path: Path) -> None:
    source, _ = saved(kind, adam=True, steps=5)
    report = tfbundle.halve(source, tmp_path / "half", selection=Selection(optimizer="cast"))
    assert any("training that goes on from them goes wrong" in note for note in report.notes)
    assert (
        np.abs(Restored(tensorflow(), tmp_path / "half").logits() - Restored(tensorflow(), source).logits()).max()
        < 1e-2
    )


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_state_is_not_restored(kind: str, saved: Saved, tmp_path: Path) -> None:
    source, _ = saved(kind, adam=True, steps=5)
    tfbundle.halve(source, tmp_path / "half", selection=Selection(optimizer="drop"))
    restored = Restored(tensorflow(), tmp_path / "half", initialize=True)
    assert np.abs(restored.logits() - Restored(tensorflow(), source).logits()).max() < 1e-2
    assert np.isfinite(restored.train(2)).all()
    restored.save(tmp_path / "again")
    assert set(tfbundle.load(tmp_path / "again")) == set(tfbundle.load(tmp_path / "half"))


def test_kept_tensors_stay_float32_in_both(saved: Saved, tmp_path: Path) -> None:
    source, expected = saved("partitioned")
    tfbundle.halve(source, tmp_path / "half", selection=Selection(keep=("conv*/weights", "*/biases")))
    found = {name: value.dtype.name for name, value in tfbundle.load(tmp_path / "half").items()}
    assert found["conv1/weights"] == found["logits/biases"] == "float32"
    assert found["dense/weights"] == found["logits/weights"] == "float16"
    assert np.abs(Restored(tensorflow(), tmp_path / "half").logits() - expected).max() <= 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_all_savers_of_a_graph(kind: str, tmp_path: Path) -> None:
    tf = tensorflow()
    with tf.Graph().as_default():
        logits = save_with_two_savers(tf, tmp_path / "model", kind)
    tfbundle.halve(tmp_path / "model", tmp_path / "half")
    half = Restored(tf, tmp_path / "half")
    assert np.abs(half.logits() - logits).max() <= 1e-3
    half.session.run("save_1/restore_all", {"save_1/Const:0": str(tmp_path / "half")})
    assert np.abs(half.logits() - logits).max() <= 1e-3


def save_with_two_savers(tf: Any, prefix: Path, kind: str) -> Any:
    from tests.support.networks import conv_net, images

    with tf.compat.v1.Session() as session:
        logits = conv_net(tf, kind)
        savers = [tf.compat.v1.train.Saver() for _ in range(2)]
        session.run(tf.compat.v1.global_variables_initializer())
        savers[0].save(session, str(prefix))
        return session.run(logits, {"image:0": images()})


def test_sharded_saver(saved: Saved, tmp_path: Path) -> None:
    source, expected = saved("ref", sharded=True)
    tfbundle.halve(source, tmp_path / "half")
    restored = Restored(tensorflow(), tmp_path / "half")
    assert np.abs(restored.logits() - expected).max() <= 1e-3
    restored.save(tmp_path / "again")
    assert tfbundle.load(tmp_path / "again")["dense/weights"].dtype == np.float16


def test_another_checkpoint_that_the_graph_reads_stays_as_it_is(tmp_path: Path) -> None:
    tf = tensorflow()
    tfbundle.save(tmp_path / "start", {"w": np.arange(4, dtype=np.float32)})
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("w", (4,), use_resource=False)
        values = tf.raw_ops.RestoreV2(
            prefix=str(tmp_path / "start"), tensor_names=["w"], shape_and_slices=[""], dtypes=[tf.float32]
        )
        tf.compat.v1.assign(variable, values[0], name="warm_start")
        session.run(variable.initializer)
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model"))
    tfbundle.halve(tmp_path / "model", tmp_path / "half")
    restored = Restored(tf, tmp_path / "half")
    restored.session.run("warm_start")
    assert restored.session.run("w:0").tolist() == [0, 1, 2, 3]


def test_nothing_selected_leaves_the_graph_as_it_was(saved: Saved, tmp_path: Path) -> None:
    source, _ = saved("ref")
    tfbundle.halve(source, tmp_path / "same", selection=Selection(keep=("*",)))
    assert read_meta(tmp_path / "same") == read_meta(source)


def test_converting_again_changes_nothing(saved: Saved, tmp_path: Path) -> None:
    source, _ = saved("ref")
    tfbundle.halve(source, tmp_path / "half")
    report = tfbundle.halve(tmp_path / "half", tmp_path / "quarter")
    assert not report.select("cast")
    assert read_meta(tmp_path / "quarter") == read_meta(tmp_path / "half")


@pytest.mark.parametrize("kind", KINDS)
def test_stripped_of_training(kind: str, saved: Saved, tmp_path: Path) -> None:
    source, _ = saved(kind, adam=True, steps=5)
    expected = Restored(tensorflow(), source).logits()
    stripping = Selection(strip_training=True, outputs=("logits/out",))
    exact = Selection(keep=("*",), strip_training=True, outputs=("logits/out:0",))
    report = tfbundle.halve(source, tmp_path / "exact", selection=exact)
    restored = Restored(tensorflow(), tmp_path / "exact")
    assert np.array_equal(restored.logits(), expected)
    assert data_size(tmp_path / "exact") <= data_size(source) / 3
    assert report.graph is not None
    assert report.graph.num_removed > 100
    assert not [node for node in read_meta(tmp_path / "exact").graph_def.node if "Adam" in node.name]
    restored.save(tmp_path / "again")
    assert tfbundle.diff(tmp_path / "exact", tmp_path / "again").equal
    with restored.graph.as_default():
        restored.session.run(restored.tf.compat.v1.global_variables_initializer())
    tfbundle.halve(source, tmp_path / "half", selection=stripping)
    assert np.abs(Restored(tensorflow(), tmp_path / "half").logits() - expected).max() <= 1e-2
    assert data_size(tmp_path / "half") <= data_size(source) / 6


def test_stripping_needs_outputs_that_are_there(saved: Saved, tmp_path: Path) -> None:
    source, _ = saved("ref", adam=True, steps=5)
    for outputs in ((), ("nowhere",), ("logits/out", "nowhere")):
        with pytest.raises(ValueError, match="--outputs"):
            tfbundle.halve(source, tmp_path / "half", selection=Selection(strip_training=True, outputs=outputs))
    with pytest.raises(ValueError, match="give both"):
        Selection(outputs=("logits/out",))
    assert os.listdir(tmp_path) == []
