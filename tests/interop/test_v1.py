"""V1 checkpoints become bundles that TensorFlow restores with the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.corpus import Item, v1_items
from tests.support.requirements import corpus_root, tensorflow
from tfbundle import CastPolicy, FormatError, Layout, RunOptions, Selection, UnsupportedError, halve


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def test_corpus_has_v1_checkpoints() -> None:
    corpus_root()
    assert len(v1_items()) >= 20


@pytest.mark.parametrize("item", v1_items(), ids=lambda item: item.label)
def test_halved(tf: Any, item: Item, tmp_path: Path) -> None:
    report = halve(
        item.prefix,
        tmp_path / "h",
        selection=Selection(optimizer="cast"),
        policy=CastPolicy(on_overflow="inf"),
        layout=Layout(graph="leave"),
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "h.data-00000-of-00001", "h.index"]
    assert {tensor.name for tensor in report.tensors} == item.tensors.keys()
    reader = tf.train.load_checkpoint(str(tmp_path / "h"))
    for name, original in tfbundle.load(item.prefix).items():
        found = np.asarray(reader.get_tensor(name), object if original.dtype == object else None)
        if original.dtype == np.float32:
            expected = tf.cast(original, tf.float16).numpy()
            assert found.view(np.uint16).tolist() == expected.view(np.uint16).tolist(), name
        elif original.dtype == object:
            assert found.tolist() == original.tolist(), name
        else:
            assert found.tobytes() == original.tobytes(), name


@pytest.mark.parametrize("item", v1_items(), ids=lambda item: item.label)
def test_verify_and_dry_run(item: Item, tmp_path: Path) -> None:
    assert tfbundle.verify(item.prefix).ok
    report = halve(item.prefix, tmp_path / "h", selection=Selection(optimizer="cast"), options=RunOptions(dry_run=True))
    assert list(tmp_path.iterdir()) == []
    half = {"float32": "float16"}
    assert {tensor.name: tensor.target_dtype for tensor in report.tensors} == {
        name: half.get(tensor.dtype, tensor.dtype) for name, tensor in item.tensors.items()
    }


def test_partitions_may_stay(tmp_path: Path) -> None:
    item = next(item for item in v1_items() if "partitioned" in item.label) if v1_items() else None
    if item is None:
        corpus_root()
        return
    halve(item.prefix, tmp_path / "joined")
    halve(item.prefix, tmp_path / "kept", layout=Layout("keep"))
    with tfbundle.open(item.prefix) as v1, tfbundle.open(tmp_path / "kept") as kept:
        partitioned = {name for name, info in v1.entries.items() if info.slices}
        assert partitioned
        assert {name for name, info in kept.entries.items() if info.slices} == partitioned
        for name in partitioned:
            part = np.s_[1:3]
            assert np.array_equal(v1.read(name, part), v1[name][part])
    joined, kept_values = tfbundle.load(tmp_path / "joined"), tfbundle.load(tmp_path / "kept")
    assert all(np.array_equal(joined[name], kept_values[name]) for name in joined)


def write_v1(tf: Any, path: Path, **tensors: Any) -> str:
    tf.raw_ops.Save(filename=str(path), tensor_names=list(tensors), data=list(tensors.values()))
    return str(path)


def test_values_that_only_varints_show(tf: Any, tmp_path: Path) -> None:
    numbers = np.array([0, 1, -1, 127, -128, 2**31 - 1, -(2**31)], np.int32)
    wide = np.array([2**63 - 1, -(2**63), -1, 300], np.int64)
    prefix = write_v1(tf, tmp_path / "v1", numbers=numbers, wide=wide, half=np.array([-2.0, 1.5], np.float16))
    found = tfbundle.load(prefix)
    assert found["numbers"].tolist() == numbers.tolist()
    assert found["wide"].tolist() == wide.tolist()
    assert found["half"].tolist() == [-2.0, 1.5]


def test_every_flipped_byte_is_an_error_or_harmless(tf: Any, tmp_path: Path) -> None:
    prefix = write_v1(tf, tmp_path / "v1", a=np.arange(1, 4, dtype=np.float32), s=np.array([b"ab", b"c"]))
    original = Path(prefix).read_bytes()
    expected = {name: value.tolist() for name, value in tfbundle.load(prefix).items()}
    harmless = 0
    for position in range(len(original)):
        for mask in (0xFF, 1, 0x80):
            damaged = bytearray(original)
            damaged[position] ^= mask
            Path(prefix).write_bytes(damaged)
            try:
                found = tfbundle.load(prefix)
            except tfbundle.BundleError:
                continue
            assert {name: value.tolist() for name, value in found.items()} == expected
            harmless += 1
    assert 0 < harmless < len(original)  # the padding of the footer, and the metaindex block
    for nbytes in range(len(original)):
        Path(prefix).write_bytes(original[:nbytes])
        with pytest.raises(tfbundle.BundleError):
            tfbundle.load(prefix)


def test_payloads_have_no_bytes_of_their_own(tf: Any, tmp_path: Path) -> None:
    prefix = write_v1(tf, tmp_path / "v1", a=np.arange(1, 4, dtype=np.float32))
    with tfbundle.open(prefix) as bundle, pytest.raises(UnsupportedError, match="no payload of its own"):
        bundle.payload("a")


def test_a_bundles_index_is_no_v1_checkpoint(tmp_path: Path) -> None:
    """To TensorFlow it is an empty one."""
    tfbundle.save(tmp_path / "m", {"a": np.float32(1)})
    (tmp_path / "copy").write_bytes((tmp_path / "m.index").read_bytes())
    with pytest.raises(FormatError, match="perhaps a bundle's index, renamed"):
        tfbundle.open(tmp_path / "copy")["a"]
