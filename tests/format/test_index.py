from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.partitions import Extents, slice_key
from tests.support.tables import WORKED_ROWS, WORKED_TABLE, assemble_table, open_bytes, plain_block, write_table
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.errors import FormatError
from tfbundle.format.entries import BundleEntry, BundleHeader
from tfbundle.format.index import BundleIndex, decode_index, decode_sound_blocks, encode_index
from tfbundle.format.slices import Box
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


@pytest.mark.parametrize(("rows", "found"), [([], "no rows"), (WORKED_ROWS[1:], "first key b's'")])
def test_missing_header(rows: list[Row], found: str) -> None:
    with pytest.raises(FormatError) as caught:
        index_of(*rows)
    reason = f"failed to seek to header entry: {found}, expected an empty key"
    assert caught.value.args == (reason, "", "header", None)


def test_damaged_header_is_named() -> None:
    with pytest.raises(FormatError, match="BundleHeaderProto not parseable") as caught:
        index_of((b"", b"\xff"))
    assert (caught.value.path, caught.value.part) == ("", "header")


def test_damaged_entry_shows_only_when_asked_for() -> None:
    index = index_of(HEADER, (b"bad", b"\xff"), (b"good", entry_proto(1, b"", 4)))
    assert list(index) == [b"bad", b"good"]
    assert index[b"good"].size == 4
    with pytest.raises(FormatError, match="BundleEntryProto not parseable") as caught:
        index[b"bad"]
    assert (caught.value.path, caught.value.part) == ("", "tensor 'bad'")


def test_rows_by_key_and_in_order() -> None:
    rows = [(b"a", entry_proto(1, b"", 4)), (b"b", entry_proto(3, b"", 4)), (b"c", b"\xff")]
    index = index_of(HEADER, *rows)
    same = BundleIndex(index.header, dict(rows))
    for found in (index, same):
        assert (found.keys_in_order, found.values_in_order) == ([b"a", b"b", b"c"], [value for _, value in rows])
        assert list(found.rows.items()) == rows
        assert found.rows is found.rows
        assert list(found.iter_rows()) == rows
        assert [found.row_number(key) for key in (b"a", b"b", b"c")] == [0, 1, 2]


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


def test_no_tensors() -> None:
    index = index_of(HEADER)
    assert list(index.tensor_keys()) == []
    assert index.tensor_rows.tolist() == []


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


TOP: Extents = ((0, 2), (0, -1))
BOTTOM: Extents = ((2, 2), (0, -1))


def slice_proto(extents: Extents) -> bytes:
    parts = (varint_field(1, start) + (varint_field(2, length) if length >= 0 else b"") for start, length in extents)
    return b"".join(bytes_field(1, part) for part in parts)


def whole_entry(shape: tuple[int, ...], *slices: Extents, dtype: int = 1) -> bytes:
    """Return the entry that lists the slices of a partitioned tensor."""
    listed = b"".join(bytes_field(7, slice_proto(extents)) for extents in slices)
    return varint_field(1, dtype) + bytes_field(2, shape_proto(*shape)) + listed


def partitioned(shape: tuple[int, ...], *slices: Extents, rows: Mapping[bytes, bytes] | None = None) -> BundleIndex:
    """Return an index with a partitioned tensor ``w`` and a tensor ``x``; ``rows`` go instead of its own."""
    made = {slice_key(b"w", extents): entry_proto(1, shape_proto(2, 3), 24) for extents in slices}
    made |= {b"w": whole_entry(shape, *slices), b"x": entry_proto(1, b"", 4), **(rows or {})}
    return BundleIndex(BundleHeader(1), dict(sorted(made.items())))


