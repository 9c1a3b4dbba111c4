from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.format.ordered_code import (
    FULL_LENGTH,
    decode_slice_name,
    encode_signed,
    encode_slice_key,
    encode_unsigned,
    rename_slice_key,
)

int64 = st.integers(-(2**63), 2**63 - 1)
HEADERS = ["80", "c0", "e0", "f0", "f8", "fc", "fe", "ff", "ff80", "ffc0"]


def decode_signed(data: bytes) -> int:
    """Invert the encoding by the rule for readers: count leading ones, strip them, extend the sign."""
    negative = not data[0] & 0x80
    plain = bytes(byte ^ 0xFF for byte in data) if negative else data
    bits = "".join(f"{byte:08b}" for byte in plain)
    nbytes = len(bits) - len(bits.lstrip("1")) if "0" in bits else len(bits)
    assert nbytes == len(data)
    header = bytes.fromhex(HEADERS[nbytes - 1]).ljust(nbytes, b"\0")
    magnitude = int.from_bytes(bytes(a ^ b for a, b in zip(plain, header, strict=True)), "big")
    return ~magnitude if negative else magnitude


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "80"),
        (2, "82"),
        (-1, "7f"),
        (63, "bf"),
        (64, "c040"),
        (75, "c04b"),
        (127, "c07f"),
        (128, "c080"),
        (8191, "dfff"),
        (8192, "e02000"),
        (70000, "e11170"),
    ],
)
def test_known_signed_numbers(value: int, encoded: str) -> None:
    assert encode_signed(value).hex() == encoded


@given(int64)
def test_signed_numbers_decode(value: int) -> None:
    assert decode_signed(encode_signed(value)) == value


@pytest.mark.parametrize("nbytes", range(1, 11))
def test_length_of_signed_numbers(nbytes: int) -> None:
    limit = 2 ** (7 * nbytes - 1)
    if limit <= 2**63:
        assert len(encode_signed(limit - 1)) == len(encode_signed(-limit)) == nbytes
    if limit < 2**63:
        assert len(encode_signed(limit)) == len(encode_signed(-limit - 1)) == nbytes + 1


@given(int64, int64)
def test_order_of_signed_numbers_is_kept(left: int, right: int) -> None:
    assert (encode_signed(left) < encode_signed(right)) == (left < right)


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (1, "0101"), (255, "01ff"), (256, "020100"), (2**64 - 1, "08" + "ff" * 8)]
)
def test_known_unsigned_numbers(value: int, encoded: str) -> None:
    assert encode_unsigned(value).hex() == encoded


@pytest.mark.parametrize(
    ("name", "extents", "key"),
    [
        (b"w", ((0, 2), (0, FULL_LENGTH)), "0077 0001 0102 8082 807f"),
        (b"a\0b\xffc", ((3, 2),), "00 61 00ff 62 ff00 63 0001 0101 83 82"),
        (b"name", (), "00 6e616d65 0001 00"),  # rank 0
        (b"a", ((0, FULL_LENGTH),), "00 61 0001 0101 80 7f"),
    ],
)
def test_known_slice_keys(name: bytes, extents: tuple[tuple[int, int], ...], key: str) -> None:
    assert encode_slice_key(name, extents) == bytes.fromhex(key)


def test_explicit_full_extent_has_a_key_of_its_own() -> None:
    assert encode_slice_key(b"w", ((0, 4),)) != encode_slice_key(b"w", ((0, FULL_LENGTH),))


pairs = st.tuples(int64, int64)


@given(st.binary(max_size=8), st.binary(max_size=8), pairs, pairs)
def test_order_of_slice_keys_is_that_of_name_and_extents(
    name: bytes, other: bytes, extent: tuple[int, int], other_extent: tuple[int, int]
) -> None:
    left, right = encode_slice_key(name, (extent,)), encode_slice_key(other, (other_extent,))
    assert (left < right) == ((name, extent) < (other, other_extent))


@given(st.binary(max_size=8), st.lists(pairs, max_size=4))
def test_slice_keys_sort_right_after_the_header(name: bytes, extents: list[tuple[int, int]]) -> None:
    key = encode_slice_key(name, tuple(extents))
    assert key.startswith(b"\0")
    assert b"" < key < b"\x01"


names = st.one_of(st.binary(), st.lists(st.sampled_from([0, 1, 0xFF]), max_size=6).map(bytes))


@given(names, names, st.lists(st.tuples(st.integers(0, 300), st.integers(-1, 300)), max_size=3))
def test_name_of_a_slice_is_found_and_replaced(name: bytes, other: bytes, extents: list[tuple[int, int]]) -> None:
    key = encode_slice_key(name, tuple(extents))
    assert decode_slice_name(key) == name
    assert rename_slice_key(key, other) == encode_slice_key(other, tuple(extents))


@pytest.mark.parametrize("key", [b"", b"w", b"\0", b"\0w", b"\0w\0", b"\0w\xff\0\1", b"\0w\0\2", b"w\0\1"])
def test_what_is_no_key_of_a_slice(key: bytes) -> None:
    assert decode_slice_name(key) is None
    with pytest.raises(ValueError, match=r"is not the key of a slice$"):
        rename_slice_key(key, b"v")
