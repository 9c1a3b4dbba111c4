"""Entries and headers: the fast ways to decode and encode them against protobuf."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from tests.fuzz.mutation import mutate_bytes, mutate_message
from tests.fuzz.target import Target, attempt
from tests.golden.make_golden import FILES
from tests.support.tables import read_rows
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.format.columns import EntryColumns, scan_entries
from tfbundle.format.entries import (
    MAX_NUM_SHARDS,
    BundleEntry,
    decode_any_entry,
    decode_entry,
    decode_header,
    encode_any_entry,
    encode_entry,
    encode_header,
)
from tfbundle.format.plain import decode_head, decode_plain_entry, encode_plain_entry, replace_dtype
from tfbundle.pb import parse_message

_NEIGHBOURS = [entry_proto(9, shape_proto(2, 3), 48, 0x12345678, 1 << 40, 3), b"", entry_proto(1, b"", 4)]


def check(data: bytes) -> None:
    """Decode the bytes as an entry and as a header, in every way there is."""
    _check_entry(data)
    _check_header(data)


def _check_entry(data: bytes) -> None:
    reference = attempt(decode_any_entry, data)
    entry = attempt(decode_entry, data)
    assert entry == reference, "decode_entry and protobuf disagree"
    columns = scan_entries([data, *_NEIGHBOURS, data])
    _check_columns(columns, 0, data, entry)
    _check_columns(columns, len(columns) - 1, data, entry)
    assert columns.plain[:3].tolist()[1:] == [True, False], "another row is plain"
    assert columns.offset[1] == 1 << 40, "another row changed"
    if entry is None:
        return
    message = parse_message("BundleEntryProto", data)
    assert (entry.dtype, entry.size, entry.offset) == (message.dtype, message.size, message.offset)
    assert (entry.shard_id, entry.crc32c) == (message.shard_id, message.crc32c)
    assert entry.shape == tuple(dim.size for dim in message.shape.dim)
    assert encode_entry(entry) == data, "an unchanged entry is encoded as something else"
    assert _fields(encode_any_entry(entry)) == _fields(data), "protobuf loses a field"
    _check_new(replace(entry, raw=b""))
    _check_changed(entry)


def _fields(data: bytes) -> bytes:
    """Return an entry as protobuf writes it, its shape not left out."""
    message = parse_message("BundleEntryProto", data)
    message.shape.SetInParent()
    return bytes(message.SerializeToString(deterministic=True))


def _check_columns(columns: EntryColumns, row: int, data: bytes, entry: BundleEntry | None) -> None:
    if not columns.plain[row]:
        return
    assert entry is not None, "scan_entries takes what decode_entry refuses"
    found = tuple(int(column[row]) for column in (columns.dtype, columns.shard_id, columns.offset, columns.size))
    assert found == (entry.dtype, entry.shard_id, entry.offset, entry.size), "scan_entries and decode_entry disagree"
    assert int(columns.crc32c[row]) == entry.crc32c
    assert not entry.slices
    head = data[: int(columns.head_nbytes[row])]
    assert decode_head(head) == (entry.dtype, entry.shape), "the head is something else"
    assert encode_plain_entry(head, *found[1:], entry.crc32c) == data
    assert decode_head(replace_dtype(head, 19)) == (19, entry.shape)
    assert decode_plain_entry(data) is not None, "plain in columns, but not alone"


def _check_new(entry: BundleEntry) -> None:
    """Encode an entry that came from no bytes."""
    encoded = encode_entry(entry)
    assert decode_entry(encoded) == entry, "encoded and decoded it is another entry"
    assert decode_any_entry(encode_any_entry(entry)) == entry
    assert entry.slices or encoded == encode_any_entry(entry), "the fast encoder and protobuf disagree"


def _check_changed(entry: BundleEntry) -> None:
    """Change a field; whatever else the entry has must stay."""
    changed = replace(entry, offset=entry.offset ^ 8, crc32c=entry.crc32c ^ 1)
    encoded = encode_entry(changed)
    assert decode_entry(encoded) == changed
    restored = encode_entry(replace(decode_entry(encoded), offset=entry.offset, crc32c=entry.crc32c))
    assert _fields(restored) == _fields(entry.raw), "a change loses a field"


def _check_header(data: bytes) -> None:
    header = attempt(decode_header, data)
    if header is None:
        return
    message = parse_message("BundleHeaderProto", data)
    assert (header.num_shards, header.endianness) == (message.num_shards, message.endianness)
    assert 0 <= header.num_shards <= MAX_NUM_SHARDS
    assert message.version.min_consumer <= 1
    assert message.version.producer >= 0
    assert encode_header(header) == data or not data, "an unchanged header is encoded as something else"
    again = replace(header, num_shards=(header.num_shards + 1) % 100)
    assert decode_header(encode_header(again)) == again
    bare = replace(header, raw=b"")
    assert decode_header(encode_header(bare)) == bare


def seeds() -> Iterator[bytes]:
    """Yield entries and headers that TensorFlow wrote, and odd ones."""
    found: dict[bytes, None] = {}
    for path in sorted(FILES.rglob("*.index")):
        found.update(dict.fromkeys(value for _, value in read_rows(path.read_bytes())[:12]))
    yield from found
    full = entry_proto(1, shape_proto(2, 0, 3), 0, 0xFFFFFFFF, 2**62, 2**31 - 1)
    yield full
    yield full + varint_field(9, 5)
    yield entry_proto(1, varint_field(3, 1), 4, 1)
    yield entry_proto(1, bytes_field(2, varint_field(1, 5) + bytes_field(2, b"name")), 20, 1)
    yield entry_proto(1, shape_proto(4), 0) + bytes_field(7, bytes_field(1, varint_field(2, 4)))
    yield entry_proto(7, shape_proto(*[1] * 70), 5, 9)
    yield varint_field(1, 2) + varint_field(2, 1) + bytes_field(3, varint_field(1, 1) + varint_field(3, 7))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a field, or any byte."""
    return mutate_message(data, rng) if rng.random() < 0.8 else mutate_bytes(data, rng)


TARGET = Target("entry", check, seeds, mutate, 512)
