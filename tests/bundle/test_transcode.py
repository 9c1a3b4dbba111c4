from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tfbundle
from tests.support.handmade import all_below, flip
from tests.support.requirements import corpus_root, tensorflow
from tfbundle import BundleExistsError, CastError, ChecksumError, Layout, RunOptions, Selection, halve
from tfbundle.bundle.transcode import copy_tensors, pack_index, readable_bundle

Tensors = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return {
        "w": np.arange(12, dtype=np.float32).reshape(4, 3),
        "step": np.array(7, np.int64),
        "text": np.array([b"ab", b"", b"long" * 100], object),
        "cut": np.arange(20, dtype=np.float32).reshape(5, 4),
        "empty": np.zeros((0, 3), np.float32),
        "z": np.array([1 + 2j], np.complex64),
    }


@pytest.fixture(scope="module")
def v1(tf: Any, tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A V1 checkpoint in which ``cut`` has two slices."""
    path = str(tmp_path_factory.mktemp("v1") / "model")
    plain = {name: value for name, value in tensors.items() if name != "cut"}
    cut = tensors["cut"]
    tf.raw_ops.SaveSlices(
        filename=path,
        tensor_names=[*plain, "cut", "cut"],
        shapes_and_slices=[*("" for _ in plain), "5 4 0,3:-", "5 4 3,2:-"],
        data=[*plain.values(), cut[:3], cut[3:]],
    )
    return path


def check(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.shape == expected.shape
    assert found.tolist() == expected.tolist()


def test_copy_has_the_form_of_a_bundle(tf: Any, v1: str, tensors: Tensors, tmp_path: Path) -> None:
    target = str(tmp_path / "out" / "m")
    with tfbundle.open(v1) as bundle, readable_bundle(bundle, target) as copy:
        assert not copy.is_v1
        assert copy.prefix.startswith(target)
        assert copy.prefix != target
        for name, expected in tensors.items():
            check(copy[name], expected)
            assert copy.entries[name].dtype == bundle.entries[name].dtype
        assert copy.entries["cut"].slices == (((0, 3), (0, -1)), ((3, 2), (0, -1)))
        reader = tf.train.load_checkpoint(copy.prefix)
        for name, expected in tensors.items():
            check(np.asarray(reader.get_tensor(name)), expected)
    assert all_below(tmp_path) == []


def test_bundle_is_its_own_copy(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w": np.float32(1)})
    before = all_below(tmp_path)
    with tfbundle.open(tmp_path / "m") as bundle, readable_bundle(bundle, str(tmp_path / "t")) as copy:
        assert copy is bundle
        assert all_below(tmp_path) == before


def test_copy_for_a_target_elsewhere_is_here(v1: str, tensors: Tensors, tmp_path: Path) -> None:
    target = f"memory://{tmp_path.name}/m"
    with tfbundle.open(v1) as bundle, readable_bundle(bundle, target) as copy:
        assert not copy.is_v1
        assert os.path.isabs(copy.prefix)
        for name, expected in tensors.items():
            check(copy[name], expected)
    assert not os.path.exists(os.path.dirname(copy.prefix))


def test_copy_goes_when_the_block_fails(v1: str, tmp_path: Path) -> None:
    with pytest.raises(KeyError), tfbundle.open(v1) as bundle, readable_bundle(bundle, str(tmp_path / "m")):
        assert len(all_below(tmp_path)) == 2
        raise KeyError
    assert all_below(tmp_path) == []


def test_sizes_are_known_without_a_copy(v1: str) -> None:
    """Those of strings excepted: their number is the least that their lengths take."""
    with tfbundle.open(v1) as bundle:
        index, (nbytes,) = pack_index(bundle.index)
    sizes = {key: entry.size for key, entry in index.items() if not entry.slices}
    assert sorted(sizes.values()) == sorted([48, 8, 3, 48, 32, 0, 8])
    assert nbytes == sum(sizes.values())
    assert list(index) == sorted(index)
    spans = sorted((entry.offset, entry.size) for entry in index.values() if not entry.slices)
    assert [offset for offset, _ in spans] == [sum(size for _, size in spans[:count]) for count in range(len(spans))]


def test_dry_run_foretells_the_run(v1: str, tensors: Tensors, tmp_path: Path) -> None:
    selection = Selection(drop=("text",))  # whose bytes only a copy would tell
    dry = halve(v1, tmp_path / "m", selection=selection, options=RunOptions(dry_run=True))
    assert all_below(tmp_path) == []
    wet = halve(v1, tmp_path / "m", selection=selection)
    assert (dry.source_nbytes, dry.target_nbytes) == (48 + 8 + 80 + 8 + 3, 24 + 8 + 40 + 8)
    assert dry.target_nbytes == wet.target_nbytes
    for before, after in zip(dry.tensors, wet.tensors, strict=True):
        assert (before.name, before.action, before.target_nbytes) == (after.name, after.action, after.target_nbytes)


@pytest.mark.parametrize("layout", [Layout(), Layout("keep"), Layout(shards=3), Layout(max_shard_nbytes=50)])
def test_tensorflow_reads_the_halved(tf: Any, v1: str, tensors: Tensors, tmp_path: Path, layout: Layout) -> None:
    halve(v1, tmp_path / "m", layout=layout)
    reader = tf.train.load_checkpoint(str(tmp_path / "m"))
    for name, expected in tensors.items():
        if name == "cut" and layout.slices == "keep":  # TensorFlow does not join float16
            check(tfbundle.load(tmp_path / "m")[name], tf.cast(expected, tf.float16).numpy())
            continue
        half = tf.cast(expected, tf.float16).numpy() if expected.dtype == np.float32 else expected
        check(np.asarray(reader.get_tensor(name)), half)
    leftovers = [name for name in all_below(tmp_path) if ".tmp" in name]
    assert leftovers == []


def test_failure_leaves_nothing(tf: Any, tmp_path: Path) -> None:
    tf.raw_ops.Save(filename=str(tmp_path / "v1"), tensor_names=["w"], data=[np.array([1e6], np.float32)])
    with pytest.raises(CastError):
        halve(tmp_path / "v1", tmp_path / "out" / "m")
    assert [name for name in all_below(tmp_path) if "." in name] == []


def test_damaged_source_leaves_nothing(tf: Any, tmp_path: Path) -> None:
    big = np.zeros(70_000, np.float32)
    tf.raw_ops.Save(filename=str(tmp_path / "v1"), tensor_names=["a", "b"], data=[big, big])
    flip(tmp_path / "v1", 400_000)
    with pytest.raises(ChecksumError, match="block checksum mismatch"):
        halve(tmp_path / "v1", tmp_path / "out" / "m")
    assert [name for name in all_below(tmp_path) if "." in name] == []


def test_target_that_exists_is_refused_before_anything_is_copied(v1: str, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w": np.float32(1)})
    before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.iterdir()]}
    with pytest.raises(BundleExistsError, match="exists already"):
        halve(v1, tmp_path / "m")
    assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.iterdir()]} == before


def test_copying_every_tensor_of_the_corpus(tmp_path: Path) -> None:
    """Also 64 k values in one row, six dimensions, and slices of a slice."""
    item = corpus_root() / "synth" / "raw_v1_save_and_saveslices"
    full = np.load(item / "io.npz")["full"]
    with tfbundle.open(item / "saveslices.v1") as bundle, tfbundle.create(tmp_path / "m") as writer:
        copy_tensors(bundle, writer)
        names = list(bundle)
    found = tfbundle.load(tmp_path / "m")
    assert list(found) == names
    assert np.array_equal(found["grid"], full)
    assert np.array_equal(found["rows"], full)
    assert tfbundle.verify(tmp_path / "m").ok


def test_refused_cast_leaves_no_directory(tf: Any, tmp_path: Path) -> None:
    tf.raw_ops.Save(filename=str(tmp_path / "v1"), tensor_names=["w"], data=[np.array([1e6], np.float32)])
    with pytest.raises(CastError):
        halve(tmp_path / "v1", tmp_path / "new" / "deep" / "h")
    assert all_below(tmp_path) == ["v1"]
