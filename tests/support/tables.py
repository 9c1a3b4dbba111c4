"""Tables made by hand: just what a reader needs, put together without the package's own writer."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from tfbundle.sstable.block import Row
from tfbundle.sstable.checksum import crc32c
from tfbundle.sstable.reader import TableReader, open_table
from tfbundle.sstable.writer import TableWriter

MAGIC = bytes.fromhex("57fb808b247547db")

WORKED_ROWS: list[Row] = [
    (b"", bytes.fromhex("08011a020801")),
    (b"s", bytes.fromhex("08031200200828043563 3f7f28")),
    (b"v", bytes.fromhex("08011204120208022808 35593ce535")),
]
"""Header, int32 scalar 3 and float32 [1, 2], as TensorFlow's ``SaveV2(["v", "s"])`` stored them."""

WORKED_TABLE = bytes.fromhex(
    "00 00 06 08 01 1a 02 08 01"
    "00 01 0d 73 08 03 12 00 20 08 28 04 35 63 3f 7f 28"
    "00 01 0f 76 08 01 12 04 12 02 08 02 28 08 35 59 3c e5 35"
    "00 00 00 00 01 00 00 00"
    "00 66 ae 0b 8f"
    "00 00 00 00 01 00 00 00 00 c0 f2 a1 b0"
    "00 01 02 77 00 35 00 00 00 00 01 00 00 00"
    "00 53 e3 e0 12"
    "3a 08 47 0e" + "00" * 36 + "57 fb 80 8b 24 75 47 db"
)
"""The whole index that TensorFlow 2.21 wrote for these rows."""

WORKED_DATA = bytes.fromhex("0000803f 00000040 03000000")
"""The data file beside it."""


def varint(value: int) -> bytes:
    """Encode a number, seven bits a byte, lowest first."""
    digits = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes(digit | 0x80 for digit in digits[:-1]) + bytes(digits[-1:])


def masked_crc(data: bytes) -> bytes:
    """Return the four bytes by which files refer to ``data``."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(contents: bytes, kind: int = 0) -> bytes:
    """Return a block with its trailer."""
    body = contents + bytes([kind])
    return body + masked_crc(body)


def plain_block(rows: Iterable[Row]) -> bytes:
    """Return a block whose keys share nothing, with one restart point."""
    body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in rows)
    return body + struct.pack("<II", 0, 1)


def handle(offset: int, nbytes: int) -> bytes:
    """Return a block handle."""
    return varint(offset) + varint(nbytes)


def footer(index_handle: bytes, metaindex_handle: bytes = b"\0\0") -> bytes:
    """Return the 48 bytes that close a table."""
    return (metaindex_handle + index_handle).ljust(40, b"\0") + MAGIC


def assemble_table(blocks: Sequence[tuple[bytes, bytes]], kind: int = 0) -> bytes:
    """Return a table of the given data blocks, each with its index key; no metaindex block."""
    table = b""
    index: list[Row] = []
    for separator, contents in blocks:
        index.append((separator, handle(len(table), len(contents))))
        table += frame(contents, kind)
    contents = plain_block(index)
    return table + frame(contents) + footer(handle(len(table), len(contents)))


def write_table(rows: Iterable[Row]) -> bytes:
    """Return a table made by the package's writer."""
    parts: list[bytes] = []
    writer = TableWriter(parts.append)
    for key, value in rows:
        writer.add(key, value)
    writer.finish()
    return b"".join(parts)


def open_bytes(table: bytes) -> TableReader:
    """Open a table in memory; a read that leads out of it fails the test."""

    def read_at(offset: int, nbytes: int) -> bytes:
        assert 0 <= offset <= offset + nbytes <= len(table)
        return table[offset : offset + nbytes]

    return open_table(read_at, len(table))


def read_rows(table: bytes) -> list[Row]:
    """Return all rows of a table in memory."""
    return list(open_bytes(table).iter_rows())
