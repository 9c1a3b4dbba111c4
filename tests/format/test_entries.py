from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import WORKED_ROWS
from tests.support.wire import bytes_field, entry_proto, fixed32_field, shape_proto, varint_field
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import DATA_TYPES
from tfbundle.format.entries import (
    BIG,
    LITTLE,
    MAX_NUM_SHARDS,
    BundleEntry,
    BundleHeader,
    decode_entry,
    decode_header,
    encode_entry,
    encode_header,
)
from tfbundle.format.ordered_code import FULL_LENGTH

HEADER, INT32_SCALAR, FLOAT_PAIR = (value for _, value in WORKED_ROWS)


def header_with(version: bytes) -> bytes:
    return varint_field(1, 1) + bytes_field(3, version)


class TestHeader:
    def test_worked_example(self) -> None:
        assert decode_header(HEADER) == BundleHeader(num_shards=1, endianness=LITTLE)
        assert encode_header(BundleHeader()) == HEADER

    @pytest.mark.parametrize(
        ("num_shards", "encoded"), [(1, "08011a020801"), (2, "08021a020801"), (300, "08ac021a020801")]
    )
    def test_number_of_shards(self, num_shards: int, encoded: str) -> None:
        assert encode_header(BundleHeader(num_shards)).hex() == encoded
        assert decode_header(bytes.fromhex(encoded)).num_shards == num_shards

    def test_big_endian(self) -> None:
        assert decode_header(bytes.fromhex("080110011a020801")) == BundleHeader(1, BIG)
        assert encode_header(BundleHeader(1, BIG)).hex() == "080110011a020801"

    def test_missing_version_is_version_zero(self) -> None:
        assert decode_header(b"\x08\x01").num_shards == 1

    def test_newer_producer_is_fine(self) -> None:
        assert decode_header(header_with(varint_field(1, 99))).num_shards == 1

    def test_minimum_consumer_of_this_version_is_fine(self) -> None:
        assert decode_header(header_with(varint_field(1, 1) + varint_field(2, 1))).num_shards == 1

    def test_other_bad_consumers_are_fine(self) -> None:
        assert decode_header(header_with(bytes_field(3, b"\x00\x02\x03"))).num_shards == 1

    @pytest.mark.parametrize(
        ("version", "message"),
        [
            (
                varint_field(1, -1),
                "Checkpoint producer version -1 below min producer 0 supported; regenerate the checkpoint",
            ),
            (
                varint_field(1, 1) + varint_field(2, 2),
                "Checkpoint min consumer version 2 above current version 1; "
                "the checkpoint was written for newer readers",
            ),
            (bytes_field(3, b"\x05\x01"), "Checkpoint disallows consumer version 1"),
            (varint_field(3, 1), "Checkpoint disallows consumer version 1"),  # not packed
        ],
    )
    def test_versions_that_may_not_be_read(self, version: bytes, message: str) -> None:
        with pytest.raises(FormatError, match=f"^{message}$"):
            decode_header(header_with(version))

    @pytest.mark.parametrize("endianness", [2, 7, -1])
    def test_unknown_endianness(self, endianness: int) -> None:
        with pytest.raises(FormatError, match=f"^unknown endianness {endianness}, expected 0 or 1$"):
            decode_header(HEADER + varint_field(2, endianness))

    @pytest.mark.parametrize("num_shards", [-1, MAX_NUM_SHARDS + 1, 2**31 - 1])
    def test_impossible_number_of_shards(self, num_shards: int) -> None:
        with pytest.raises(FormatError, match=f"^{num_shards} shards, expected 0 to 100000$"):
            decode_header(varint_field(1, num_shards))

    @pytest.mark.parametrize("num_shards", [0, 1, 127, 128, MAX_NUM_SHARDS])
    def test_possible_number_of_shards(self, num_shards: int) -> None:
        assert decode_header(varint_field(1, num_shards)).num_shards == num_shards
        assert encode_header(BundleHeader(num_shards)).endswith(HEADER[2:])

    def test_bytes_are_kept(self) -> None:
        for data in (HEADER, HEADER + bytes_field(99, b"new"), b"\x08\x01"):
            assert decode_header(data).raw == data
            assert encode_header(decode_header(data)) == data

    @pytest.mark.parametrize("data", [b"\xff", b"\x08", b"\x1a\x05\x08", b"\x00\x00"])
    def test_not_a_header(self, data: bytes) -> None:
        with pytest.raises(FormatError, match="BundleHeaderProto not parseable"):
            decode_header(data)

    def test_unknown_fields_stay_when_the_shards_change(self) -> None:
        unknown = bytes_field(99, b"new")
        changed = encode_header(replace(decode_header(HEADER + unknown), num_shards=2))
        assert changed == varint_field(1, 2) + HEADER[2:] + unknown

    def test_version_of_another_bundle(self) -> None:
        version = varint_field(1, 1) + varint_field(2, 1)
        expected = varint_field(1, 2) + varint_field(2, 1) + bytes_field(3, version)
        assert encode_header(BundleHeader(2, BIG, version)) == expected
        assert decode_header(expected) == BundleHeader(2, BIG, version)
        assert encode_header(replace(decode_header(HEADER), version=version)) == varint_field(1, 1) + expected[4:]

    def test_byte_order_of_the_data_files(self) -> None:
        assert [BundleHeader(1, endianness).byteorder for endianness in (LITTLE, BIG)] == ["little", "big"]


