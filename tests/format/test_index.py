from __future__ import annotations

import pytest

from tests.support.tables import WORKED_ROWS, WORKED_TABLE, assemble_table, open_bytes, plain_block, write_table
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.errors import FormatError
from tfbundle.format.entries import BundleEntry, BundleHeader
from tfbundle.format.index import BundleIndex, decode_index, decode_sound_blocks, encode_index
from tfbundle.sstable.block import Row

HEADER = WORKED_ROWS[0]
FULL = b"\x0a\x00"


def index_of(*rows: Row) -> BundleIndex:
    return decode_index(open_bytes(write_table(rows)))


def test_worked_example() -> None:
    index = decode_index(open_bytes(WORKED_TABLE))
    assert index.header == BundleHeader(1)
    assert list(index) == [b"s", b"v"]
    assert len(index) == 2
    assert index[b"v"] == BundleEntry(dtype=1, shape=(2,), size=8, crc32c=0x35E53C59)
    assert b"s" in index
    assert b"" not in index


def test_worked_example_encoded_byte_for_byte() -> None:
    parts: list[bytes] = []
    entries = [
        (b"s", BundleEntry(dtype=3, offset=8, size=4, crc32c=0x287F3F63)),
        (b"v", BundleEntry(dtype=1, shape=(2,), size=8, crc32c=0x35E53C59)),
    ]
    encode_index(parts.append, BundleHeader(1), entries)
    assert b"".join(parts) == WORKED_TABLE


def test_unsorted_entries_are_refused() -> None:
    entries = [(b"b", BundleEntry(size=4)), (b"a", BundleEntry(size=4))]
    with pytest.raises(ValueError, match="unsorted key"):
        encode_index(lambda _: None, BundleHeader(1), entries)


@pytest.mark.parametrize("rows", [[], WORKED_ROWS[1:]], ids=["no rows", "no header"])
def test_missing_header(rows: list[Row]) -> None:
    with pytest.raises(FormatError, match="failed to seek to header entry") as caught:
        index_of(*rows)
    assert caught.value.part == "header"


def test_damaged_header_is_named() -> None:
    with pytest.raises(FormatError, match="BundleHeaderProto not parseable") as caught:
        index_of((b"", b"\xff"))
    assert caught.value.part == "header"


def test_damaged_entry_shows_only_when_asked_for() -> None:
    index = index_of(HEADER, (b"bad", b"\xff"), (b"good", entry_proto(1, b"", 4)))
    assert list(index) == [b"bad", b"good"]
    assert index[b"good"].size == 4
    with pytest.raises(FormatError, match="BundleEntryProto not parseable") as caught:
        index[b"bad"]
    assert caught.value.part == "tensor 'bad'"


def test_rows_by_key_and_in_order() -> None:
    rows = [(b"a", entry_proto(1, b"", 4)), (b"b", entry_proto(3, b"", 4)), (b"c", b"\xff")]
    index = index_of(HEADER, *rows)
    same = BundleIndex(index.header, dict(rows))
    for found in (index, same):
        assert (found.keys_in_order, found.values_in_order) == ([b"a", b"b", b"c"], [value for _, value in rows])
        assert list(found.rows.items()) == rows
        assert found.rows is found.rows


def test_missing_key() -> None:
    with pytest.raises(KeyError):
        index_of(HEADER)[b"w"]


def test_rows_of_slices_are_no_tensors() -> None:
    slice_key = bytes.fromhex("0077000101028082807f")  # w, rows 0 and 1
    partitioned = varint_field(1, 1) + bytes_field(2, shape_proto(4, 3))
    partitioned += bytes_field(7, bytes_field(1, varint_field(2, 2)) + FULL)
    part = entry_proto(1, shape_proto(2, 3), 24)
    index = index_of(HEADER, (b"\0odd", part), (slice_key, part), (b"w", partitioned), (b"x", entry_proto(1, b"", 4)))
    assert list(index.tensor_keys()) == [b"\0odd", b"w", b"x"]
    assert len(index) == 4
    assert index[slice_key].shape == (2, 3)


def test_every_row_is_a_tensor_where_nothing_is_partitioned() -> None:
    index = index_of(HEADER, (b"\0\0", entry_proto(1, b"", 4)), (b"w", entry_proto(1, b"", 4)))
    assert list(index.tensor_keys()) == [b"\0\0", b"w"]


def test_sound_blocks_of_a_damaged_index() -> None:
    entry = entry_proto(1, b"", 4)
    blocks = [(b"b", plain_block([HEADER, (b"a", entry)])), (b"d", b"?"), (b"z", plain_block([(b"w", entry)]))]
    index, errors = decode_sound_blocks(open_bytes(assemble_table(blocks)))
    assert list(index) == [b"a", b"w"]
    assert [error.part for error in errors] == ["block 1"]
    index, errors = decode_sound_blocks(open_bytes(WORKED_TABLE))
    assert (list(index), errors) == ([b"s", b"v"], [])


def test_header_in_a_damaged_block() -> None:
    blocks = [(b"b", b"?"), (b"z", plain_block([(b"w", entry_proto(1, b"", 4))]))]
    with pytest.raises(FormatError, match="bad block contents") as caught:
        decode_sound_blocks(open_bytes(assemble_table(blocks)))
    assert caught.value.part == "block 0"
    with pytest.raises(FormatError, match="failed to seek to header entry"):
        decode_sound_blocks(open_bytes(assemble_table([])))
