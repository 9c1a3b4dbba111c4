from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.format.test_columns import NOT_PLAIN, encoded_entries, mutated_entries
from tests.support.processes import run_script
from tests.support.wire import varint_field
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
from tfbundle.format.plain import decode_plain_entry, decode_plain_header, encode_head

NO_PLAIN_FORM = {
    name: value
    for name, value in NOT_PLAIN.items()
    if not name.startswith(("a size that", "fewer bytes", "an unknown dtype", "a dim larger"))  # of sound form
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