class TestEntry:
    def test_worked_example(self) -> None:
        scalar = BundleEntry(dtype=3, shape=(), offset=8, size=4, crc32c=0x287F3F63)
        pair = BundleEntry(dtype=1, shape=(2,), size=8, crc32c=0x35E53C59)
        assert decode_entry(INT32_SCALAR) == scalar
        assert decode_entry(FLOAT_PAIR) == pair
        assert encode_entry(scalar) == INT32_SCALAR
        assert encode_entry(pair) == FLOAT_PAIR

    def test_length_zero_is_an_empty_dimension(self) -> None:
        encoded = encode_entry(BundleEntry(dtype=1, shape=(0, 3), crc32c=0xA282EAD8))
        assert encoded.hex() == "0801" + "1206" + "1200" + "12020803" + "35d8ea82a2"
        assert decode_entry(encoded).shape == (0, 3)

    def test_shape_is_there_even_for_a_scalar(self) -> None:
        assert encode_entry(BundleEntry(dtype=1, size=4)).startswith(bytes.fromhex("08011200"))

    @pytest.mark.parametrize(("field", "number"), [("dtype", 1), ("shard_id", 3), ("offset", 4), ("size", 5)])
    def test_numbers_that_no_entry_has_are_encoded_all_the_same(self, field: str, number: int) -> None:
        """Whoever writes hostile files by way of this package gets what they ask for."""
        numbers: dict[str, Any] = {"dtype": 3, field: -4}
        head = varint_field(1, numbers["dtype"]) + bytes_field(2, b"")
        assert encode_entry(BundleEntry(**numbers)) == (head if number == 1 else head + varint_field(number, -4))

    def test_negative_dimension_is_encoded_all_the_same(self) -> None:
        assert encode_entry(BundleEntry(1, (-4,))) == varint_field(1, 1) + bytes_field(2, shape_proto(-4))

    def test_slices(self) -> None:
        entry = BundleEntry(dtype=1, shape=(4, 3), slices=(((0, 2), (0, FULL_LENGTH)), ((2, 2), (0, FULL_LENGTH))))
        slices = bytes_field(7, bytes_field(1, b"\x10\x02") + b"\x0a\x00")
        slices += bytes_field(7, bytes_field(1, b"\x08\x02\x10\x02") + b"\x0a\x00")
        encoded = b"\x08\x01" + bytes_field(2, shape_proto(4, 3)) + slices
        assert encode_entry(entry) == encoded
        assert decode_entry(encoded) == entry

    def test_explicit_length_zero_is_not_a_full_extent(self) -> None:
        extent = bytes_field(7, bytes_field(1, varint_field(2, 0)))
        entry = decode_entry(b"\x08\x01" + bytes_field(2, shape_proto(4)) + extent)
        assert entry.slices == (((0, 0),),)
        assert extent in encode_entry(replace(entry, dtype=19))

    def test_partitioned_tensor_needs_no_size(self) -> None:
        entry = decode_entry(varint_field(1, 1) + bytes_field(2, shape_proto(4)) + bytes_field(7, b"\x0a\x00"))
        assert entry.size == 0
        assert entry.num_elements == 4

    @pytest.mark.parametrize("dtype", [7, 21])
    def test_string_takes_a_byte_at_least(self, dtype: int) -> None:
        assert decode_entry(entry_proto(dtype, shape_proto(5), 5)).size == 5

    def test_unknown_rank_reads_as_a_scalar_unless_it_has_dimensions(self) -> None:
        assert decode_entry(entry_proto(1, varint_field(3, 1), 4)).shape == ()
        assert decode_entry(entry_proto(1, shape_proto(7) + varint_field(3, 1), 28)).shape == (7,)

    def test_last_of_repeated_fields_counts(self) -> None:
        assert decode_entry(varint_field(1, 2) + INT32_SCALAR).dtype == 3

    @given(
        st.sampled_from([number for number, dtype in DATA_TYPES.items() if dtype.is_memcpy]),
        st.lists(st.integers(0, 1000), max_size=5),
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**62),
        st.integers(0, 2**32 - 1),
    )
    def test_round_trip(self, dtype: int, shape: list[int], shard_id: int, offset: int, crc: int) -> None:
        entry = BundleEntry(dtype, tuple(shape), shard_id, offset, 0, crc)
        entry = replace(entry, size=entry.num_elements * DATA_TYPES[dtype].nbytes)
        assert decode_entry(encode_entry(entry)) == entry


