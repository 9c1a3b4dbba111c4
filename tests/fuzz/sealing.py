"""Taking tables apart, changing what is in them, and putting them together again with checksums that match."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.fuzz.mutation import mutate_bytes
from tests.support.tables import footer, frame, handle, masked_crc, plain_block, varint
from tfbundle.errors import BundleError
from tfbundle.sstable.block import SNAPPY, BlockBuilder, Row, iter_block
from tfbundle.sstable.footer import FOOTER_NBYTES, BlockHandle, decode_footer, decode_handle
from tfbundle.sstable.snappy import decompress_snappy

_TRAILER = 5
_MOST_BLOCKS = 40


@dataclass(frozen=True)
class LooseBlock:
    """A data block as its contents, not compressed yet.

    Attributes:
        separator: its key in the index block.
        contents: rows and restart points.
        kind: how it is to be stored; a number that is no kind is written as it is.
    """

    separator: bytes
    contents: bytes
    kind: int = 0


def take_apart(table: bytes) -> list[LooseBlock] | None:
    """Return the data blocks of a table whatever their checksums, None where nothing can be found."""
    try:
        top = decode_footer(table[-FOOTER_NBYTES:]).index_handle
        rows = list(iter_block(_stored(table, top)[0]))
        blocks = []
        for separator, value in rows[:_MOST_BLOCKS]:
            contents, kind = _stored(table, decode_handle(value)[0])
            blocks.append(LooseBlock(separator, contents, kind))
    except BundleError:
        return None
    return blocks


def _stored(table: bytes, where: BlockHandle) -> tuple[bytes, int]:
    end = where.offset + where.nbytes
    contents, kind = table[where.offset : end], (table[end : end + 1] or b"\0")[0]
    return (decompress_snappy(contents), kind) if kind == SNAPPY else (contents, kind)


def put_together(blocks: list[LooseBlock]) -> bytes:
    """Return the table with these blocks."""
    table = b""
    index: list[Row] = []
    for block in blocks:
        contents = compress(block.contents) if block.kind == SNAPPY else block.contents
        index.append((block.separator, handle(len(table), len(contents))))
        table += frame(contents, block.kind & 0xFF)
    meta = plain_block([])
    top = plain_block(index)
    places = handle(len(table) + len(meta) + _TRAILER, len(top)), handle(len(table), len(meta))
    return table + frame(meta) + frame(top) + footer(*places)


def compress(data: bytes) -> bytes:
    """Return a Snappy stream of literals, with a copy for every run of a byte."""
    out = varint(len(data))
    position = 0
    while position < len(data):
        end = position + 1
        while end < len(data) and data[end] == data[position] and end - position < 60:
            end += 1
        if end - position > 4:
            out += b"\0" + data[position : position + 1]
            out += struct.pack("<BH", (end - position - 2) << 2 | 2, 1)
        else:
            end = min(len(data), position + 40)
            out += bytes([(end - position - 1) << 2]) + data[position:end]
        position = end
    return out


def repair(table: bytes) -> bytes:
    """Return a table in which the checksums of the index block and of what it leads to match."""
    out = bytearray(table)
    try:
        top = decode_footer(table[-FOOTER_NBYTES:]).index_handle
        handles = [decode_handle(value)[0] for _, value in iter_block(_stored(table, top)[0])]
    except BundleError:
        return table
    for where in [*handles[:_MOST_BLOCKS], top]:
        end = where.offset + where.nbytes + 1
        if end + 4 <= len(table):
            out[end : end + 4] = masked_crc(bytes(out[where.offset : end]))
    return bytes(out)


def mutate_table(table: bytes, rng: random.Random, mutate_row: Callable[[Row, random.Random], Row]) -> bytes:
    """Change a table, mostly such that its checksums match."""
    choice = rng.randint(0, 11)
    blocks = None if choice == 0 else take_apart(table)
    if blocks is None or choice == 1:
        return repair(mutate_bytes(table, rng)) if rng.random() < 0.8 else mutate_bytes(table, rng)
    if not blocks:
        return put_together([LooseBlock(b"\xff", plain_block([(b"", b"")]))])
    at = rng.randrange(len(blocks))
    if choice == 2:
        blocks[at] = replace(blocks[at], contents=mutate_bytes(blocks[at].contents, rng))
    elif choice == 3:
        _rearrange(blocks, at, rng)
    else:
        blocks[at] = replace(blocks[at], contents=_mutate_rows(blocks[at].contents, rng, mutate_row))
    return put_together(blocks)


def _rearrange(blocks: list[LooseBlock], at: int, rng: random.Random) -> None:
    choice = rng.randint(0, 5)
    block = blocks[at]
    if choice == 0:
        blocks[at] = replace(block, kind=rng.choice((0, SNAPPY, SNAPPY, rng.randint(0, 255))))
    elif choice == 1:
        blocks[at] = replace(block, separator=mutate_bytes(block.separator, rng))
    elif choice == 2:
        blocks.insert(rng.randint(0, len(blocks)), block)
    elif choice == 3:
        del blocks[at]
    elif choice == 4:
        blocks[at], blocks[-1] = blocks[-1], blocks[at]
    else:
        rows = rows_of(block.contents)
        cut = rng.randint(0, len(rows))
        halves = [part for part in (rows[:cut], rows[cut:]) if part]
        blocks[at : at + 1] = [LooseBlock(part[-1][0], plain_block(part), rng.choice((0, SNAPPY))) for part in halves]


def rows_of(contents: bytes) -> list[Row]:
    """Return the rows of a block, none of a damaged one."""
    try:
        return list(iter_block(contents))
    except BundleError:
        return []


def _mutate_rows(contents: bytes, rng: random.Random, mutate_row: Callable[[Row, random.Random], Row]) -> bytes:
    rows = rows_of(contents)
    if not rows:
        return mutate_bytes(contents, rng)
    at = rng.randrange(len(rows))
    choice = rng.randint(0, 11)
    if choice == 0:
        del rows[at]
    elif choice == 1:
        rows.insert(rng.randint(0, len(rows)), rows[at])
    elif choice == 2:
        rows.insert(at + 1, (rows[at][0] + bytes([rng.randint(0, 255)]), rows[at][1]))
    elif choice == 3:
        rows[at] = mutate_bytes(rows[at][0], rng), rows[at][1]
    else:
        rows[at] = mutate_row(rows[at], rng)
    if rng.random() < 0.9:
        rows.sort(key=lambda row: row[0])
    return encode_rows(rows, rng.choice((1, 2, 16, 16)))


def encode_rows(rows: list[Row], restart_interval: int = 16) -> bytes:
    """Return a block of these rows, in this order."""
    builder = BlockBuilder(restart_interval)
    for key, value in rows:
        builder.add(key, value)
    return builder.finish()


def mutate_value(row: Row, rng: random.Random) -> Row:
    """Change the value of a row, whatever it is."""
    return row[0], mutate_bytes(row[1], rng)
