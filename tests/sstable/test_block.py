from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import WORKED_ROWS, WORKED_TABLE, frame, masked_crc, plain_block, varint
from tfbundle.errors import ChecksumError, FormatError
from tfbundle.sstable import block as block_module
from tfbundle.sstable.block import BlockBuilder, Row, decode_block, iter_block, seal_block, unseal_block

EMPTY = bytes.fromhex("0000000001000000")


def build(rows: list[Row], restart_interval: int = 16) -> bytes:
    builder = BlockBuilder(restart_interval)
    for key, value in rows:
        builder.add(key, value)
    assert builder.nbytes == len(builder.finish())
    return builder.finish()


def decode(contents: bytes) -> list[Row]:
    """Decode in both ways, which have to agree."""
    try:
        rows = list(iter_block(contents))
    except FormatError as error:
        with pytest.raises(FormatError) as caught:
            decode_block(contents)
        assert caught.value.reason == error.reason
        raise
    assert decode_block(contents) == ([key for key, _ in rows], [value for _, value in rows])
    return rows


def restarts(contents: bytes) -> list[int]:
    (count,) = struct.unpack("<I", contents[-4:])
    return list(struct.unpack(f"<{count}I", contents[-4 - 4 * count : -4]))


def block(body: bytes, *restart_points: int) -> bytes:
    return body + struct.pack(f"<{len(restart_points) + 1}I", *restart_points, len(restart_points))


def row(shared: int, key: bytes, value: bytes) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def test_block_of_the_worked_example() -> None:
    contents = WORKED_TABLE[:0x35]
    assert decode(contents) == WORKED_ROWS
    assert build(WORKED_ROWS) == contents
    assert seal_block(contents) == WORKED_TABLE[:0x3A]
    assert unseal_block(WORKED_TABLE[:0x3A]) == contents


def test_empty_block() -> None:
    assert build([]) == EMPTY
    assert BlockBuilder(16).is_empty
    assert decode(EMPTY) == []
    assert seal_block(EMPTY).hex() == "0000000001000000" + "00c0f2a1b0"


def test_keys_share_the_bytes_of_the_key_before() -> None:
    rows = [(b"model/a", b"1"), (b"model/b", b"2"), (b"model/bb", b"3")]
    body = row(0, b"model/a", b"1") + row(6, b"b", b"2") + row(7, b"b", b"3")
    assert build(rows) == block(body, 0)
    assert decode(block(body, 0)) == rows


def test_every_sixteenth_row_starts_anew() -> None:
    rows = [(b"key%02d" % number, b"") for number in range(33)]
    contents = build(rows)
    first_run = sum(len(row(0 if number == 0 else 4 if number % 10 else 3, b"", b"")) for number in range(16))
    key_bytes = 5 + sum(2 if number % 10 == 0 else 1 for number in range(1, 16))
    assert restarts(contents)[:2] == [0, first_run + key_bytes]
    assert len(restarts(contents)) == 3
    assert contents[restarts(contents)[1] :].startswith(row(0, b"key16", b""))
    assert contents[restarts(contents)[2] :].startswith(row(0, b"key32", b""))


def test_index_blocks_restart_at_every_row() -> None:
    rows = [(b"a", b"1"), (b"ab", b"2"), (b"abc", b"3")]
    assert build(rows, restart_interval=1) == plain_block(rows)[:-8] + struct.pack("<4I", 0, 5, 11, 3)


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=300), max_size=70), st.integers(1, 20))
def test_round_trip(rows: dict[bytes, bytes], restart_interval: int) -> None:
    assert decode(build(sorted(rows.items()), restart_interval)) == sorted(rows.items())


@given(
    st.dictionaries(st.binary(max_size=150), st.binary(max_size=150), min_size=1, max_size=40),
    st.integers(1, 20),
    st.data(),
)
def test_damaged_block_is_decoded_in_both_ways_alike(
    rows: dict[bytes, bytes], restart_interval: int, data: st.DataObject
) -> None:
    contents = bytearray(build(sorted(rows.items()), restart_interval))
    at = data.draw(st.integers(0, len(contents) - 1))
    contents[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FormatError):
        decode(bytes(contents))