UNKNOWN = bytes_field(99, b"from a newer version")
NAMED_DIM = bytes_field(2, varint_field(1, 2) + bytes_field(2, b"batch"))


class TestKeptBytes:
    def test_unknown_field_of_the_entry(self) -> None:
        entry = decode_entry(FLOAT_PAIR + UNKNOWN)
        halved = replace(entry, dtype=19, size=4, offset=100, crc32c=7)
        assert encode_entry(halved) == entry_proto(19, shape_proto(2), 4, 7, 100) + UNKNOWN

    def test_unknown_field_of_the_shape(self) -> None:
        shape = shape_proto(2) + UNKNOWN
        halved = replace(decode_entry(entry_proto(1, shape, 8)), dtype=19, size=4)
        assert encode_entry(halved) == entry_proto(19, shape, 4)

    def test_unknown_field_and_name_of_a_dimension(self) -> None:
        shape = bytes_field(2, varint_field(1, 2) + bytes_field(2, b"batch") + UNKNOWN)
        halved = replace(decode_entry(entry_proto(1, shape, 8)), dtype=19, size=4)
        assert encode_entry(halved) == entry_proto(19, shape, 4)

    def test_unknown_field_of_a_slice(self) -> None:
        entry_bytes = varint_field(1, 1) + bytes_field(2, shape_proto(4)) + bytes_field(7, b"\x0a\x00" + UNKNOWN)
        changed = encode_entry(replace(decode_entry(entry_bytes), dtype=14))
        assert changed == varint_field(1, 14) + entry_bytes[2:]

    def test_new_shape_replaces_named_dimensions(self) -> None:
        changed = replace(decode_entry(entry_proto(1, NAMED_DIM, 8)), shape=(1, 2))
        assert encode_entry(changed) == entry_proto(1, shape_proto(1, 2), 8)

    def test_removed_slices_are_gone(self) -> None:
        entry = decode_entry(varint_field(1, 1) + bytes_field(2, shape_proto(2)) + bytes_field(7, b"\x0a\x00"))
        assert encode_entry(replace(entry, slices=(), size=8)) == entry_proto(1, shape_proto(2), 8)

    @pytest.mark.parametrize(
        "data",
        [
            INT32_SCALAR,
            FLOAT_PAIR,
            FLOAT_PAIR + UNKNOWN,
            UNKNOWN + FLOAT_PAIR,
            entry_proto(1, NAMED_DIM, 8),
            FLOAT_PAIR[2:] + FLOAT_PAIR[:2],  # fields in another order
            FLOAT_PAIR + varint_field(3, 0),  # a zero spelled out
            varint_field(1, 2) + FLOAT_PAIR,  # a field twice
            entry_proto(1, shape_proto(7) + varint_field(3, 1), 28),  # unknown rank, and dimensions
            varint_field(1, 1) + fixed32_field(6, 0) + varint_field(5, 4),  # no shape
        ],
        ids=["scalar", "pair", "unknown", "unknown first", "named", "order", "zero", "twice", "rank", "shapeless"],
    )
    def test_unchanged_entry_is_byte_identical(self, data: bytes) -> None:
        assert decode_entry(data).raw == data
        assert encode_entry(decode_entry(data)) == data

    def test_raw_bytes_do_not_count_in_comparisons(self) -> None:
        assert decode_entry(FLOAT_PAIR + UNKNOWN) == decode_entry(FLOAT_PAIR)


