from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.format.test_columns import NOT_PLAIN, encoded_entries, mutated_entries
from tests.support.processes import run_script
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.errors import FormatError
from tfbundle.format.entries import (
    BundleEntry,
    BundleHeader,
    decode_any_entry,
    decode_entry,
    decode_header,
    encode_any_entry,
    encode_entry,
)
from tfbundle.format.plain import (
    PlainEntry,
    decode_head,
    decode_plain_entry,
    decode_plain_header,
    encode_head,
    encode_plain_header,
)

NO_PLAIN_FORM = {
    name: value
    for name, value in NOT_PLAIN.items()
    if not name.startswith(
        ("a size that", "fewer bytes", "an unknown dtype", "a dim larger", "more elements")
    )  # of sound form
}


def outcome(decode: object, data: bytes) -> BundleEntry | str:
    try:
        return decode(data)  # type: ignore[operator,no-any-return]
    except FormatError as error:
        return error.reason


@given(st.one_of(encoded_entries(), mutated_entries, st.binary(max_size=40)))
@example(b"\x08\x01\x12\x00\x35\x00\x00\x00\x01\x00")
@example(b"\x08\x01\x12\x02\x12\x05\x28\x04")
def test_decoded_as_protobuf_decodes(data: bytes) -> None:
    assert outcome(decode_entry, data) == outcome(decode_any_entry, data)


@given(
    st.integers(1, 127),
    st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1)), max_size=7).map(tuple),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**32 - 1),
)
@example(1, (), 0, 0, 0, 0)
@example(127, (0,), 1, 0, 0, 0)
@example(1, (127, 0, 128), 0, 127, 0, 2**32 - 1)
@example(1, (*[2**63 - 1] * 10, 300, 0), 2**31 - 1, 2**63 - 1, 2**63 - 1, 1)  # the largest: 127 bytes of shape
def test_every_plain_entry_is_recognised(
    dtype: int, shape: tuple[int, ...], shard_id: int, offset: int, size: int, crc32c: int
) -> None:
    data = entry_proto(dtype, shape_proto(*shape), size, crc32c, offset, shard_id)
    assert decode_plain_entry(data) == PlainEntry(dtype, shape, shard_id, offset, size, crc32c)
    head = varint_field(1, dtype) + bytes_field(2, shape_proto(*shape))
    assert encode_head(dtype, shape) == head
    assert decode_head(head) == (dtype, shape)


@pytest.mark.parametrize(
    "data",
    [
        entry_proto(128, b"", 4),
        entry_proto(0, b"", 4),
        entry_proto(1, b"", 4, offset=2**63),
        entry_proto(1, b"", 2**63),
        entry_proto(1, b"", 4, shard_id=2**31),
        entry_proto(1, shape_proto(2**63), 4),
        entry_proto(1, shape_proto(*[1] * 32), 4),  # 128 bytes of shape
        entry_proto(1, b"", 4) + b"\x35\x01\x00\x00",
        entry_proto(1, b"", 4) + b"\x35\x01\x00\x00\x00\x00",
        entry_proto(1, b"", 4) + b"\x3d\x01\x00\x00\x00",
        entry_proto(1, b"", 0) + b"\x28\x84\x00",
        entry_proto(1, b"", 0) + b"\x28",
        entry_proto(1, b"\x12\x03\x08\x01", 4),
        entry_proto(1, b"\x12\x03\x08\x01\x00", 4),
        entry_proto(1, b"\x12\x02\x08\x00", 0),
        entry_proto(1, b"\x12\x02\x10\x01", 4),
        entry_proto(1, b"\x1a\x02\x08\x01", 4),
        entry_proto(1, b"\x12", 4),
        b"\x08\x01\x12\x04\x12\x02\x08",
        b"\x08\x01\x12",
        b"\x08\x01\x12\x01\x12",
        b"\x08\x80\x12\x00\x28\x04",
        b"\x08\x01\x12\x80" + b"\x12\x00" * 64,
        b"\x10\x01\x12\x00",
        b"\x08\x01\x1a\x00",
    ],
)
def test_no_other_entry_is_taken_for_one(data: bytes) -> None:
    assert decode_plain_entry(data) is None


@given(encoded_entries(), st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1), st.booleans())
def test_encoded_as_protobuf_encodes(data: bytes, offset: int, crc32c: int, keep_raw: bool) -> None:
    plain = decode_plain_entry(data)
    if plain is None:
        return
    raw = data if keep_raw and isinstance(outcome(decode_entry, data), BundleEntry) else b""
    entry = replace(BundleEntry(*plain, raw=raw), offset=offset, crc32c=crc32c)
    assert encode_entry(entry) == encode_any_entry(entry)
    assert data.startswith(encode_head(plain.dtype, plain.shape))


@pytest.mark.parametrize("entry", [BundleEntry(offset=-1), BundleEntry(shape=(-1,)), BundleEntry(shard_id=-2)])
def test_negative_numbers_are_left_to_protobuf(entry: BundleEntry) -> None:
    assert encode_entry(entry) == encode_any_entry(entry)


@pytest.mark.parametrize("value", NO_PLAIN_FORM.values(), ids=NO_PLAIN_FORM)
def test_anything_else_is_left_to_protobuf(value: bytes) -> None:
    assert decode_plain_entry(value) is None


@pytest.mark.parametrize(("num_shards", "endianness"), [(1, 0), (127, 0), (10, 1)])
def test_plain_header(num_shards: int, endianness: int) -> None:
    data = varint_field(1, num_shards) + (varint_field(2, 1) if endianness else b"") + b"\x1a\x02\x08\x01"
    assert decode_plain_header(data) == (num_shards, endianness)
    assert decode_header(data) == BundleHeader(num_shards, endianness)


def test_header_without_shards() -> None:
    assert encode_plain_header(0, 0).hex() == "1a020801"
    assert encode_plain_header(300, 1).hex() == "08ac0210011a020801"


@pytest.mark.parametrize(
    "data",
    [
        "",
        "08",
        "0801",
        "1a020801",
        "08001a020801",
        "00011a020801",
        "0880011a020801",
        "08801a020801",
        "08011a020802",
        "080110001a020801",
        "0801100110011a020801",
        "08011a0208010a",
    ],
)
def test_other_headers_are_left_to_protobuf(data: str) -> None:
    assert decode_plain_header(bytes.fromhex(data)) is None


_WITHOUT_PROTOBUF = """
import sys, numpy as np, tfbundle
tfbundle.save(sys.argv[1] + "/m", {"w": np.ones(4, np.float32), "n": np.int64(3)})
tfbundle.halve(sys.argv[1] + "/m", sys.argv[1] + "/h")
print(tfbundle.open(sys.argv[1] + "/h")["w"].dtype, any(name.startswith("google.protobuf") for name in sys.modules))
"""


def test_common_checkpoints_do_without_protobuf(tmp_path: object) -> None:
    assert run_script(_WITHOUT_PROTOBUF, str(tmp_path)).split() == ["float16", "False"]
