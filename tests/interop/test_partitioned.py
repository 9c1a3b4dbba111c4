"""Partitioned variables: which float16 graphs restore what ``halve`` makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.corpus import Item, v2_items
from tests.support.requirements import corpus_root, tensorflow
from tfbundle import CastPolicy, Layout, Selection, halve
from tfbundle.format.slices import format_slice

SHAPE = (7, 6)


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def build(tf: Any, dtype: Any, shards: int, axis: int) -> tuple[Any, Any]:
    """A graph with one variable, partitioned if there is more than one shard, and its value."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        partitioner = v1.fixed_size_partitioner(shards, axis) if shards > 1 else None
        variable = v1.get_variable("net/w", SHAPE, dtype, v1.random_normal_initializer(seed=7), partitioner=partitioner)
        v1.get_variable("net/b", (3,), dtype, v1.ones_initializer())
    return graph, variable


def save(tf: Any, prefix: Path, shards: int, axis: int, *, sharded: bool = False) -> np.ndarray[Any, Any]:
    """Save a float32 graph and return the variable's value."""
    graph, variable = build(tf, tf.float32, shards, axis)
    with tf.compat.v1.Session(graph=graph) as session:
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(sharded=sharded)
        saver.save(session, str(prefix), write_meta_graph=False)
        value: np.ndarray[Any, Any] = session.run(tf.convert_to_tensor(variable))
        return value


def restore(tf: Any, prefix: Path, shards: int, axis: int) -> np.ndarray[Any, Any]:
    """Restore a float16 graph and return the variable's value."""
    graph, variable = build(tf, tf.float16, shards, axis)
    with tf.compat.v1.Session(graph=graph) as session:
        tf.compat.v1.train.Saver().restore(session, str(prefix))
        value: np.ndarray[Any, Any] = session.run(tf.convert_to_tensor(variable))
        return value


@pytest.mark.parametrize(("shards", "axis"), [(3, 0), (7, 0), (2, 1), (6, 1)])
def test_graphs(tf: Any, tmp_path: Path, shards: int, axis: int) -> None:
    value = save(tf, tmp_path / "m", shards, axis)
    expected = tf.cast(value, tf.float16).numpy()
    joined = halve(tmp_path / "m", tmp_path / "joined")
    kept = halve(tmp_path / "m", tmp_path / "kept", layout=Layout("keep"))
    assert np.array_equal(restore(tf, tmp_path / "joined", 1, 0), expected)
    assert np.array_equal(tf.train.load_checkpoint(str(tmp_path / "joined")).get_tensor("net/w"), expected)
    assert np.array_equal(restore(tf, tmp_path / "kept", shards, axis), expected)
    assert np.array_equal(tfbundle.load(tmp_path / "kept")["net/w"], expected)
    assert any("without partitions restores it" in note for note in joined.notes)
    assert any("with the same partitions restores it" in note for note in kept.notes)


def test_what_the_summary_warns_of(tf: Any, tmp_path: Path) -> None:
    """TensorFlow neither joins float16 slices nor cuts them."""
    save(tf, tmp_path / "m", 3, 0)
    halve(tmp_path / "m", tmp_path / "joined")
    halve(tmp_path / "m", tmp_path / "kept", layout=Layout("keep"))
    for prefix, shards in (("joined", 3), ("kept", 1)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="half not supported"):
            restore(tf, tmp_path / prefix, shards, 0)


def test_partitions_across_data_files(tf: Any, tmp_path: Path) -> None:
    value = save(tf, tmp_path / "m", 4, 0)
    halve(tmp_path / "m", tmp_path / "spread", selection=Selection(keep=("*",)), layout=Layout("keep", shards=3))
    with tfbundle.open(tmp_path / "spread") as bundle:
        rows = bundle.index.slice_rows(b"net/w")
        assert len({bundle.index[key].shard_id for key, _ in rows}) > 1
    assert np.array_equal(tf.train.load_checkpoint(str(tmp_path / "spread")).get_tensor("net/w"), value)
    halve(tmp_path / "spread", tmp_path / "joined")
    assert np.array_equal(restore(tf, tmp_path / "joined", 1, 0), tf.cast(value, tf.float16).numpy())


