from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import varint
from tfbundle.errors import ChecksumError, FormatError, UnsupportedError
from tfbundle.format.dtypes import FLOAT32, STRING, VARIANT, DataType
from tfbundle.format.payload_checksum import StringChecksum, add_row_crcs, pack_sizes, payload_checksum
from tfbundle.format.varints import decode_varints
from tfbundle.sstable.checksum import crc32c, mask_crc32c

strings = st.lists(st.binary(max_size=200), max_size=8)


def checksum_of(dtype: DataType, num_elements: int, pieces: Iterable[bytes]) -> int:
    checksum = payload_checksum(dtype, num_elements)
    for piece in pieces:
        checksum.update(piece)
    return checksum.finish()


def masked(dtype: DataType, num_elements: int, payload: bytes) -> str:
    return struct.pack("<I", mask_crc32c(checksum_of(dtype, num_elements, [payload]))).hex()


def string_payload(values: list[bytes]) -> tuple[bytes, int]:
    """Return payload and crc, element by element as the format's description has it."""
    crc = 0
    for value in values:
        crc = crc32c(struct.pack("<I", len(value)), crc)
    stored = struct.pack("<I", mask_crc32c(crc))
    crc = crc32c(b"".join(values), crc32c(stored, crc))
    return b"".join(varint(len(value)) for value in values) + stored + b"".join(values), crc


def variant_payload(values: list[bytes]) -> tuple[bytes, int]:
    payload, crc = b"", 0
    for value in values:
        crc = crc32c(value, crc32c(struct.pack("<Q", len(value)), crc))
        stored = struct.pack("<I", mask_crc32c(crc))
        crc = crc32c(stored, crc)
        payload += varint(len(value)) + value + stored
    return payload, crc


def cut(payload: bytes, data: st.DataObject) -> list[bytes]:
    places = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=6)))
    return [payload[start:end] for start, end in zip([0, *places], [*places, len(payload)], strict=True)]


class TestNumbers:
    def test_known_checksum(self) -> None:
        assert masked(FLOAT32, 2, bytes.fromhex("0000803f00000040")) == "593ce535"

    def test_nothing(self) -> None:
        assert masked(FLOAT32, 0, b"") == "d8ea82a2"

    @given(st.binary(max_size=100), st.data())
    def test_pieces_do_not_matter(self, payload: bytes, data: st.DataObject) -> None:
        assert checksum_of(FLOAT32, 1, cut(payload, data)) == crc32c(payload)

    def test_any_kind_of_buffer(self) -> None:
        pieces = (b"1234", bytearray(b"567"), memoryview(b"89"))
        checksum = payload_checksum(FLOAT32, 1)
        for piece in pieces:
            checksum.update(piece)
        assert checksum.finish() == 0xE3069283


def test_rows_of_a_window() -> None:
    """The first row began in an earlier window, the last goes on in a later one; one between is empty."""
    crcs = [7, crc32c(b"ab"), 0, 0, 0, 7]
    add_row_crcs(memoryview(b"?cdefghi"), [1, 3, 3, 6, 8], 1, crcs)
    assert crcs == [7, crc32c(b"abcd"), 0, crc32c(b"efg"), crc32c(b"hi"), 7]


HELLO = bytes.fromhex("05 d9c69c43") + b"hello"
FOUR = bytes.fromhex("010003c801 cdb3096d") + b"abcd" + b"x" * 200


