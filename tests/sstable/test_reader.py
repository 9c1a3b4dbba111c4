from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import (
    WORKED_ROWS,
    WORKED_TABLE,
    assemble_table,
    footer,
    frame,
    handle,
    open_bytes,
    plain_block,
    read_rows,
    varint,
)
from tfbundle.errors import ChecksumError, FormatError, TruncatedError
from tfbundle.sstable.reader import open_table


def test_worked_example() -> None:
    table = open_bytes(WORKED_TABLE)
    assert table.num_blocks == 1
    assert list(table.iter_rows()) == WORKED_ROWS


def test_rows_of_several_blocks_come_in_order() -> None:
    table = assemble_table(
        [
            (b"b", plain_block([(b"", b"0"), (b"a", b"1")])),
            (b"m", plain_block([(b"c", b"2"), (b"d", b"3")])),
            (b"z", plain_block([(b"n", b"4")])),
        ]
    )
    assert open_bytes(table).num_blocks == 3
    assert read_rows(table) == [(b"", b"0"), (b"a", b"1"), (b"c", b"2"), (b"d", b"3"), (b"n", b"4")]


def test_keys_and_values_come_by_the_block() -> None:
    first = plain_block([(b"", b"0"), (b"a", b"1")])
    table = assemble_table([(b"b", first), (b"c", plain_block([])), (b"z", plain_block([(b"n", b"4")]))])
    assert list(open_bytes(table).iter_blocks()) == [([b"", b"a"], [b"0", b"1"]), ([], []), ([b"n"], [b"4"])]


def test_rows_by_key() -> None:
    first, second = [(b"", b"0"), (b"a", b"1")], [(b"n", b"4"), (b"p", b"5")]
    table = open_bytes(assemble_table([(b"b", plain_block(first)), (b"q", plain_block(second))]))
    assert [table.get(key) for key in (b"", b"a", b"n", b"p")] == [b"0", b"1", b"4", b"5"]
    assert [table.get(key) for key in (b"A", b"b", b"c", b"o", b"q", b"r")] == [None] * 6
    assert open_bytes(assemble_table([])).get(b"") is None


@pytest.mark.parametrize(("num_rows", "num_reads"), [(1, 3), (2, 1)])
def test_last_block_is_kept_for_its_other_rows(num_rows: int, num_reads: int) -> None:
    rows = [(bytes([number]), b"value") for number in range(num_rows)]
    table = assemble_table([(b"z", plain_block(rows))])
    reads: list[int] = []

    def read_at(offset: int, nbytes: int) -> bytes:
        reads.append(offset)
        return table[offset : offset + nbytes]

    reader = open_table(read_at, len(table))
    assert [reader.get(key) for key in (rows[0][0], rows[-1][0], b"y")] == [b"value", b"value", None]
    assert reads.count(0) == num_reads


def test_row_in_a_damaged_block() -> None:
    table = open_bytes(assemble_table([(b"b", plain_block([(b"a", b"1")])), (b"z", b"?")]))
    assert table.get(b"a") == b"1"
    with pytest.raises(FormatError, match="bad block contents") as caught:
        table.get(b"c")
    assert (caught.value.path, caught.value.part) == ("", "block 1")


def test_rows_can_be_read_twice() -> None:
    table = open_bytes(WORKED_TABLE)
    assert list(table.iter_rows()) == list(table.iter_rows())


def test_table_without_rows() -> None:
    assert read_rows(assemble_table([])) == []


def test_index_values_may_be_longer_than_a_handle() -> None:
    contents = plain_block([(b"k", b"v")])
    index = plain_block([(b"z", handle(0, len(contents)) + b"more")])
    blocks = frame(contents) + frame(index)
    assert read_rows(blocks + footer(handle(len(contents) + 5, len(index)))) == [(b"k", b"v")]


def test_snappy_blocks_anywhere() -> None:
    contents = plain_block([(b"k", b"v" * 3)])
    stream = varint(len(contents)) + bytes([(len(contents) - 1) << 2]) + contents
    assert read_rows(assemble_table([(b"z", stream)], kind=1)) == [(b"k", b"vvv")]


@pytest.mark.parametrize("position", range(0x3A, 0x47))
def test_damage_in_the_metaindex_block_goes_unnoticed_as_in_tensorflow(position: int) -> None:
    table = bytearray(WORKED_TABLE)
    table[position] ^= 0xFF
    assert read_rows(bytes(table)) == WORKED_ROWS