INVALID = {
    "not a message": (b"\xff\xff", "BundleEntryProto not parseable.*"),
    "cut short": (FLOAT_PAIR[:-1], "BundleEntryProto not parseable.*"),
    "dtype 0": (entry_proto(0, b"", 4), "^unknown dtype 0, expected 1 to 33"),
    "no dtype": (bytes_field(2, b""), "^unknown dtype 0, expected 1 to 33"),
    "dtype 34": (entry_proto(34, b"", 4), "^unknown dtype 34, expected 1 to 33"),
    "dtype 999": (entry_proto(999, b"", 4), "^unknown dtype 999, expected 1 to 33"),
    "negative dtype": (varint_field(1, -1), "^unknown dtype -1, expected 1 to 33"),
    "reference dtype": (entry_proto(101, b"", 4), "^reference dtype 101, expected 1 to 33"),
    "negative dimension": (
        entry_proto(1, shape_proto(-1), 4),
        r"^Invalid tensor shape: \[-1\] has a negative dimension",
    ),
    "two negative dimensions": (
        entry_proto(1, shape_proto(-2, -2), 16),
        r"^Invalid tensor shape: \[-2, -2\] has a negative dimension",
    ),
    "255 dimensions": (
        entry_proto(1, shape_proto(*[1] * 255), 4),
        "^Invalid tensor shape: 255 dimensions, at most 254 are allowed",
    ),
    "2^64 elements": (entry_proto(1, shape_proto(2**32, 2**32), 0), "has more than 9223372036854775807 elements"),
    "2^63 elements": (entry_proto(4, shape_proto(2**62, 2), 0), "has more than 9223372036854775807 elements"),
    "size too small": (
        entry_proto(1, shape_proto(2), 7),
        r"^Invalid size in bundle entry: stored size 7; expected size 8 for float32 \[2\]",
    ),
    "size too large": (entry_proto(1, shape_proto(2), 9), r"stored size 9; expected size 8 for float32 \[2\]"),
    "half the size": (
        entry_proto(1, shape_proto(384), 768),
        r"stored size 768; expected size 1536 for float32 \[384\]",
    ),
    "size of an empty tensor": (entry_proto(1, shape_proto(0), 4), r"stored size 4; expected size 0 for float32 \[0\]"),
    "negative size": (varint_field(1, 1) + varint_field(5, -4), r"stored size -4; expected size 4 for float32 \[\]"),
    "negative size of a string": (varint_field(1, 7) + varint_field(5, -4), "expected size is at least 1"),
    "string size": (entry_proto(7, shape_proto(5), 4), "stored size 4; expected size is at least 5"),
    "variant size": (entry_proto(21, shape_proto(5), 4), "stored size 4; expected size is at least 5"),
    "negative offset": (
        varint_field(1, 1) + varint_field(4, -1) + varint_field(5, 4),
        "^Seeking to a negative position: -1",
    ),
    "negative shard": (varint_field(1, 1) + varint_field(3, -1) + varint_field(5, 4), "^negative shard -1"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_entry(name: str) -> None:
    data, message = INVALID[name]
    with pytest.raises(FormatError, match=f"{message}$"):
        decode_entry(data)


@pytest.mark.parametrize("shape", [(1,) * 254, (2**63 - 1,), (0, 2**62, 2)])
def test_extreme_shapes_are_shapes(shape: tuple[int, ...]) -> None:
    entry = decode_entry(entry_proto(4, shape_proto(*shape), size=0 if 0 in shape else max(shape)))
    assert entry.shape == shape


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_decodes(data: bytes) -> None:
    try:
        entry = decode_entry(data)
    except FormatError:
        return
    assert entry.dtype in DATA_TYPES
    assert all(size >= 0 for size in entry.shape)