class TestStrings:
    def test_known_payloads(self) -> None:
        assert masked(STRING, 1, HELLO) == "ece0c029"
        assert string_payload([b"hello"])[0] == HELLO
        assert string_payload([b"a", b"", b"bcd", b"x" * 200])[0] == FOUR
        assert checksum_of(STRING, 4, [FOUR]) == string_payload([b"a", b"", b"bcd", b"x" * 200])[1]

    def test_no_elements(self) -> None:
        empty = bytes.fromhex("d8ea82a2")
        assert checksum_of(STRING, 0, [empty]) == crc32c(empty)
        assert checksum_of(STRING, 0, []) == 0  # a payload without any bytes is accepted too
        assert checksum_of(STRING, 0, [b""]) == 0

    @given(strings, st.data())
    def test_pieces_do_not_matter(self, values: list[bytes], data: st.DataObject) -> None:
        payload, crc = string_payload(values)
        assert checksum_of(STRING, len(values), cut(payload, data)) == crc

    def test_every_place_to_cut_and_every_single_byte(self) -> None:
        payload, crc = string_payload([b"a", b"", b"y" * 300, b"z" * 130])
        for place in range(len(payload) + 1):
            assert checksum_of(STRING, 4, [payload[:place], payload[place:]]) == crc
        assert checksum_of(STRING, 4, (payload[place : place + 1] for place in range(len(payload)))) == crc

    @pytest.mark.parametrize("position", range(5))
    def test_wrong_checksum_of_the_sizes(self, position: int) -> None:
        payload = bytearray(HELLO)
        payload[position] ^= 1
        with pytest.raises(FormatError):
            checksum_of(STRING, 1, [bytes(payload)])

    def test_error_about_the_sizes_tells_both_checksums(self) -> None:
        with pytest.raises(ChecksumError, match="The length checksum does not match") as caught:
            checksum_of(STRING, 1, [b"\x05" + struct.pack("<I", 0xC78AB0E5) + b"hello"])
        assert caught.value.args == (
            "The length checksum does not match", "", "", None, 0xE3069283, crc32c(struct.pack("<I", 5)),
        )  # fmt: skip

    def test_damaged_contents_show_in_the_checksum(self) -> None:
        assert checksum_of(STRING, 1, [HELLO[:-1] + b"p"]) != checksum_of(STRING, 1, [HELLO])

    @pytest.mark.parametrize("nbytes", range(len(FOUR)))
    def test_payload_that_ends_early(self, nbytes: int) -> None:
        with pytest.raises(FormatError):
            checksum_of(STRING, 4, [FOUR[:nbytes]])

    def test_payload_that_goes_on(self) -> None:
        with pytest.raises(FormatError, match=r"^string payload has 1 bytes after its last string$"):
            checksum_of(STRING, 1, [HELLO, b"!"])
        with pytest.raises(FormatError, match=r"^string payload has 3 bytes after its last string$"):
            checksum_of(STRING, 1, [HELLO + b"?!?"])

    def test_size_without_an_end(self) -> None:
        with pytest.raises(FormatError):
            checksum_of(STRING, 1, [b"\xff" * 20])
        with pytest.raises(FormatError):
            checksum_of(STRING, 1, [b"\xff"] * 20)

    @pytest.mark.parametrize(
        "sizes", [[2**32 - 1], [2**32], [2**40], [2**64 - 1], [2, 4294967301], [4294967301, 2, 2**33]]
    )
    def test_enormous_size_is_only_a_number(self, sizes: list[int]) -> None:
        packed = b"".join(struct.pack("<I" if size < 2**32 else "<Q", size) for size in sizes)
        encoded = b"".join(map(varint, sizes)) + struct.pack("<I", mask_crc32c(crc32c(packed)))
        for pieces in ([encoded + b"short"], [encoded[:3], encoded[3:8], encoded[8:]]):
            checksum = payload_checksum(STRING, len(sizes))
            for piece in pieces:
                checksum.update(piece)  # which would fail if the lengths entered the checksum otherwise
            message = r"^String lengths longer than expected: the payload ends before its last string$"
            with pytest.raises(FormatError, match=message):
                checksum.finish()


