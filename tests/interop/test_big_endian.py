"""Big-endian bundles: TensorFlow reads most of them, this package all; ``halve`` makes them little-endian."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.bundles import entry_of, write_bundle
from tests.support.requirements import tensorflow
from tests.support.tables import masked_crc, varint
from tests.support.wire import entry_proto, shape_proto
from tfbundle import CastPolicy, UnsupportedError, halve
from tfbundle.format.dtypes import DATA_TYPES

HEADER = bytes.fromhex("080110011a020801")
UNSWAPPABLE = {
    number for number in DATA_TYPES if number >= 24
}  # one byte an element; TensorFlow refuses to "swap" them
STRINGS = {"text": [b"ab", b"c"], "none": [], "long": [b"x" * 3_000_000, b""]}


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def string_payload(values: list[bytes]) -> tuple[bytes, int]:
    """Return payload and masked checksum: lengths enter it big-endian."""
    sizes = b"".join(struct.pack(">I", len(value)) for value in values)
    contents = masked_crc(sizes)[::-1] + b"".join(values)
    payload = b"".join(varint(len(value)) for value in values) + contents
    return payload, int.from_bytes(masked_crc(sizes + contents), "little")


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray[Any, Any]]:
    """Five elements of every dtype, as the integers or numbers that hold them."""
    random = np.random.default_rng(3)
    found = {}
    for dtype in DATA_TYPES.values():
        if dtype.is_memcpy:
            data = random.integers(0, 256, 5 * dtype.nbytes, dtype=np.uint8)
            mask = 0x01 if dtype.name == "bool" else 0x03 if dtype.number >= 29 else 0xFF
            found[dtype.name] = (data & mask).view(dtype.storage)
    return found


@pytest.fixture(scope="module")
def prefix(values: dict[str, np.ndarray[Any, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    rows: dict[bytes, bytes] = {}
    data = b""
    for dtype in DATA_TYPES.values():
        if dtype.is_memcpy:
            stored = values[dtype.name].astype(values[dtype.name].dtype.newbyteorder(">")).tobytes()
            rows[dtype.name.encode()] = entry_of(dtype.number, shape_proto(5), stored, len(data))
            data += stored
    for name, texts in STRINGS.items():
        payload, crc = string_payload(texts)
        rows[name.encode()] = entry_proto(7, shape_proto(len(texts)), len(payload), crc, len(data))
        data += payload
    path = str(tmp_path_factory.mktemp("big") / "m")
    write_bundle(path, rows, [data], HEADER)
    return path


def test_example_of_the_format() -> None:
    assert string_payload([b"ab", b"c"])[0].hex() == "020180" + "25079b" + "616263"


def test_values_are_those_of_tensorflow(tf: Any, prefix: str, values: dict[str, np.ndarray[Any, Any]]) -> None:
    reader = tf.train.load_checkpoint(prefix)
    with tfbundle.open(prefix) as bundle:
        for name, expected in values.items():
            assert bundle[name].tobytes() == expected.tobytes(), name
            assert bundle.read(name, np.s_[1:4]).tobytes() == expected[1:4].tobytes(), name
            if bundle.entry(name).dtype not in UNSWAPPABLE:
                assert reader.get_tensor(name).tobytes() == expected.tobytes(), name
        for name, texts in STRINGS.items():
            assert bundle[name].tolist() == texts
            assert list(reader.get_tensor(name)) == texts
    assert tfbundle.verify(prefix).ok


def test_halved_bundle_is_little_endian(
    tf: Any, prefix: str, values: dict[str, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    halve(prefix, tmp_path / "h", policy=CastPolicy(on_overflow="inf"))
    reader = tf.train.load_checkpoint(str(tmp_path / "h"))
    for name, expected in values.items():
        found = reader.get_tensor(name)
        if name == "float32":
            assert found.view(np.uint16).tolist() == tf.cast(expected, tf.float16).numpy().view(np.uint16).tolist()
        else:
            assert found.tobytes() == expected.tobytes(), name
    assert {name: list(reader.get_tensor(name)) for name in STRINGS} == STRINGS
    assert tfbundle.verify(tmp_path / "h").ok


@pytest.mark.parametrize("position", [0, 1, 2, 5, 6, 8])
def test_damaged_strings(tmp_path: Path, position: int) -> None:
    payload, crc = string_payload([b"ab", b"c"])
    damaged = bytearray(payload)
    damaged[position] ^= 1
    entry = entry_proto(7, shape_proto(2), len(payload), crc)
    write_bundle(str(tmp_path / "m"), {b"s": entry}, [bytes(damaged)], HEADER)
    with pytest.raises(tfbundle.FormatError):
        tfbundle.load(tmp_path / "m")
    with pytest.raises(tfbundle.FormatError):
        halve(tmp_path / "m", tmp_path / "h")


def test_variants_are_refused_as_in_tensorflow(tmp_path: Path) -> None:
    payload = b"\x01a" + bytes(4)
    write_bundle(str(tmp_path / "m"), {b"v": entry_proto(21, b"", len(payload))}, [payload], HEADER)
    with pytest.raises(UnsupportedError, match="variant tensor in a big-endian bundle"):
        halve(tmp_path / "m", tmp_path / "h")
    assert not tfbundle.verify(tmp_path / "m").ok
