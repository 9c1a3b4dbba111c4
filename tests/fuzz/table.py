"""Tables: footer, block handles, blocks, Snappy."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.fuzz.mutation import mutate_bytes
from tests.fuzz.sealing import LooseBlock, compress, encode_rows, mutate_table, mutate_value, put_together, repair
from tests.fuzz.target import Target, attempt
from tests.golden.make_golden import FILES
from tests.support.tables import WORKED_ROWS, WORKED_TABLE, open_bytes, write_table
from tfbundle.errors import BundleError, FormatError
from tfbundle.sstable.block import Row, decode_block, iter_block
from tfbundle.sstable.footer import FOOTER_NBYTES, decode_footer, encode_footer
from tfbundle.sstable.snappy import decode_elements, decompress_snappy
from tfbundle.sstable.varint import decode_varint

Rows = list[Row] | None


def check(data: bytes) -> None:
    """Read the bytes as a table, as a block, as a footer and as a Snappy stream."""
    _check_table(data)
    _check_block(data)
    _check_footer(data[-FOOTER_NBYTES:])
    _check_snappy(data)


def _check_table(data: bytes) -> None:
    try:
        table = open_bytes(data)
    except BundleError:
        return
    sound = list(table.iter_sound_blocks())
    try:
        rows = list(table.iter_rows())
    except BundleError:
        assert any(isinstance(block, FormatError) for block in sound), "damage that iter_sound_blocks does not see"
        return
    pairs = [pair for block in sound if not isinstance(block, FormatError) for pair in zip(*block, strict=True)]
    assert pairs == rows, "blocks one by one hold something else"
    keys = [key for key, _ in rows]
    assert keys == sorted(set(keys)), "keys do not ascend"
    for key, value in [*rows[:4], *rows[-4:]]:
        assert table.get(key) == value, f"get({key!r}) finds something else"
        _check_absent(table.get(key + b"\0"), key + b"\0", keys)
    again = write_table(rows)
    assert list(open_bytes(again).iter_rows()) == rows, "written again it holds something else"
    assert write_table(open_bytes(again).iter_rows()) == again


def _check_absent(found: bytes | None, key: bytes, keys: list[bytes]) -> None:
    assert key in keys or found is None, f"{key!r} is found, but not listed"


def _check_block(data: bytes) -> None:
    """Compare the fast decoder with the one that yields row by row."""
    fast = attempt(lambda contents: list(zip(*decode_block(contents), strict=True)), data)
    slow = attempt(lambda contents: list(iter_block(contents)), data)
    assert fast == slow, "decode_block and iter_block disagree"
    keys = [key for key, _ in slow or []]
    if slow and keys == sorted(set(keys)):
        assert list(iter_block(encode_rows(slow, 3))) == slow, "written again it holds something else"


def _check_footer(data: bytes) -> None:
    try:
        footer = decode_footer(data)
    except BundleError:
        return
    assert decode_footer(encode_footer(footer)) == footer


def _check_snappy(data: bytes) -> None:
    """Compare the decoder that is installed, if one is, with our own."""
    fast, slow = attempt(decompress_snappy, data), attempt(_decompress, data)
    assert fast == slow, "two Snappy decoders disagree"


def _decompress(data: bytes) -> bytes:
    length, start = decode_varint(data, 0, len(data), bits=32)
    if length > 22 * len(data) + 64:
        raise FormatError("more than it can hold")
    return decode_elements(data, start, length)


def seeds() -> Iterator[bytes]:
    """Yield tables with one block and many, raw and compressed, and blocks and streams on their own."""
    yield WORKED_TABLE
    for path in sorted(FILES.rglob("*.index")):
        if path.stat().st_size < 2000:
            yield path.read_bytes()
    rows = [(b"key/%04d" % number, b"value" * (number % 3)) for number in range(60)]
    parts = [rows[start : start + 20] for start in range(0, 60, 20)]
    yield put_together([LooseBlock(part[-1][0], encode_rows(part), number % 2) for number, part in enumerate(parts)])
    yield put_together([LooseBlock(b"zz", encode_rows([(b"k" * 200, b"v" * 300), (b"k" * 201, b"")]), 1)])
    yield encode_rows(rows)
    yield encode_rows(WORKED_ROWS, 1)
    yield compress(b"a" * 100 + b"some other bytes" + b"\0" * 70)
    yield bytes.fromhex("0f 08 616263 05 03 0e 0600 0f 07000000")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a table such that its checksums match, or any bytes."""
    if len(data) >= FOOTER_NBYTES and rng.random() < 0.85:
        return mutate_table(data, rng, mutate_value)
    return repair(mutate_bytes(data, rng))


TARGET = Target("table", check, seeds, mutate, 4096)