@pytest.mark.parametrize("position", [*range(0x3A), *range(0x47, 0x5A)])
def test_damage_in_any_other_block_is_noticed(position: int) -> None:
    table = bytearray(WORKED_TABLE)
    table[position] ^= 0xFF
    with pytest.raises(ChecksumError):
        read_rows(bytes(table))


def test_errors_name_the_part() -> None:
    table = bytearray(WORKED_TABLE)
    table[0] ^= 1
    with pytest.raises(ChecksumError) as caught:
        read_rows(bytes(table))
    assert (caught.value.path, caught.value.part) == ("", "block 0")
    table[0x47] ^= 1
    with pytest.raises(ChecksumError) as caught:
        read_rows(bytes(table))
    assert (caught.value.path, caught.value.part) == ("", "index block")


def test_wrong_magic_number() -> None:
    with pytest.raises(FormatError, match="bad magic number"):
        read_rows(WORKED_TABLE[:-1] + b"\0")
    with pytest.raises(FormatError, match="bad magic number"):
        read_rows(WORKED_TABLE + b"\0")


@pytest.mark.parametrize("nbytes", range(48))
def test_too_short_for_a_table(nbytes: int) -> None:
    with pytest.raises(TruncatedError, match="file is too short to be an sstable"):
        read_rows(WORKED_TABLE[len(WORKED_TABLE) - nbytes :])


BEYOND = [(1, 0x35), (0, 0x1000), (0x1000, 8), (0, 2**62), (2**62, 0), (2**64 - 1, 2**64 - 1)]


@pytest.mark.parametrize(("offset", "nbytes"), BEYOND)
def test_index_handle_beyond_the_file(offset: int, nbytes: int) -> None:
    blocks = frame(plain_block([(b"k", b"v")]))
    with pytest.raises(TruncatedError, match="Read less bytes than requested"):
        read_rows(blocks + footer(handle(offset, nbytes)))


@pytest.mark.parametrize(("offset", "nbytes"), BEYOND[1:])
def test_data_handle_beyond_the_file(offset: int, nbytes: int) -> None:
    index = plain_block([(b"z", handle(offset, nbytes))])
    table = open_bytes(frame(index) + footer(handle(0, len(index))))
    with pytest.raises(TruncatedError, match="Read less bytes than requested"):
        list(table.iter_rows())


@pytest.mark.parametrize("more", [1, 5, 10, 11])
def test_block_that_ends_a_few_bytes_into_the_footer(more: int) -> None:
    index = plain_block([(b"z", handle(0, 0))])
    end = len(index) + 5
    message = (
        f"index block: Read less bytes than requested: block of {len(index) + more} bytes at 0 ends at {end + more}, "
        f"the table's blocks at {end}"
    )
    with pytest.raises(TruncatedError) as caught:
        read_rows(frame(index) + footer(handle(0, len(index) + more)))
    assert str(caught.value) == message


def test_block_may_not_reach_into_the_footer() -> None:
    index = plain_block([(b"z", handle(0, 60))])
    with pytest.raises(TruncatedError):
        read_rows(frame(index) + footer(handle(0, len(index))))


def test_index_row_that_is_no_handle() -> None:
    index = plain_block([(b"z", b"\xff")])
    with pytest.raises(FormatError, match="bad block handle"):
        read_rows(frame(index) + footer(handle(0, len(index))))


@pytest.mark.parametrize("keys", [(b"b", b"a"), (b"a", b"a"), (b"", b""), (b"a\xff", b"a\x01")])
def test_keys_out_of_order_within_a_block(keys: tuple[bytes, bytes]) -> None:
    table = assemble_table([(b"z", plain_block([(key, b"") for key in keys]))])
    again = "" if keys[1] else "bad entry in block: "  # a key that adds nothing to the one before
    message = f"block 0: {again}key {keys[1]!r} does not sort after {keys[0]!r}, as table keys must"
    with pytest.raises(FormatError, match=f"^{re.escape(message)}$"):
        read_rows(table)


@pytest.mark.parametrize("second", [b"a", b"b", b"c"])
def test_keys_out_of_order_across_blocks(second: bytes) -> None:
    first = plain_block([(b"a", b""), (b"b", b"")])
    table = assemble_table([(b"c", first), (b"z", plain_block([(second, b"")]))])
    with pytest.raises(FormatError, match="sort"):
        read_rows(table)


def test_key_after_its_own_separator() -> None:
    table = assemble_table([(b"b", plain_block([(b"a", b""), (b"aa", b""), (b"c", b"")]))])
    with pytest.raises(FormatError, match=r"^block 0: key b'c' sorts after its block's index key b'b'$"):
        read_rows(table)