def test_checkpoint_that_was_cut_by_size(tf: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(4).normal(size=(50, 8)).astype(np.float32)
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=500)
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    path = tf.train.Checkpoint(w=tf.Variable(values)).save(str(tmp_path / "m"), options=options)
    with tfbundle.open(path) as bundle:
        (info,) = [info for info in bundle.entries.values() if info.dtype == "float32"]
        assert len(info.slices) > 1
        assert np.array_equal(bundle[info.name], values)
    halve(path, tmp_path / "half")
    restored = tf.Variable(tf.zeros((50, 8), tf.float16))
    tf.train.Checkpoint(w=restored).restore(str(tmp_path / "half")).assert_consumed()
    assert np.array_equal(restored.numpy(), tf.cast(values, tf.float16).numpy())


@pytest.mark.parametrize("name", ["rows", "cols", "grid"])
def test_corpus_items(tf: Any, tmp_path: Path, name: str) -> None:
    item = corpus_root() / "synth" / "raw_slices_v2"
    full = np.load(item / "io.npz")["full"]
    assert np.array_equal(tfbundle.load(item / f"only_{name}")[name], full)
    halve(item / f"only_{name}", tmp_path / "h")
    found = tf.train.load_checkpoint(str(tmp_path / "h")).get_tensor(name)
    assert np.array_equal(found, tf.cast(full, tf.float16).numpy())


def test_slices_that_tensorflow_cannot_join(tf: Any) -> None:
    item = corpus_root() / "synth" / "raw_slices_v2"
    with tfbundle.open(item / "only_half3d") as bundle:
        for extents in bundle.entries["half3d"].slices:
            where = tuple(slice(start, None if size < 0 else start + size) for start, size in extents)
            (part,) = tf.raw_ops.RestoreV2(
                prefix=str(item / "only_half3d"),
                tensor_names=["half3d"],
                shape_and_slices=["2 3 4 " + format_slice(extents)],
                dtypes=[tf.float16],
            )
            assert np.array_equal(bundle["half3d"][where], part.numpy())
    assert tfbundle.load(item / "only_str_slices")["str_slices"].tolist() == [b"aa", b"b", b"cccc"]


def test_gap_matters_only_where_it_is_read(tmp_path: Path) -> None:
    item = corpus_root() / "synth" / "raw_slices_v2"
    full = np.load(item / "io.npz")["full"]
    with tfbundle.open(item / "only_one_row_only") as bundle:
        assert np.array_equal(bundle.read("one_row_only", 4), full[4])
        with pytest.raises(tfbundle.FormatError, match="Does not have sufficient slices"):
            bundle.read("one_row_only", np.s_[3:5])
    with pytest.raises(tfbundle.FormatError, match="--slices keep would convert it as it is"):
        halve(item / "only_one_row_only", tmp_path / "h")
    halve(item / "only_one_row_only", tmp_path / "h", layout=Layout("keep"))
    with tfbundle.open(tmp_path / "h") as bundle:
        assert np.array_equal(bundle.read("one_row_only", 4), full[4].astype(np.float16))


def sliced_items() -> list[Item]:
    """Every V2 checkpoint of the corpus that has slices, but for those with a gap."""
    gaps = ("raw_slices_v2:all", "raw_slices_v2:only_one_row_only")
    return [item for item in v2_items() if item.table["slice_entries"] and item.label not in gaps]


def test_corpus_has_sliced_checkpoints() -> None:
    corpus_root()
    assert len(sliced_items()) >= 10


@pytest.mark.parametrize("item", sliced_items(), ids=lambda item: item.label)
def test_every_sliced_checkpoint_of_the_corpus(tf: Any, item: Item, tmp_path: Path) -> None:
    alone = Layout(graph="leave")
    policy = CastPolicy(on_overflow="inf")
    halve(item.prefix, tmp_path / "h", selection=Selection(optimizer="cast"), policy=policy, layout=alone)
    reader = tf.train.load_checkpoint(str(tmp_path / "h"))
    with tfbundle.open(item.prefix) as before, tfbundle.open(tmp_path / "h") as after:
        for name, info in before.entries.items():
            original = expected = before[name]
            if info.dtype == "float32":
                expected = tf.cast(original, tf.float16).numpy()
                assert np.array_equal(reader.get_tensor(name), expected), name
            elif not info.slices:
                assert after.payload(name) == before.payload(name), name
            assert np.array_equal(after[name], expected), name