@pytest.mark.parametrize("restart_points", [(0, 20, 10), (0, 0, 10, 20), (0, 10, 10)])
def test_restart_points_out_of_order_or_twice(restart_points: tuple[int, ...]) -> None:
    rows = [(b"a", b"123456"), (b"b", b"123456"), (b"c", b"123456")]  # of 10 bytes each
    assert decode(block(b"".join(row(0, key, value) for key, value in rows), *restart_points)) == rows


def test_keys_and_values_of_more_than_127_bytes() -> None:
    rows = [(b"k" * 200, b"v"), (b"k" * 200 + b"l", b"v" * 128), (b"k" * 201, b"")]
    body = row(0, rows[0][0], rows[0][1]) + row(200, b"l", b"v" * 128) + row(0, rows[2][0], b"")
    assert decode(block(body, 0, len(body) - 205)) == rows


@pytest.mark.parametrize(
    "rows",
    [
        [(b"a", b"1"), (b"ab", b"2"), (b"b", b"")],
        [(b"", b"v" * 128)],
        [(b"k" * 200, b""), (b"k" * 200 + b"l", b"v")],
        [(b"k" * 127, b"v" * 127), (b"k" * 127 + b"l" * 127, b"")],
        [(b"key%02d" % number, b"v" * number) for number in range(40)],
    ],
)
def test_sound_block_is_decoded_without_the_reference(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes three times as long."""

    def refuse(contents: bytes) -> Iterator[Row]:
        raise AssertionError

    monkeypatch.setattr(block_module, "iter_block", refuse)
    assert decode_block(build(rows)) == ([key for key, _ in rows], [value for _, value in rows])


def test_block_without_restart_points_has_no_rows() -> None:
    assert decode(block(row(0, b"k", b"v"))) == []
    assert decode(bytes(4)) == []


GOOD_ROW = row(0, b"key", b"value")

MALFORMED = {
    "three bytes": (b"\0\0\0", "bad block contents"),
    "more restarts than bytes": (GOOD_ROW + struct.pack("<I", 1000), "bad block contents"),
    "2^32 - 1 restarts": (GOOD_ROW + b"\xff" * 4, "bad block contents"),
    "head cut short": (block(b"\0\0", 0), "bad entry in block"),
    "first key shares bytes": (block(row(1, b"key", b""), 0), "bad entry in block"),
    "key shares more than there is": (block(GOOD_ROW + row(4, b"z", b""), 0), "bad entry in block"),
    "key past the end": (block(varint(0) + varint(9) + varint(0) + b"key", 0), "bad entry in block"),
    "value past the end": (block(varint(0) + varint(3) + varint(9) + b"key", 0), "bad entry in block"),
    "value into the restarts": (block(varint(0) + varint(0) + varint(4), 0), "bad entry in block"),
    "2^32 - 1 key bytes": (block(varint(0) + varint(2**32 - 1) + varint(0) + b"key", 0), "bad entry in block"),
    "size of 33 bits": (block(varint(0) + varint(0) + varint(2**32), 0), "bad entry in block"),
    "size without an end": (block(b"\0" + b"\xff" * 6, 0), "bad entry in block"),
    "restart within a row": (block(GOOD_ROW + GOOD_ROW, 0, 5), "bad block contents"),
    "restart past the rows": (block(GOOD_ROW, 0, 1000), "bad block contents"),
    "restart past the rows, then one within": (block(GOOD_ROW + GOOD_ROW, 0, 1000, 11), "bad block contents"),
    "restart past all contents": (block(GOOD_ROW, 0, 2**32 - 1, 0), "bad block contents"),
    "restart at the end of the rows": (block(GOOD_ROW, 0, len(GOOD_ROW)), "bad block contents"),
    "first restart at the second row": (block(GOOD_ROW + GOOD_ROW, len(GOOD_ROW)), "bad block contents"),
    "one restart more than there is room for": (
        struct.pack("<II", 0, 2),
        "bad block contents: 2 restarts in a block of 8",
    ),
    "restart at a row that shares": (block(GOOD_ROW + row(3, b"s", b""), 0, len(GOOD_ROW)), "bad entry in block"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_block(name: str) -> None:
    contents, message = MALFORMED[name]
    with pytest.raises(FormatError, match=f"^{message}"):
        decode(contents)


@given(st.binary(max_size=80))
def test_garbage_decodes_or_is_refused(contents: bytes) -> None:
    try:
        rows = decode(contents)
    except FormatError:
        return
    assert sum(len(value) for _, value in rows) <= len(contents)


@pytest.mark.parametrize("position", range(len(WORKED_TABLE[:0x3A])))
def test_any_damaged_byte_fails_the_checksum(position: int) -> None:
    framed = bytearray(WORKED_TABLE[:0x3A])
    framed[position] ^= 0x10
    with pytest.raises(ChecksumError, match=r"^block checksum mismatch: "):
        unseal_block(bytes(framed))


def test_checksum_error_tells_both_checksums() -> None:
    with pytest.raises(ChecksumError) as caught:
        unseal_block(b"12345678" + b"9" + struct.pack("<I", 0xA282EAD8))
    assert caught.value.args == ("block checksum mismatch", "", "", None, 0, 0xE3069283)
    assert "stored 00000000 vs. calculated 3808858755" in str(caught.value)


@pytest.mark.parametrize("kind", [2, 3, 0x80, 0xFF])
def test_unknown_block_type(kind: int) -> None:
    with pytest.raises(FormatError, match=rf"^bad block type {kind}, expected 0 \(raw\) or 1 \(Snappy\)$"):
        unseal_block(frame(EMPTY, kind))


def test_snappy_block() -> None:
    stream = varint(len(EMPTY)) + bytes([(len(EMPTY) - 1) << 2]) + EMPTY
    assert unseal_block(frame(stream, 1)) == EMPTY
    with pytest.raises(FormatError, match="corrupted compressed block contents"):
        unseal_block(frame(stream[:-1], 1))


def test_checksum_covers_the_stored_bytes_and_the_type() -> None:
    sealed = seal_block(b"contents")
    assert sealed == b"contents\0" + masked_crc(b"contents\0")


@pytest.mark.parametrize("num_rows", [30, 300])
def test_keys_that_share_far_more_than_a_block_holds(num_rows: int) -> None:
    """A small block could ask for any amount of memory."""
    body = row(0, b"k" * 5000, b"") + b"".join(row(5000, struct.pack(">H", number), b"") for number in range(num_rows))
    contents = block(body, 0)
    message = rf"^bad entry in block: keys share more than 16 times the {len(contents)} bytes of the block$"
    with pytest.raises(FormatError, match=message):
        decode(contents)


def test_keys_that_share_far_more_behind_a_large_value() -> None:
    first, long = row(0, b"a", bytes(60_000)), row(0, b"k" * 5000, b"")
    body = first + long + b"".join(row(5000, struct.pack(">H", number), b"") for number in range(300))
    with pytest.raises(FormatError, match="keys share more than 16 times"):
        decode(block(body, 0, len(first)))


def test_short_keys_may_share_as_much_as_they_like() -> None:
    """Of tables by other writers, which need not store every sixteenth key whole."""
    keys = [b"k" * 120 + struct.pack(">H", number) for number in range(10_000)]
    body = row(0, keys[0], b"") + b"".join(row(120, key[120:], b"") for key in keys[1:])
    assert sum(120 for _ in keys) > 16 * len(body)
    assert decode(block(body, 0)) == [(key, b"") for key in keys]


def test_keys_that_share_much() -> None:
    rows = [(b"k" * 5000 + bytes([number]), b"") for number in range(16)]
    assert decode(build(rows)) == rows
