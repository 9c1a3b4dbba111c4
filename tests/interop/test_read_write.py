"""Bundles that TensorFlow writes and we read, that we write and TensorFlow reads, and indexes equal byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bundles import shard_path
from tests.support.requirements import tensorflow, tensorflow_module
from tests.support.restoring import restore_with_tensorflow, save_with_tensorflow
from tests.support.tables import open_bytes
from tests.support.tensors import FOREIGN, NATIVE, bundles, byte_names, same, text_names
from tfbundle.bundle.opening import load, open_bundle
from tfbundle.bundle.writer import create_bundle, save
from tfbundle.format.dtypes import DATA_TYPES, numpy_dtype
from tfbundle.format.entries import decode_entry
from tfbundle.format.object_graph import decode_object_graph

DTYPES = NATIVE + FOREIGN
few = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("interop") / "model")


def index_of(prefix: str) -> bytes:
    return Path(f"{prefix}.index").read_bytes()


def data_of(prefix: str) -> bytes:
    return Path(shard_path(prefix)).read_bytes()


@few
@given(bundles(text_names, DTYPES))
def test_load_checkpoint_reads_what_we_write(tf: Any, prefix: str, tensors: dict[str, Any]) -> None:
    save(prefix, tensors, if_exists="replace")
    reader = tf.train.load_checkpoint(prefix)
    assert reader.get_variable_to_shape_map() == {name: list(value.shape) for name, value in tensors.items()}
    for name, value in tensors.items():
        found = reader.get_tensor(name)
        kind = object if value.dtype == object else value.dtype
        assert same(np.array(found, kind), value), name


@few
@given(bundles(byte_names, DTYPES))
def test_restore_reads_what_we_write(tf: Any, prefix: str, tensors: dict[str, Any]) -> None:
    save(prefix, tensors, if_exists="replace")
    restored = restore_with_tensorflow(tf, prefix, tensors)
    assert [name for name in tensors if not same(restored[name], tensors[name])] == []


@few
@given(bundles(st.one_of(text_names, byte_names), DTYPES))
def test_files_are_those_that_tensorflow_writes(tf: Any, prefix: str, tensors: dict[str, Any]) -> None:
    save_with_tensorflow(tf, prefix + "-tf", tensors)
    save(prefix, tensors, if_exists="replace")
    assert index_of(prefix) == index_of(prefix + "-tf")
    assert data_of(prefix) == data_of(prefix + "-tf")
    found = load(prefix + "-tf")
    assert [name for name in tensors if not same(found[name], tensors[name])] == []


@pytest.mark.parametrize("number", DTYPES, ids=lambda number: DATA_TYPES[number].name)
def test_every_dtype_both_ways(tf: Any, prefix: str, number: int) -> None:
    values = np.array([0, 1, 1, 0, 1], np.uint8).astype(numpy_dtype(number))
    save_with_tensorflow(tf, prefix + "-tf", {"t": values})
    save(prefix, {"t": values}, if_exists="replace")
    assert index_of(prefix) == index_of(prefix + "-tf")
    assert data_of(prefix) == data_of(prefix + "-tf")
    assert same(load(prefix + "-tf")["t"], values)
    assert same(restore_with_tensorflow(tf, prefix, {"t": values})["t"], values)


@pytest.mark.parametrize("number", [11, 12, 13, 15, 16], ids=lambda number: DATA_TYPES[number].name)
def test_quantized_dtypes_restore_as_such(tf: Any, prefix: str, number: int) -> None:
    dtype = DATA_TYPES[number]
    values = np.array([1, 2, 100], dtype.storage)
    with create_bundle(prefix, if_exists="replace") as writer:
        writer.add("t", values, dtype=dtype.name)
    (restored,) = tf.raw_ops.RestoreV2(
        prefix=prefix, tensor_names=["t"], shape_and_slices=[""], dtypes=[tf.dtypes.as_dtype(number)]
    )
    assert restored.dtype == tf.dtypes.as_dtype(number)
    assert tf.bitcast(restored, tf.dtypes.as_dtype(values.dtype)).numpy().tolist() == [1, 2, 100]


@pytest.mark.parametrize("count", [6_001, 20_000])
def test_index_of_many_rows(tf: Any, prefix: str, count: int) -> None:
    tensors = {f"model/layer_{number:05d}/w": np.full((1,) * 8, number, np.float32) for number in range(count)}
    save_with_tensorflow(tf, prefix + "-tf", tensors)
    save(prefix, tensors, if_exists="replace")
    theirs = index_of(prefix + "-tf")
    assert index_of(prefix) == theirs
    assert data_of(prefix) == data_of(prefix + "-tf")
    assert open_bytes(theirs).num_blocks > 1
    with open_bundle(prefix + "-tf") as bundle:
        assert list(bundle) == list(tensors)
        assert [bundle.index[name.encode()].offset for name in tensors] == list(range(0, 4 * count, 4))
        assert bundle[f"model/layer_{count - 1:05d}/w"] == count - 1


def test_index_with_rows_longer_than_a_block(tf: Any, prefix: str) -> None:
    tensors = {
        letter * length: np.uint8(1) for letter, length in zip("abcde", [10, 300_000, 600_000, 5, 524_288], strict=True)
    }
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    save_with_tensorflow(tf, prefix + "-tf", arrays)
    save(prefix, arrays, if_exists="replace")
    assert index_of(prefix) == index_of(prefix + "-tf")
    assert open_bytes(index_of(prefix)).num_blocks > 2


@pytest.mark.parametrize("length", range(524_288 - 16, 524_288 - 8))
def test_block_is_cut_before_a_row_of_the_same_size_as_in_tensorflow(tf: Any, prefix: str, length: int) -> None:
    arrays = {"a": np.asarray(np.uint8(1)), "b" * length: np.asarray(np.uint8(1)), "c": np.asarray(np.uint8(1))}
    save_with_tensorflow(tf, prefix + "-tf", arrays)
    save(prefix, arrays, if_exists="replace")
    assert index_of(prefix) == index_of(prefix + "-tf")


def test_variant_goes_through(tf: Any, prefix: str) -> None:
    handle = tf.raw_ops.TensorListFromTensor(
        tensor=tf.constant([1.0, 2.0, 3.0]), element_shape=tf.constant([], tf.int32)
    )
    tf.raw_ops.SaveV2(
        prefix=prefix + "-tf",
        tensor_names=["list", "pair"],
        shape_and_slices=["", ""],
        tensors=[handle, tf.stack([handle] * 2)],
    )
    with open_bundle(prefix + "-tf") as bundle, create_bundle(prefix, if_exists="replace") as writer:
        for name, info in bundle.entries.items():
            assert info.dtype == "variant"
            writer.add_payload(name, info.dtype, info.shape, bundle.payload(name))
    assert index_of(prefix) == index_of(prefix + "-tf")
    (restored,) = tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=["list"], shape_and_slices=[""], dtypes=[tf.variant])
    stacked = tf.raw_ops.TensorListStack(
        input_handle=restored, element_shape=tf.constant([], tf.int32), element_dtype=tf.float32
    )
    assert stacked.numpy().tolist() == [1, 2, 3]


def test_slices_are_where_tensorflow_puts_them(tf: Any, prefix: str) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    names, specs = ["w", "w", "plain"], ["4 3 0,2:-", "4 3 2,2:-", ""]
    tf.raw_ops.SaveV2(
        prefix=prefix + "-tf", tensor_names=names, shape_and_slices=specs, tensors=[values[:2], values[2:], values]
    )
    with open_bundle(prefix + "-tf") as bundle:
        assert list(bundle) == ["plain", "w"]
        info = bundle.entries["w"]
        assert (info.shape, info.slices) == ((4, 3), (((0, 2), (0, -1)), ((2, 2), (0, -1))))
        rows = [key for key in bundle.index if key.startswith(b"\0")]
        assert [bundle.index[key].shape for key in rows] == [(2, 3), (2, 3)]


def test_missing_tensor_says_what_tensorflow_says(tf: Any, prefix: str) -> None:
    save(prefix, {"w": np.float32(1)}, if_exists="replace")
    with pytest.raises(tf.errors.NotFoundError) as theirs:
        tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])
    with open_bundle(prefix) as bundle, pytest.raises(KeyError) as ours:
        bundle["x"]
    phrase = "Key x not found in checkpoint"
    assert phrase in str(theirs.value)
    assert phrase in str(ours.value)


@few
@given(st.integers(0, 137), st.integers(0, 7))
def test_damaged_index_is_refused_where_tensorflow_refuses_it(tf: Any, prefix: str, position: int, bit: int) -> None:
    save(prefix, {"v": np.array([1, 2], np.float32), "s": np.int32(3)}, if_exists="replace")
    index = bytearray(index_of(prefix))
    assert len(index) == 138
    index[position] ^= 1 << bit
    Path(f"{prefix}.index").write_bytes(index)
    assert (try_ours(prefix) is None) == (try_theirs(tf, prefix) is None)


def try_ours(prefix: str) -> list[float] | None:
    try:
        found: list[float] = load(prefix)["v"].tolist()
    except ValueError:
        return None
    return found


def try_theirs(tf: Any, prefix: str) -> list[float] | None:
    try:
        (tensor,) = tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=["v"], shape_and_slices=[""], dtypes=[tf.float32])
    except tf.errors.OpError:
        return None
    found: list[float] = tensor.numpy().tolist()
    return found


def test_entry_of_a_checkpoint_with_an_object_graph(tf: Any, tmp_path: Path) -> None:
    checkpoint = tf.train.Checkpoint(w=tf.Variable([1.0, 2.0]), step=tf.Variable(3, dtype=tf.int64))
    path = checkpoint.save(str(tmp_path / "ckpt"))
    with open_bundle(tmp_path) as bundle:
        assert bundle.prefix == path
        assert bundle["w/.ATTRIBUTES/VARIABLE_VALUE"].tolist() == [1, 2]
        graph = bundle["_CHECKPOINTABLE_OBJECT_GRAPH"].item()
    keys = {key for node in decode_object_graph(graph) for key in node.checkpoint_keys}
    assert "w/.ATTRIBUTES/VARIABLE_VALUE" in keys
    assert keys == {name for name, _ in tf.train.list_variables(path)} - {"_CHECKPOINTABLE_OBJECT_GRAPH"}


def test_rows_decode_as_tensorflow_decodes_them(tf: Any, prefix: str) -> None:
    proto = tensorflow_module("core.protobuf.tensor_bundle_pb2").BundleEntryProto
    save_with_tensorflow(tf, prefix + "-tf", {"a": np.zeros((2, 0, 3), np.int8), "b": np.ones(5, np.float64)})
    index = index_of(prefix + "-tf")
    for key, data in list(open_bytes(index).iter_rows())[1:]:
        theirs, ours = proto.FromString(data), decode_entry(data)
        assert (ours.dtype, ours.offset, ours.size, ours.crc32c) == (
            theirs.dtype,
            theirs.offset,
            theirs.size,
            theirs.crc32c,
        ), key
        assert ours.shape == tuple(dim.size for dim in theirs.shape.dim)
