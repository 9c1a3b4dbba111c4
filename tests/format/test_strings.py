from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import varint
from tfbundle.errors import ChecksumError, FormatError, TruncatedError
from tfbundle.format.strings import decode_strings, encode_strings, string_payload_nbytes
from tfbundle.sstable.checksum import crc32c, mask_crc32c

strings = st.lists(st.binary(max_size=300), max_size=10)

KNOWN = [
    ([b"hello"], "05 d9c69c43" + b"hello".hex()),
    ([b"a", b"", b"bcd", b"x" * 200], "010003c801 cdb3096d" + (b"abcd" + b"x" * 200).hex()),
    ([], "d8ea82a2"),
]


@pytest.mark.parametrize(("values", "payload"), KNOWN)
def test_known_payloads(values: list[bytes], payload: str) -> None:
    data = bytes.fromhex(payload)
    assert encode_strings(values) == data
    assert decode_strings(data, len(values))[0] == values
    assert string_payload_nbytes(data, len(values)) == len(data)


def test_checksum_of_a_known_payload() -> None:
    _, crc = decode_strings(encode_strings([b"hello"]), 1)
    assert struct.pack("<I", mask_crc32c(crc)).hex() == "ece0c029"


def test_big_endian_payload() -> None:
    sizes_crc = crc32c(struct.pack(">2I", 5, 1))
    stored = struct.pack(">I", mask_crc32c(sizes_crc))
    payload = b"\x05\x01" + stored + b"hello!"
    assert decode_strings(payload, 2, "big") == ([b"hello", b"!"], crc32c(b"hello!", crc32c(stored, sizes_crc)))
    with pytest.raises(ChecksumError, match=r"^The length checksum does not match"):
        decode_strings(payload, 2)


def test_empty_string() -> None:
    assert len(encode_strings([b""])) == 5
    assert encode_strings([b""])[:1] == b"\0"


def test_no_strings_in_no_bytes() -> None:
    assert decode_strings(b"", 0) == ([], 0)


@given(strings)
def test_round_trip(values: list[bytes]) -> None:
    payload = encode_strings(values)
    assert decode_strings(payload, len(values))[0] == values
    assert string_payload_nbytes(payload, len(values)) == len(payload)


@given(strings, st.binary(max_size=20))
def test_bytes_after_the_last_string_do_not_count(values: list[bytes], after: bytes) -> None:
    payload = encode_strings(values)
    assert decode_strings(payload + after, len(values)) == decode_strings(payload, len(values))


@given(strings.filter(bool), st.data())
def test_payload_cut_short(values: list[bytes], data: st.DataObject) -> None:
    payload = encode_strings(values)
    with pytest.raises(FormatError):
        decode_strings(payload[: data.draw(st.integers(0, len(payload) - 1))], len(values))


def test_contents_cut_short_are_truncation() -> None:
    with pytest.raises(TruncatedError, match="Read less bytes than requested: strings take 10 bytes, 9 are there"):
        decode_strings(encode_strings([b"hello"])[:-1], 1)


def test_missing_sizes() -> None:
    with pytest.raises(FormatError, match="String lengths longer than expected"):
        decode_strings(b"\x01\x01", 3)
    with pytest.raises(FormatError):
        decode_strings(b"", 1)


def test_wrong_checksum_of_the_sizes() -> None:
    payload = bytearray(encode_strings([b"ab", b"c"]))
    payload[2] ^= 1
    with pytest.raises(ChecksumError, match="The length checksum does not match"):
        decode_strings(bytes(payload), 2)


@pytest.mark.parametrize("size", [2**31, 2**40, 2**63, 2**64 - 1])
def test_enormous_string_allocates_nothing(size: int) -> None:
    packed = struct.pack("<I" if size < 2**32 else "<Q", size)
    payload = varint(size) + struct.pack("<I", mask_crc32c(crc32c(packed))) + b"short"
    with pytest.raises(TruncatedError):
        decode_strings(payload, 1)


@given(st.binary(max_size=60), st.integers(0, 6))
def test_garbage_is_refused_or_decodes(data: bytes, num_elements: int) -> None:
    try:
        values, _ = decode_strings(data, num_elements)
    except FormatError:
        return
    assert len(values) == num_elements