class TestSlices:
    def test_rows_and_places(self) -> None:
        index = partitioned((4, 3), BOTTOM, TOP)
        assert index.slice_rows(b"w") == [
            (slice_key(b"w", BOTTOM), Box((2, 0), (2, 3))),
            (slice_key(b"w", TOP), Box((0, 0), (2, 3))),
        ]
        assert index.slice_rows(b"x") == []
        assert [index.payload_nbytes(key) for key in (b"w", b"x")] == [48, 4]

    def test_numbers_of_the_rows_that_are_tensors(self) -> None:
        assert partitioned((4, 3), TOP, BOTTOM).tensor_rows.tolist() == [2, 3]
        assert partitioned((4, 3), rows={b"w": entry_proto(1, b"", 4)}).tensor_rows.tolist() == [0, 1]

    def test_labels(self) -> None:
        index = partitioned((4, 3), TOP, BOTTOM)
        assert index.label(slice_key(b"w", BOTTOM)) == "tensor 'w', slice 2,2:-"
        assert [index.label(key) for key in (b"w", b"x", b"y\xff")] == [
            "tensor 'w'", "tensor 'x'", "tensor 'y\\udcff'",
        ]  # fmt: skip

    def test_labels_where_another_row_is_damaged(self) -> None:
        index = partitioned((4, 3), TOP, BOTTOM, rows={b"bad": b"\xff"})
        assert index.label(b"w") == "tensor 'w'"
        assert index.label(slice_key(b"w", TOP)) == "tensor 'w', slice 0,2:-"
        assert list(index.tensor_keys()) == [b"bad", b"w", b"x"]

    @pytest.mark.parametrize(
        ("shape", "slices", "rows", "message"),
        [
            ((), [()], {}, "Expecting positive rank of the tensor, got 0, for a tensor with slices"),
            ((4, 3), [((3, 2), (0, -1))], {}, "Extent in dimension 0 out of bounds: shape = [4, 3], slice = 3,2:-"),
            (
                (4, 3),
                [TOP, ((1, 2), (0, -1))],
                {},
                "Overlapping slices: existing slice = 0,2:0,3, new slice = 1,2:0,3",
            ),
            (
                (4, 3),
                [TOP, ((2, 1), (0, -1))],
                {},
                "slice 2,1:- has an entry of float32 [2, 3], expected float32 [1, 3]",
            ),
            (
                (4, 3),
                [TOP, BOTTOM],
                {slice_key(b"w", BOTTOM): entry_proto(3, shape_proto(2, 3), 24)},
                "slice 2,2:- has an entry of int32 [2, 3], expected float32 [2, 3]",
            ),
            (
                (4, 3),
                [TOP, BOTTOM],
                {slice_key(b"w", BOTTOM): whole_entry((2, 3), TOP)},
                "slice 2,2:- has an entry of float32 [2, 3] with slices, expected float32 [2, 3]",
            ),
        ],
    )
    def test_what_does_not_fit(
        self, shape: tuple[int, ...], slices: list[Extents], rows: dict[bytes, bytes], message: str
    ) -> None:
        index = partitioned(shape, *slices, rows=rows)
        for ask in (index.slice_rows, index.payload_nbytes):
            with pytest.raises(FormatError) as caught:
                ask(b"w")
            assert caught.value.args == (message, "", "tensor 'w'", None)

    def test_slice_without_a_row(self) -> None:
        index = BundleIndex(BundleHeader(1), {b"w": whole_entry((2,), ((0, 2),))})
        with pytest.raises(FormatError) as caught:
            index.slice_rows(b"w")
        key = slice_key(b"w", ((0, 2),))
        assert str(caught.value) == f"tensor 'w': Key {key!r} not found in checkpoint: slice 0,2 has no entry"


class TestColumns:
    ODD = entry_proto(3, b"", 4, 9, 16, 2) + varint_field(99, 1)
    """What has a field that is not known is not plain."""

    def index(self, **rows: bytes) -> BundleIndex:
        return BundleIndex(BundleHeader(3), {key.encode(): value for key, value in rows.items()})

    def test_all_are_plain(self) -> None:
        index = self.index(a=entry_proto(1, b"", 4))
        assert index.columns is index.scanned

    def test_others_are_filled_in(self) -> None:
        index = self.index(a=entry_proto(1, b"", 4, 7), b=self.ODD, c=whole_entry((2,), ((0, 2),)))
        for columns in (index.columns, index.sound_columns()):
            assert columns.dtype.tolist() == [1, 3, 1]
            assert columns.size.tolist() == [4, 4, 0]
            assert columns.offset.tolist() == [0, 16, 0]
            assert columns.shard_id.tolist() == [0, 2, 0]
            assert columns.crc32c.tolist() == [7, 9, 0]
            assert columns.sliced.tolist() == [False, False, True]
        assert index.scanned.size.tolist() == [4, 0, 0]

    def test_damaged_ones(self) -> None:
        index = self.index(a=b"\xff", b=self.ODD, c=entry_proto(1, b"", 5))
        assert index.sound_columns().size.tolist() == [0, 4, 0]
        with pytest.raises(FormatError, match=r"^tensor 'a': BundleEntryProto not parseable"):
            _ = index.columns


def test_index_in_several_blocks() -> None:
    rows = [(b"a", entry_proto(1, b"", 4)), (b"w", entry_proto(1, shape_proto(2), 8))]
    blocks = [(b"b", plain_block([HEADER, rows[0]])), (b"z", plain_block([rows[1]]))]
    assert list(decode_index(open_bytes(assemble_table(blocks))).iter_rows()) == rows
