from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.tables import WORKED_ROWS
from tests.support.wire import bytes_field, entry_proto, fixed32_field, shape_proto, varint_field
from tfbundle.format import columns as columns_module
from tfbundle.format.columns import EntryColumns, scan_entries
from tfbundle.format.dtypes import DATA_TYPES, STRING, VARIANT
from tfbundle.format.entries import BundleEntry, decode_any_entry, encode_entry
from tfbundle.format.plain import encode_plain_entry, replace_dtype

RESOURCE = 20  # has no size to check
_, INT32_SCALAR, FLOAT_PAIR = (value for _, value in WORKED_ROWS)

numbers = st.one_of(
    st.integers(0, 300), st.integers(0, 2**63 - 1), st.sampled_from([127, 128, 2**14 - 1, 2**56, 2**62])
)
shapes = st.lists(st.one_of(st.integers(0, 5), numbers), max_size=5).map(tuple)


@st.composite
def encoded_entries(draw: st.DrawFn) -> bytes:
    """Entries as writers leave them, most of them sound."""
    dtype = draw(st.sampled_from([*DATA_TYPES, 0, 24, 101, 127]))
    shape = draw(shapes)
    size = 1
    for dim in shape:
        size *= dim
    size *= DATA_TYPES[dtype].nbytes if dtype in DATA_TYPES else 1
    if draw(st.integers(0, 9)) == 0 or size >= 2**63:
        size = draw(numbers)
    shard_id = draw(st.sampled_from([0, 0, 1, 200, 2**31 - 1, 2**31]))
    return entry_proto(dtype, shape_proto(*shape), size, draw(st.integers(0, 2**32 - 1)), draw(numbers), shard_id)


mutated_entries = st.builds(
    lambda entry, at, byte, cut: entry[: at % len(entry)] + byte + entry[at % len(entry) + cut :],
    encoded_entries(),
    st.integers(0, 99),
    st.binary(max_size=2),
    st.integers(0, 2),
)


def row_of(columns: EntryColumns, row: int) -> tuple[int, ...]:
    fields = (columns.dtype, columns.shard_id, columns.offset, columns.size, columns.crc32c)
    return tuple(int(column[row]) for column in fields)


def check_against_protobuf(value: bytes, columns: EntryColumns, row: int) -> None:
    if not columns.plain[row]:
        assert row_of(columns, row) == (0, 0, 0, 0, 0)
        return
    entry = decode_any_entry(value)  # what is plain is sound
    assert row_of(columns, row) == (entry.dtype, entry.shard_id, entry.offset, entry.size, entry.crc32c)
    assert not entry.slices
    head = value[: columns.head_nbytes[row]]
    assert encode_plain_entry(head, entry.shard_id, entry.offset, entry.size, entry.crc32c) == value
    assert decode_any_entry(replace_dtype(head, RESOURCE)) == BundleEntry(RESOURCE, entry.shape)


@given(st.lists(st.one_of(encoded_entries(), mutated_entries, st.binary(max_size=40)), max_size=20))
@example([])
@example([b""])
@example([entry_proto(1, shape_proto(2), 8, 7, 2**63 - 1)])
def test_plain_entries_are_what_protobuf_says(values: list[bytes]) -> None:
    columns = scan_entries(values)
    assert len(columns) == len(values)
    for row, value in enumerate(values):
        check_against_protobuf(value, columns, row)


@given(
    st.sampled_from(list(DATA_TYPES)),
    st.lists(st.integers(0, 2**12), max_size=4),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**56 - 1),
    st.integers(0, 2**32 - 1),
)
def test_what_writers_leave_is_plain(dtype: int, shape: list[int], shard_id: int, offset: int, crc32c: int) -> None:
    entry = BundleEntry(dtype, tuple(shape), shard_id, offset, crc32c=crc32c)
    least = entry.num_elements if DATA_TYPES[dtype] in (STRING, VARIANT) else 0
    size = entry.num_elements * DATA_TYPES[dtype].nbytes if DATA_TYPES[dtype].is_memcpy else least
    value = encode_entry(BundleEntry(dtype, tuple(shape), shard_id, offset, size, crc32c))
    columns = scan_entries([INT32_SCALAR, value, FLOAT_PAIR])
    assert columns.plain.all()
    assert row_of(columns, 1) == (dtype, shard_id, offset, size, crc32c)