def test_separators_out_of_order() -> None:
    table = assemble_table([(b"m", plain_block([(b"a", b"")])), (b"c", plain_block([(b"b", b"")]))])
    with pytest.raises(FormatError, match="sort"):
        read_rows(table)


def test_separator_equal_to_the_last_key_is_in_order() -> None:
    table = assemble_table([(b"a", plain_block([(b"a", b"")])), (b"b", plain_block([(b"b", b"")]))])
    assert read_rows(table) == [(b"a", b""), (b"b", b"")]


def test_blocks_are_read_one_at_a_time() -> None:
    table = assemble_table([(b"a", plain_block([(b"a", b"")])), (b"b", plain_block([(b"b", b"")]))])
    reads: list[int] = []

    def read_at(offset: int, nbytes: int) -> bytes:
        reads.append(offset)
        return table[offset : offset + nbytes]

    rows = open_table(read_at, len(table)).iter_rows()
    assert 0 not in reads
    next(rows)
    assert len(reads) == 3
    next(rows)
    assert len(reads) == 4


@given(st.integers(0, len(WORKED_TABLE) - 1), st.integers(1, 255))
def test_one_damaged_byte_never_changes_the_rows(position: int, damage: int) -> None:
    table = bytearray(WORKED_TABLE)
    table[position] ^= damage
    try:
        rows = read_rows(bytes(table))
    except FormatError:
        return
    assert rows == WORKED_ROWS


@given(st.binary(max_size=150))
def test_garbage_before_a_footer_is_refused_or_read(data: bytes) -> None:
    table = data + footer(handle(0, max(0, len(data) - 5)))
    with pytest.raises(FormatError):
        read_rows(table)


BLOCKS = [
    (b"b", plain_block([(b"", b"0"), (b"a", b"1")])),
    (b"m", plain_block([(b"c", b"2"), (b"d", b"3")])),
    (b"z", plain_block([(b"n", b"4")])),
]


def test_blocks_one_by_one() -> None:
    found = list(open_bytes(assemble_table(BLOCKS)).iter_sound_blocks())
    assert found == [([b"", b"a"], [b"0", b"1"]), ([b"c", b"d"], [b"2", b"3"]), ([b"n"], [b"4"])]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_damage_in_one_block_leaves_the_others(number: int) -> None:
    table = bytearray(assemble_table(BLOCKS))
    table[sum(len(frame(contents)) for _, contents in BLOCKS[:number]) + 3] ^= 1
    found = list(open_bytes(bytes(table)).iter_sound_blocks())
    sound = list(open_bytes(assemble_table(BLOCKS)).iter_sound_blocks())
    error = found.pop(number)
    assert isinstance(error, ChecksumError)
    assert error.part == f"block {number}"
    assert found == sound[:number] + sound[number + 1 :]


def test_block_whose_keys_belong_elsewhere() -> None:
    """Behind a damaged block, too, keys must lie where the index says."""
    blocks = [*BLOCKS[:1], (b"m", b"?"), (b"z", plain_block([(b"l", b"4")]))]
    first, second, third = open_bytes(assemble_table(blocks)).iter_sound_blocks()
    assert isinstance(first, tuple)
    assert isinstance(second, FormatError)
    assert isinstance(third, FormatError)
    assert "key b'l' does not sort after b'm'" in str(third)


def test_blocks_that_share_bytes() -> None:
    contents = plain_block([(b"a", b"1" * 50)])
    index = plain_block([(bytes([number]), handle(0, len(contents))) for number in range(20)])
    blocks = frame(contents) + frame(index)
    message = f"index block: 20 blocks take {20 * (len(contents) + 5)} bytes, the table has {len(blocks)} for them"
    with pytest.raises(FormatError) as caught:
        read_rows(blocks + footer(handle(len(contents) + 5, len(index))))
    assert str(caught.value) == message


def test_block_larger_than_is_allowed() -> None:
    contents = plain_block([(b"a", b"1" * 50)])
    table = assemble_table([(b"b", contents)])

    def read_at(offset: int, nbytes: int) -> bytes:
        return table[offset : offset + nbytes]

    assert list(open_table(read_at, len(table), len(contents)).iter_rows()) == [(b"a", b"1" * 50)]
    small = open_table(read_at, len(table), len(contents) - 1)
    with pytest.raises(FormatError) as caught:
        list(small.iter_rows())
    nbytes = len(contents)
    assert str(caught.value) == f"block 0: block of {nbytes} bytes at 0, at most {nbytes - 1} are allowed"
