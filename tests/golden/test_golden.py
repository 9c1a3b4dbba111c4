"""Files that TensorFlow wrote, read and written without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.make_golden import (
    FILES,
    FOREIGN,
    NAMES,
    NATIVE,
    NUM_ROWS,
    QUANTIZED,
    SHAPES,
    STRINGS,
    counted,
    float_patterns,
)
from tests.support.bundles import shard_path
from tests.support.tables import open_bytes, read_rows, write_table
from tfbundle.bundle.locate import latest
from tfbundle.bundle.opening import load, open_bundle
from tfbundle.bundle.writer import create_bundle
from tfbundle.casting.half import HalfCaster
from tfbundle.format.index import decode_index, encode_index
from tfbundle.format.object_graph import decode_object_graph

INDEXES = sorted(FILES.rglob("*.index"))


def path_of(name: str) -> str:
    return str(FILES / name)


def assert_written_alike(
    name: str, tmp_path: Path, tensors: dict[str, Any], dtypes: dict[str, str] | None = None
) -> None:
    """Write the tensors and compare with the bytes that TensorFlow wrote."""
    with create_bundle(tmp_path / name) as writer:
        for key, value in tensors.items():
            writer.add(key, value, dtype=(dtypes or {}).get(key))
    for path in (f"{name}.index", Path(shard_path(name)).name):
        assert (tmp_path / path).read_bytes() == (FILES / path).read_bytes(), path


def test_files_are_few_and_small() -> None:
    sizes = [path.stat().st_size for path in FILES.rglob("*") if path.is_file()]
    assert len(INDEXES) == 13
    assert sum(sizes) < 100_000


@pytest.mark.parametrize("path", INDEXES, ids=lambda path: path.stem)
def test_every_index_encodes_to_the_same_bytes(path: Path) -> None:
    original = path.read_bytes()
    assert write_table(read_rows(original)) == original
    index = decode_index(open_bytes(original))
    parts: list[bytes] = []
    encode_index(parts.append, index.header, index.items())
    assert b"".join(parts) == original


def test_native_dtypes(tmp_path: Path) -> None:
    expected = {name: np.array(values, name).reshape(2, 3) for name, values in NATIVE.items()}
    with open_bundle(path_of("native")) as bundle:
        assert set(bundle) == set(expected)
        for name, array in expected.items():
            assert bundle.entries[name].dtype == name
            assert bundle[name].dtype == array.dtype
            assert bundle[name].tobytes() == array.tobytes()
    assert_written_alike("native", tmp_path, expected)


def test_dtypes_that_numpy_lacks(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with open_bundle(path_of("foreign")) as bundle:
        for name, (values, stored) in FOREIGN.items():
            assert bundle.entries[name].dtype == name
            assert bundle.payload(name) == bytes.fromhex(stored)
            assert bundle[name].astype(float).tolist() == values
    arrays = {name: np.array(values).astype(getattr(ml_dtypes, name)) for name, (values, _) in FOREIGN.items()}
    assert_written_alike("foreign", tmp_path, arrays)


def test_quantized_dtypes(tmp_path: Path) -> None:
    with open_bundle(path_of("quantized")) as bundle:
        for name, code in QUANTIZED.items():
            assert bundle.entries[name].dtype == name
            assert bundle[name].dtype == code
            assert bundle[name].tolist() == [1, 2, 100]
        found = load(path_of("quantized"))
    assert_written_alike("quantized", tmp_path, {name: found[name] for name in QUANTIZED})
    plain = {name: np.array([1, 2, 100], code) for name, code in QUANTIZED.items()}
    assert_written_alike("quantized", tmp_path / "again", plain, {name: name for name in QUANTIZED})


def test_strings(tmp_path: Path) -> None:
    with open_bundle(path_of("strings")) as bundle:
        for name, array in STRINGS.items():
            assert bundle[name].shape == array.shape
            assert bundle[name].tolist() == array.tolist()
    assert_written_alike("strings", tmp_path, dict(STRINGS))


def test_shapes(tmp_path: Path) -> None:
    expected = {f"shape/{number}": counted(shape) for number, shape in enumerate(SHAPES)}
    with open_bundle(path_of("shapes")) as bundle:
        for name, array in expected.items():
            assert bundle[name].shape == array.shape
            assert np.array_equal(bundle[name], array)
    assert_written_alike("shapes", tmp_path, expected)


def test_many_rows(tmp_path: Path) -> None:
    expected = {f"row/{number:05d}": np.int32(number) for number in range(NUM_ROWS)}
    assert load(path_of("rows")) == expected
    assert_written_alike("rows", tmp_path, expected)


def test_names(tmp_path: Path) -> None:
    expected = {name.decode("utf-8", "surrogateescape"): np.uint8(number) for number, name in enumerate(NAMES)}
    found = load(path_of("names"))
    assert found == expected
    assert [name.encode("utf-8", "surrogateescape") for name in found] == sorted(NAMES)
    assert_written_alike("names", tmp_path, expected)


def test_casts_are_those_of_tensorflow() -> None:
    tensors = load(path_of("casts"))
    before = tensors["before"].view(np.uint32)
    assert np.array_equal(before, float_patterns())
    after = np.empty(len(before), np.uint16)
    HalfCaster().cast(before, after)
    assert np.array_equal(after, tensors["after"].view(np.uint16))


def test_variant(tmp_path: Path) -> None:
    with open_bundle(path_of("variant")) as bundle, create_bundle(tmp_path / "variant") as writer:
        payload = bundle.payload("list")
        writer.add_payload("list", "variant", (), payload)
    assert payload[:25] == b"\x4a\x0a\x16tensorflow::TensorList"
    assert payload[-4:].hex() == "2d7bf537"
    for name in ("variant.index", "variant.data-00000-of-00001"):
        assert (tmp_path / name).read_bytes() == (FILES / name).read_bytes()


def test_slices_are_listed() -> None:
    with open_bundle(path_of("slices")) as bundle:
        assert list(bundle) == ["w"]
        info = bundle.entries["w"]
        assert (info.dtype, info.shape) == ("float32", (4, 3))
        assert info.slices == (((0, 2), (0, -1)), ((2, 2), (0, -1)))
        assert set(bundle.index) == {
            b"w",
            bytes.fromhex("0077000101028082807f"),
            bytes.fromhex("0077000101028282807f"),
        }


def test_several_shards() -> None:
    with open_bundle(path_of("shards")) as bundle:
        assert bundle.index.header.num_shards == 2
        assert {info.shard for info in bundle.entries.values()} == {0, 1}
        assert bundle["one"].tolist() == [1, 2]
        assert bundle["two"].tolist() == [b"second", b"shard"]
        assert bundle["three"] == 3


def test_directory_of_a_checkpoint_manager() -> None:
    directory = FILES / "objects"
    assert latest(directory) == str(directory / "ckpt-2")
    key = "w/.ATTRIBUTES/VARIABLE_VALUE"
    assert load(directory)[key].tolist() == [3, 4]
    assert load(directory / "ckpt-1")[key].tolist() == [1, 2]
    with open_bundle(directory) as bundle:
        nodes = decode_object_graph(bundle["_CHECKPOINTABLE_OBJECT_GRAPH"].item())
        assert set(nodes[0].children) == {("w", 1), ("save_counter", 2)}
        assert nodes[1].checkpoint_keys == (key,)
        assert bundle["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] == 2


def test_no_path_of_a_machine_is_in_the_files() -> None:
    for path in FILES.rglob("*"):
        assert not path.is_file() or str(FILES).encode() not in path.read_bytes()
