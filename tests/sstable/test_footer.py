from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import MAGIC, WORKED_TABLE
from tfbundle.errors import FormatError, TruncatedError
from tfbundle.sstable.footer import (
    FOOTER_NBYTES,
    BlockHandle,
    Footer,
    decode_footer,
    decode_handle,
    encode_footer,
    encode_handle,
)

WORKED = Footer(BlockHandle(0x3A, 8), BlockHandle(0x47, 14))
numbers = st.integers(0, 2**64 - 1)
handles = st.builds(BlockHandle, numbers, numbers)


def test_footer_of_the_worked_example() -> None:
    assert decode_footer(WORKED_TABLE[-48:]) == WORKED
    assert encode_footer(WORKED) == WORKED_TABLE[-48:]


def test_magic_number_is_stored_low_word_first() -> None:
    magic = 0xDB4775248B80FB57
    low_then_high = (magic & 0xFFFFFFFF).to_bytes(4, "little") + (magic >> 32).to_bytes(4, "little")
    assert encode_footer(WORKED)[-8:] == low_then_high


@given(handles, handles)
def test_round_trip(metaindex: BlockHandle, index: BlockHandle) -> None:
    encoded = encode_footer(Footer(metaindex, index))
    assert len(encoded) == FOOTER_NBYTES == 48
    assert decode_footer(encoded) == Footer(metaindex, index)


@given(handles)
def test_handle_round_trip_ignores_what_follows(handle: BlockHandle) -> None:
    encoded = encode_handle(handle)
    assert decode_handle(encoded + b"\x05more") == (handle, len(encoded))


@pytest.mark.parametrize("nbytes", [0, 1, 8, 47])
def test_too_few_bytes(nbytes: int) -> None:
    with pytest.raises(TruncatedError) as caught:
        decode_footer(WORKED_TABLE[len(WORKED_TABLE) - nbytes :])
    reason = f"file is too short to be an sstable: {nbytes} bytes, its footer alone takes 48"
    assert caught.value.args == (reason, "", "footer", None)


@pytest.mark.parametrize("position", range(40, 48))
def test_wrong_magic_number(position: int) -> None:
    data = bytearray(WORKED_TABLE[-48:])
    data[position] ^= 1
    with pytest.raises(FormatError) as caught:
        decode_footer(bytes(data))
    assert caught.value.args == ("not an sstable (bad magic number)", "", "footer", None)


@pytest.mark.parametrize("handle_bytes", [b"\xff" * 40, b"\x80" * 40, b"\x01\x02\x03" + b"\xff" * 37])
def test_handles_that_do_not_parse(handle_bytes: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        decode_footer(handle_bytes + MAGIC)
    assert caught.value.args == ("bad block handle", "", "footer", None)


def test_handle_that_ends_early() -> None:
    for data in (b"", b"\x01", b"\x01\x80"):
        with pytest.raises(FormatError, match=r"^bad block handle$"):
            decode_handle(data)


def test_padding_may_hold_anything() -> None:
    data = bytearray(WORKED_TABLE[-48:])
    data[10:40] = b"\xff" * 30
    assert decode_footer(bytes(data)) == WORKED
