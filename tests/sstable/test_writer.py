from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import WORKED_ROWS, WORKED_TABLE, open_bytes, read_rows, write_table
from tfbundle.sstable.block import Row, iter_block, unseal_block
from tfbundle.sstable.footer import BlockHandle, decode_footer, decode_handle
from tfbundle.sstable.writer import TableWriter, short_successor, shortest_separator

TARGET = 262144
keys = st.binary(max_size=12)


def index_rows(table: bytes) -> list[tuple[bytes, BlockHandle]]:
    location = decode_footer(table[-48:]).index_handle
    contents = unseal_block(table[location.offset : location.offset + location.nbytes + 5])
    return [(key, decode_handle(value)[0]) for key, value in iter_block(contents)]


def block_rows(table: bytes) -> list[list[Row]]:
    return [
        list(iter_block(unseal_block(table[where.offset : where.offset + where.nbytes + 5])))
        for _, where in index_rows(table)
    ]


def test_worked_example_byte_for_byte() -> None:
    assert write_table(WORKED_ROWS) == WORKED_TABLE


def test_table_without_rows() -> None:
    empty_block = bytes.fromhex("0000000001000000 00c0f2a1b0")
    assert write_table([]) == empty_block * 2 + bytes([0, 8, 13, 8]).ljust(40, b"\0") + WORKED_TABLE[-8:]


@given(st.dictionaries(keys, st.binary(max_size=60), max_size=60))
def test_round_trip(rows: dict[bytes, bytes]) -> None:
    assert read_rows(write_table(sorted(rows.items()))) == sorted(rows.items())


@given(st.dictionaries(keys, st.integers(0, 300).map(bytes), min_size=1, max_size=80), st.integers(16, 400))
def test_round_trip_with_many_blocks(rows: dict[bytes, bytes], block_nbytes: int) -> None:
    with mock.patch("tfbundle.sstable.writer.BLOCK_NBYTES", block_nbytes):
        table = write_table(sorted(rows.items()))
    assert read_rows(table) == sorted(rows.items())


@given(st.lists(st.sampled_from([0, 10, 40_000, TARGET - 40, TARGET, 2 * TARGET - 1, 2 * TARGET, 700_000]), max_size=7))
def test_round_trip_of_large_values(sizes: list[int]) -> None:
    rows = [(b"key%03d" % number, bytes([number]) * size) for number, size in enumerate(sizes)]
    assert read_rows(write_table(rows)) == rows


def test_blocks_end_with_the_row_that_fills_them() -> None:
    rows = [(b"name/%06d" % number, b"v" * (number % 50)) for number in range(20_000)]
    table = write_table(rows)
    blocks = index_rows(table)
    assert len(blocks) > 2
    assert read_rows(table) == rows
    for (_, where), found in zip(blocks[:-1], block_rows(table)[:-1], strict=True):
        key, value = found[-1]
        assert where.nbytes >= TARGET
        # the last row took at most its three sizes, key, value and a restart point
        assert where.nbytes - (3 + len(key) + len(value) + 4) < TARGET


@pytest.mark.parametrize(("size", "num_blocks"), [(TARGET - 15, 1), (TARGET - 14, 2), (TARGET - 13, 2)])
def test_block_is_full_at_just_its_size(size: int, num_blocks: int) -> None:
    rows = [(b"a", bytes(size)), (b"b", b"")]  # the first: five bytes of sizes, one of key; eight of restart points
    assert len(block_rows(write_table(rows))) == num_blocks


@pytest.mark.parametrize(("size", "num_blocks"), [(2 * TARGET - 2, 1), (2 * TARGET - 1, 2), (2 * TARGET, 2)])
def test_large_row_starts_a_block_of_its_own(size: int, num_blocks: int) -> None:
    rows = [(b"a", b"small"), (b"b", bytes(size))]  # one byte of key
    table = write_table(rows)
    assert [len(found) for found in block_rows(table)] == ([2] if num_blocks == 1 else [1, 1])


def test_first_row_of_a_table_needs_no_cut_before_it() -> None:
    table = write_table([(b"a", bytes(3 * TARGET)), (b"b", b"small")])
    assert [len(found) for found in block_rows(table)] == [1, 1]


def test_index_keys_between_and_after_blocks() -> None:
    rows = [(b"abc", bytes(TARGET)), (b"abz", bytes(TARGET)), (b"sp", bytes(TARGET))]
    assert [key for key, _ in index_rows(write_table(rows))] == [b"abd", b"b", b"t"]


@pytest.mark.parametrize(
    ("last", "following", "separator"),
    [
        (b"model/a", b"model/x", b"model/b"),
        (b"abc", b"abd", b"abc"),  # nothing fits between
        (b"abc", b"abe", b"abd"),
        (b"a\xff", b"b", b"a\xff"),
        (b"a", b"ab", b"a"),  # a prefix stays
        (b"\xfe\x01", b"\xff", b"\xfe\x01"),
        (b"\x00x", b"\xff", b"\x01"),
        (b"", b"a", b""),
    ],
)
def test_shortest_separator(last: bytes, following: bytes, separator: bytes) -> None:
    assert shortest_separator(last, following) == separator


@pytest.mark.parametrize(
    ("last", "successor"),
    [
        (b"v", b"w"),
        (b"sp", b"t"),
        (b"", b""),
        (b"\xff\xff", b"\xff\xff"),
        (b"\xffa", b"\xffb"),
        (b"\xff\xfez", b"\xff\xff"),
    ],
)
def test_short_successor(last: bytes, successor: bytes) -> None:
    assert short_successor(last) == successor


@given(keys, keys)
def test_separator_lies_between(left: bytes, right: bytes) -> None:
    last, following = sorted((left, right))
    if last == following:
        return
    assert last <= shortest_separator(last, following) < following
    assert len(shortest_separator(last, following)) <= len(last)
    assert last <= short_successor(last)


@pytest.mark.parametrize("key", [b"b", b"a", b""])
def test_key_that_does_not_ascend_is_refused(key: bytes) -> None:
    writer = TableWriter(lambda _: None)
    writer.add(b"b", b"")
    with pytest.raises(ValueError, match="Adding duplicate or unsorted key"):
        writer.add(key, b"")


def test_nothing_is_compressed() -> None:
    table = write_table([(b"k", bytes(1000))])
    assert open_bytes(table).num_blocks == 1
    assert bytes(1000) in table