class TestBigEndianStrings:
    """The sizes count as big-endian numbers, and their checksum is stored as one."""

    @pytest.mark.parametrize("values", [[b"ab", b"", b"y" * 300], [b""], []])
    @pytest.mark.parametrize("step", [1, 5, 1000])
    def test_both_checksums(self, values: list[bytes], step: int) -> None:
        little, little_crc = string_payload(values)
        sizes = b"".join(varint(len(value)) for value in values)
        crc = crc32c(b"".join(struct.pack(">I", len(value)) for value in values))
        stored = struct.pack(">I", mask_crc32c(crc))
        payload = sizes + stored + b"".join(values)
        checksum = StringChecksum(len(values), "big")
        for start in range(0, len(payload), step):
            checksum.update(payload[start : start + step])
        assert checksum.finish() == crc32c(b"".join(values), crc32c(stored, crc))
        assert checksum.little_endian_crc == little_crc
        assert checksum.sizes_nbytes == len(sizes)
        assert checksum.little_endian_sizes_crc == little[len(sizes) : len(sizes) + 4]

    def test_little_endian_bundle_tells_its_sizes_too(self) -> None:
        checksum = StringChecksum(4, "little")
        assert (checksum.sizes_nbytes, checksum.little_endian_sizes_crc, checksum.little_endian_crc) == (0, b"", 0)
        for byte in FOUR:
            checksum.update(bytes([byte]))
        assert (checksum.sizes_nbytes, checksum.little_endian_sizes_crc.hex()) == (5, "cdb3096d")

    def test_checksum_of_the_other_byte_order(self) -> None:
        with pytest.raises(ChecksumError) as caught:
            payload_checksum(STRING, 1, "big").update(HELLO)
        crc = crc32c(struct.pack(">I", 5))
        assert caught.value.computed == crc
        assert mask_crc32c(caught.value.stored) == 0xD9C69C43

    def test_sizes_of_eight_bytes(self) -> None:
        assert pack_sizes([2, 2**32 + 5], "big").hex() == "00000002" + "0000000100000005"
        assert pack_sizes([2, 3], "big").hex() == "00000002" + "00000003"

    def test_no_bytes_at_all(self) -> None:
        assert payload_checksum(STRING, 0, "big").finish() == 0
        with pytest.raises(FormatError):
            payload_checksum(STRING, 1, "big").finish()


class TestVariants:
    # a TensorList of 1., 2., 3. as TensorFlow stored it: type name, metadata, tensors
    LIST = (
        bytes.fromhex("0a16")
        + b"tensorflow::TensorList"
        + bytes.fromhex("120c 0001 ffffffffffffffffff01")
        + bytes.fromhex("1a0a 08011200 2a04 0000803f 1a0a 08011200 2a04 00000040 1a0a 08011200 2a04 00004040")
    )

    def test_known_payload(self) -> None:
        stored = bytes.fromhex("2d7bf537")
        payload = b"\x4a" + self.LIST + stored
        assert len(payload) == 79
        assert variant_payload([self.LIST])[0] == payload
        assert checksum_of(VARIANT, 1, [payload]) == variant_payload([self.LIST])[1]

    @given(strings, st.data())
    def test_pieces_do_not_matter(self, values: list[bytes], data: st.DataObject) -> None:
        payload, crc = variant_payload(values)
        assert checksum_of(VARIANT, len(values), cut(payload, data)) == crc

    def test_every_place_to_cut_and_every_single_byte(self) -> None:
        payload, crc = variant_payload([b"ab", b"", b"y" * 300])
        for place in range(len(payload) + 1):
            assert checksum_of(VARIANT, 3, [payload[:place], payload[place:]]) == crc
        assert checksum_of(VARIANT, 3, (payload[place : place + 1] for place in range(len(payload)))) == crc

    def test_size_counts_as_eight_bytes(self) -> None:
        crc = crc32c(b"ab", crc32c(bytes([2, 0, 0, 0, 0, 0, 0, 0])))
        stored = struct.pack("<I", mask_crc32c(crc))
        assert checksum_of(VARIANT, 1, [b"\x02ab" + stored]) == crc32c(stored, crc)

    def test_no_elements(self) -> None:
        assert checksum_of(VARIANT, 0, []) == 0

    def test_wrong_checksum_after_an_element(self) -> None:
        payload = variant_payload([b"ab", b"cd"])[0]
        for position in range(len(payload)):
            damaged = bytearray(payload)
            damaged[position] ^= 1
            with pytest.raises(FormatError):
                checksum_of(VARIANT, 2, [bytes(damaged)])

    def test_error_after_an_element_is_a_checksum_error(self) -> None:
        payload = variant_payload([b"ab"])[0]
        with pytest.raises(ChecksumError, match="The checksum after Variant"):
            checksum_of(VARIANT, 1, [payload[:-1] + bytes([payload[-1] ^ 1])])

    def test_payload_that_ends_early_or_goes_on(self) -> None:
        payload = variant_payload([b"ab", b"cd"])[0]
        for nbytes in range(len(payload)):
            with pytest.raises(FormatError):
                checksum_of(VARIANT, 2, [payload[:nbytes]])
        with pytest.raises(FormatError):
            checksum_of(VARIANT, 2, [payload + b"\0"])

    def test_size_without_an_end(self) -> None:
        with pytest.raises(FormatError):
            checksum_of(VARIANT, 1, [b"\xff"] * 20)

    def test_enormous_size_is_only_a_number(self) -> None:
        with pytest.raises(FormatError, match=r"^variant payload ends with 2 elements missing$"):
            checksum_of(VARIANT, 2, [varint(2**64 - 1) + b"short"])

    def test_what_is_missing_or_too_much(self) -> None:
        payload = variant_payload([b"ab"])[0]
        with pytest.raises(FormatError, match=r"^variant payload ends with 1 elements missing$"):
            checksum_of(VARIANT, 2, [payload])
        with pytest.raises(FormatError, match=r"^variant payload ends with 2 elements missing$"):
            checksum_of(VARIANT, 3, [payload])
        with pytest.raises(FormatError, match=r"^variant payload has 3 bytes after its last element$"):
            checksum_of(VARIANT, 1, [payload + b"abc"])

    def test_error_tells_which_element_and_both_checksums(self) -> None:
        payload = variant_payload([b"ab", b"cd", b"ef"])[0]
        crc = crc32c(b"cd", crc32c(struct.pack("<Q", 2), variant_payload([b"ab"])[1]))
        damaged = payload[:10] + struct.pack("<I", 0xC78AB0E5) + payload[14:]
        with pytest.raises(ChecksumError) as caught:
            checksum_of(VARIANT, 3, [damaged])
        assert caught.value.args == ("The checksum after Variant 1 does not match", "", "", None, 0xE3069283, crc)

    def test_no_big_endian_ones(self) -> None:
        message = "^a variant tensor in a big-endian bundle, whose bytes nobody can interpret$"
        with pytest.raises(UnsupportedError, match=message):
            payload_checksum(VARIANT, 1, "big")