NOT_PLAIN = {
    "nothing": b"",
    "slices": INT32_SCALAR + bytes_field(7, b""),
    "an unknown field": INT32_SCALAR + varint_field(9, 1),
    "no shape": varint_field(1, 3) + varint_field(5, 4),
    "fields in another order": bytes_field(2, b"") + varint_field(1, 3) + varint_field(5, 4),
    "an offset of 0 that is written all the same": entry_proto(3, b"", 0) + b"\x20\x00" + varint_field(5, 4),
    "a crc of 0 that is written all the same": entry_proto(3, b"", 4) + fixed32_field(6, 0),
    "a number longer than it need be": entry_proto(3, b"", 0) + b"\x28\x84\x00",
    "a dim of 0 that is written all the same": entry_proto(3, bytes_field(2, b"\x08\x00"), 0),
    "a dim with a name": entry_proto(3, bytes_field(2, b"\x08\x01\x12\x01x"), 4),
    "a dim of unknown size": entry_proto(3, shape_proto(-1), 4),
    "unknown rank": entry_proto(3, varint_field(3, 1), 4),
    "a size that does not follow from dtype and shape": entry_proto(1, shape_proto(2), 4),
    "fewer bytes than strings": entry_proto(7, shape_proto(2), 1),
    "an unknown dtype": entry_proto(99, b"", 4),
    "a negative offset": entry_proto(3, b"", 4, 1, -1),
    "a dim larger than eight bytes hold": entry_proto(3, shape_proto(2**56), 2**58),
    "a field of the shape that looks like a dim": entry_proto(3, bytes_field(4, b"\x08\x02"), 8),
    "a dim that ends within the next": entry_proto(3, bytes.fromhex("120308021200"), 0),
    "a dim longer than its size": entry_proto(3, bytes.fromhex("1203080200"), 8),
    "more elements than the size says": entry_proto(4, shape_proto(2**53 + 1), 2**53),
    "more elements than a number holds": entry_proto(4, shape_proto(2**32, 2**32), 0),
    "more elements than a number holds, but for a zero": entry_proto(4, shape_proto(2**40, 2**40, 0), 0),
    "a shape that ends behind the entry": b"\x08\x03\x12\x04\x12",
    "a crc that is cut off": INT32_SCALAR[:-1],
}


@pytest.mark.parametrize("value", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_anything_else_is_left_to_protobuf(value: bytes) -> None:
    columns = scan_entries([FLOAT_PAIR, value, INT32_SCALAR])
    assert columns.plain.tolist() == [True, False, True]


@pytest.mark.parametrize("after", [b"\x18\x05", b"\x20\x05", b"\x28\x05", b"\x35\x05\x00\x00\x00", b"\x12\x00", b""])
def test_bytes_of_the_next_entry_do_not_count(after: bytes) -> None:
    values = [entry_proto(3, shape_proto(1), 4), after, entry_proto(20, b"", 0), after, INT32_SCALAR]
    assert scan_entries(values).plain.tolist() == [True, False, True, False, True]


def test_types_of_the_columns() -> None:
    """Numbers of 54 bits and more are exact."""
    columns = scan_entries([entry_proto(4, shape_proto(2**53 + 1), 2**53 + 1, 2**32 - 1, 2**55 + 1, 2**31 - 1)])
    assert row_of(columns, 0) == (4, 2**31 - 1, 2**55 + 1, 2**53 + 1, 2**32 - 1)
    types = [getattr(columns, field.name).dtype.name for field in fields(columns)]
    assert types == ["uint8", "int32", "int64", "int64", "uint32", "int32", "bool"]


def test_copy_is_filled_by_itself() -> None:
    columns = scan_entries([b"", INT32_SCALAR])
    copy = columns.copy()
    copy.fill(0, BundleEntry(dtype=3, shard_id=2, offset=8, size=4, crc32c=9))
    assert row_of(columns, 0) == (0, 0, 0, 0, 0)
    assert row_of(copy, 1) == row_of(columns, 1)


def test_rows_of_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "_CHUNK_ROWS", 3)
    columns = scan_entries([entry_proto(3, b"", 4, 5, 4 * row) for row in range(11)])
    assert columns.offset.tolist() == list(range(0, 44, 4))


def test_more_rows_than_fit_in_a_chunk() -> None:
    values = [entry_proto(3, b"", 4, 5, offset) for offset in range(0, 4 * 70_000, 4)]
    columns = scan_entries(values)
    assert columns.plain.all()
    assert columns.offset.tolist() == list(range(0, 4 * 70_000, 4))


def test_fill_takes_what_protobuf_decoded() -> None:
    columns = scan_entries([b"", b""])
    columns.fill(0, BundleEntry(dtype=3, shard_id=2, offset=8, size=4, crc32c=9))
    columns.fill(1, BundleEntry(dtype=1, shape=(2,), offset=-5, slices=(((0, 1),),)))
    assert row_of(columns, 0) == (3, 2, 8, 4, 9)
    assert row_of(columns, 1) == (1, 0, 0, 0, 0)
    assert columns.sliced.tolist() == [False, True]
