"""A frozen graph whose constants are float16 in the file: TensorFlow imports it, and it answers the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.networks import conv_net, images
from tests.support.requirements import corpus_root, tensorflow, tensorflow_module
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.select import Selection
from tfbundle.errors import BundleExistsError, CastError, UnsupportedError
from tfbundle.streaming.run import RunOptions

CORPUS = "synth/v1graph_convbn_infer_and_train"


def freeze(tf: Any, path: Path, kind: str) -> Any:
    """Write a frozen network; return its logits."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(3)
        logits = conv_net(tf, kind)
        session.run(tf.compat.v1.global_variables_initializer())
        frozen = tf.compat.v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["logits/out"])
        path.write_bytes(frozen.SerializeToString())
        return session.run(logits, {"image:0": images()})


def read(path: Path) -> Any:
    message = tensorflow_module("core.framework.graph_pb2").GraphDef()
    message.ParseFromString(path.read_bytes())
    return message


def run(tf: Any, path: Path, feeds: dict[str, Any], fetch: str) -> Any:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(read(path), name="")
        return session.run(fetch, feeds)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["ref", "resource", "partitioned"])
def test_answers_the_same_at_half_the_size(kind: str, tmp_path: Path) -> None:
    tf = tensorflow()
    source, target = tmp_path / "net.pb", tmp_path / "half.pb"
    expected = freeze(tf, source, kind)
    report = tfbundle.halve(source, target)
    logits = run(tf, target, {"image:0": images()}, "logits/out:0")
    assert logits.dtype == np.float32
    assert np.abs(logits - expected).max() <= 1e-3
    assert (logits.argmax(1) == expected.argmax(1)).all()
    assert os.path.getsize(target) <= 0.508 * os.path.getsize(source)
    assert report.graph is not None
    assert report.graph.target_nbytes == os.path.getsize(target)
    names = [node.name for node in read(target).node]
    assert {node.name for node in read(source).node} <= set(names)
    assert all(names.index(node.input[0]) < at for at, node in enumerate(read(target).node) if node.op == "Cast")


def test_graph_of_the_corpus(tmp_path: Path) -> None:
    values = np.load(corpus_root() / CORPUS / "io.npz")
    tfbundle.halve(corpus_root() / CORPUS / "frozen.pb", tmp_path / "half.pb")
    found = run(tensorflow(), tmp_path / "half.pb", {"image:0": values["image"]}, "probs:0")
    assert np.abs(found - values["probs"]).max() <= 1e-4


def constants_graph(tf: Any, path: Path, **values: Any) -> None:
    """Write a graph whose output ``name_out`` is a constant, for each, and one with a constant within a function."""
    with tf.Graph().as_default() as graph:
        for name, value in values.items():
            shape = (100, 100) if np.isscalar(value) else None  # then the file has one value
            tf.identity(tf.constant(value, tf.float32, shape, name), name=f"{name}_out")
        path.write_bytes(graph.as_graph_def().SerializeToString())


def test_constants_that_float16_would_ruin_stay(tmp_path: Path) -> None:
    tf, source, target = tensorflow(), tmp_path / "g.pb", tmp_path / "half.pb"
    numbers = np.linspace(1, 2, 100)
    tiny = np.where(np.arange(100) < 5, 1e-7, numbers)
    constants_graph(tf, source, good=numbers, tiny=tiny, small=numbers[:63], same=1.0)
    report = tfbundle.halve(source, target)
    assert {tensor.name: tensor.reason for tensor in report.select("keep")} == {
        "small": "fewer than 64 values",
        "tiny": "more than 1 % would be subnormal or zero",
    }
    assert [tensor.name for tensor in report.select("cast")] == ["good"]
    assert np.array_equal(run(tf, target, {}, "tiny_out:0"), tiny.astype(np.float32))
    assert np.array_equal(run(tf, target, {}, "good_out:0"), numbers.astype(np.float16).astype(np.float32))
    assert run(tf, target, {}, "same_out:0").shape == (100, 100)
    tfbundle.halve(source, tmp_path / "all.pb", policy=CastPolicy(rules=(("*", "float16"),)))
    assert np.array_equal(run(tf, tmp_path / "all.pb", {}, "tiny_out:0"), tiny.astype(np.float16).astype(np.float32))


def test_overflow_is_refused_clamped_or_kept(tmp_path: Path) -> None:
    tf, source, target = tensorflow(), tmp_path / "g.pb", tmp_path / "half.pb"
    values = np.linspace(1, 1e5, 100)
    constants_graph(tf, source, huge=values)
    with pytest.raises(CastError, match=r"tensor huge: 35 values overflow float16, largest magnitude 100000"):
        tfbundle.halve(source, target)
    assert not target.exists()
    tfbundle.halve(source, target, policy=CastPolicy(on_overflow="clamp"))
    assert run(tf, target, {}, "huge_out:0").max() == 65504
    report = tfbundle.halve(source, tmp_path / "kept.pb", policy=CastPolicy(on_overflow="keep"))
    assert report.count_reasons("keep") == {"would overflow": 1}
    assert (tmp_path / "kept.pb").read_bytes() == source.read_bytes()


def test_constants_within_functions(tmp_path: Path) -> None:
    tf, source, target = tensorflow(), tmp_path / "g.pb", tmp_path / "half.pb"
    numbers = np.linspace(1, 2, 100).astype(np.float32)

    def double(value: Any) -> Any:
        return tf.constant(numbers, name="inner") * value, tf.constant(numbers[::-1], name="result")

    with tf.Graph().as_default() as graph:
        first, second = tf.function(double)(tf.constant(numbers, name="outer"))
        tf.add(first, second, name="out")
        source.write_bytes(graph.as_graph_def().SerializeToString())
    report = tfbundle.halve(source, target)
    assert len(report.select("cast")) == 3
    rounded = numbers.astype(np.float16).astype(np.float32)
    assert np.array_equal(run(tf, target, {}, "out:0"), rounded * rounded + rounded[::-1])
    again = tfbundle.halve(target, tmp_path / "again.pb")
    assert not again.select("cast")
    assert (tmp_path / "again.pb").read_bytes() == target.read_bytes()


def test_keep_and_target(tmp_path: Path) -> None:
    tf, source = tensorflow(), tmp_path / "g.pb"
    constants_graph(tf, source, a=np.linspace(1, 2, 100), b=np.linspace(1, 2, 100))
    report = tfbundle.halve(source, f"{tmp_path / 'half'}/", selection=Selection(keep=("b",)))
    assert [tensor.name for tensor in report.select("cast")] == ["a"]
    with pytest.raises(BundleExistsError, match="--force"):
        tfbundle.halve(source, f"{tmp_path / 'half'}/")
    tfbundle.halve(source, tmp_path / "half" / "g.pb", options=RunOptions(if_exists="replace"))
    with pytest.raises(BundleExistsError, match="is the source"):
        tfbundle.halve(source, source, options=RunOptions(if_exists="replace"))
    with pytest.raises(ValueError, match="none can be left out"):
        tfbundle.halve(source, tmp_path / "other.pb", selection=Selection(drop=("b",)))
    (tmp_path / "no.pb").write_bytes(b"")
    with pytest.raises(UnsupportedError, match="no graph"):
        tfbundle.halve(tmp_path / "no.pb", tmp_path / "other.pb")
    before = sorted(os.listdir(tmp_path))
    dry = tfbundle.halve(source, tmp_path / "dry.pb", options=RunOptions(dry_run=True))
    assert dry.graph is not None
    assert dry.graph.target_nbytes < dry.graph.source_nbytes
    assert sorted(os.listdir(tmp_path)) == before
