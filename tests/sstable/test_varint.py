from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.errors import FormatError
from tfbundle.sstable.varint import decode_varint, encode_varint

KNOWN = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (200, "c801"),
    (300, "ac02"),
    (4294967301, "8580808010"),
    (2**32 - 1, "ffffffff0f"),
    (2**64 - 1, "ffffffffffffffffff01"),
]


@pytest.mark.parametrize(("value", "encoded"), KNOWN)
def test_known_encodings(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded
    data = bytes.fromhex(encoded)
    assert decode_varint(data, 0, len(data)) == (value, len(data))


@given(st.integers(0, 2**64 - 1), st.binary(max_size=12), st.binary(max_size=12))
def test_round_trip_in_the_middle_of_other_bytes(value: int, before: bytes, after: bytes) -> None:
    encoded = encode_varint(value)
    data = before + encoded + after
    assert decode_varint(data, len(before), len(data)) == (value, len(before) + len(encoded))


@given(st.integers(0, 2**64 - 1))
def test_encoding_is_the_shortest(value: int) -> None:
    assert len(encode_varint(value)) == max(1, -(-value.bit_length() // 7))


def test_padded_encoding_is_accepted() -> None:
    assert decode_varint(b"\x81\x80\x00", 0, 3) == (1, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", b"\xff" * 9, b"\xff" * 10, b"\x80" * 10 + b"\x01"],
    ids=["empty", "unfinished", "nine", "ten", "eleven"],
)
def test_number_without_an_end_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^malformed varint$"):
        decode_varint(data, 0, len(data))


@given(st.integers(128, 2**64 - 1), st.data())
def test_no_byte_at_or_after_end_counts(value: int, data: st.DataObject) -> None:
    encoded = encode_varint(value)
    end = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(FormatError):
        decode_varint(encoded, 0, end)


def test_position_at_or_past_the_end_is_refused() -> None:
    for position in (1, 2):
        with pytest.raises(FormatError):
            decode_varint(b"\x01", position, 1)


@pytest.mark.parametrize(("encoded", "bits"), [("8080808010", 32), ("ffffffff1f", 32), ("80808080808080808002", 64)])
def test_number_of_too_many_bits_is_refused(encoded: str, bits: int) -> None:
    data = bytes.fromhex(encoded)
    with pytest.raises(FormatError, match=f"^varint exceeds {bits} bits$"):
        decode_varint(data, 0, len(data), bits=bits)


def test_a_number_may_have_64_bits_unless_told_otherwise() -> None:
    with pytest.raises(FormatError, match=r"^varint exceeds 64 bits$"):
        decode_varint(b"\xff" * 9 + b"\x02", 0, 10)


def test_memoryview_reads_like_bytes() -> None:
    assert decode_varint(memoryview(b"\x00\xac\x02"), 1, 3) == (300, 3)