class TestSizes:
    @pytest.mark.parametrize(
        ("sizes", "packed"),
        [
            ([], ""),
            ([0, 1], "00000000" + "01000000"),
            ([2**32 - 1], "ffffffff"),
            ([2**32], "0000000001000000"),
            ([2, 4294967301], "02000000" + "0500000001000000"),  # 4 and 8 bytes beside each other
            ([2**32 - 1, 2**32], "ffffffff" + "0000000001000000"),
            ([2**64 - 1, 3], "ffffffffffffffff" + "03000000"),
        ],
    )
    def test_how_the_checksum_sees_them(self, sizes: list[int], packed: str) -> None:
        assert pack_sizes(sizes).hex() == packed

    @given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)), max_size=20), st.binary(max_size=4))
    def test_decoding(self, sizes: list[int], after: bytes) -> None:
        data = b"".join(map(varint, sizes))
        assert decode_varints(data + after, len(sizes)) == (sizes, len(data))

    @given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=10), st.data())
    def test_unfinished_size_is_left(self, sizes: list[int], data: st.DataObject) -> None:
        encoded = b"".join(map(varint, sizes))
        end = data.draw(st.integers(0, len(encoded) - 1))
        found, used = decode_varints(encoded[:end], len(sizes))
        assert found == sizes[: len(found)]
        assert used == len(b"".join(map(varint, found)))
        assert len(found) < len(sizes)

    @pytest.mark.parametrize(
        "data", [b"\x80" * 10 + b"\x01", b"\xff" * 11, b"\x01" + b"\xff" * 11, b"\xff" * 9 + b"\x02"]
    )
    def test_size_of_too_many_bits(self, data: bytes) -> None:
        with pytest.raises(FormatError, match=r"^Parsed past limit: a varint (of more than 10 bytes|above 64 bits)$"):
            decode_varints(data, 2)

    def test_padded_size_is_accepted(self) -> None:
        assert decode_varints(b"\x85\x80\x00\x07", 2) == ([5, 7], 4)
        assert decode_varints(b"\x85\x80\x80\x80\x80\x80\x80\x80\x80\x00\x07", 2) == ([5, 7], 11)
