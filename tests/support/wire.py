"""Protobuf messages field by field, so that tests can write what no generated class would."""

from __future__ import annotations

import struct

from tests.support.tables import varint


def varint_field(number: int, value: int) -> bytes:
    """Encode an integer field; negative values take ten bytes, as int32 and int64 do."""
    return varint(number << 3) + varint(value & 0xFFFFFFFFFFFFFFFF)


def bytes_field(number: int, value: bytes) -> bytes:
    """Encode a string, bytes or message field."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed32_field(number: int, value: int) -> bytes:
    """Encode a fixed32 field."""
    return varint(number << 3 | 5) + struct.pack("<I", value)


def shape_proto(*sizes: int) -> bytes:
    """Encode a TensorShapeProto; a size of 0 is an empty Dim."""
    return b"".join(bytes_field(2, varint_field(1, size) if size else b"") for size in sizes)


def entry_proto(dtype: int, shape: bytes, size: int, crc32c: int = 0, offset: int = 0, shard_id: int = 0) -> bytes:
    """Encode a BundleEntryProto, zeros left out as proto3 has it."""
    parts = [varint_field(1, dtype), bytes_field(2, shape)]
    parts += [varint_field(number, value) for number, value in ((3, shard_id), (4, offset), (5, size)) if value]
    return b"".join(parts) + (fixed32_field(6, crc32c) if crc32c else b"")
