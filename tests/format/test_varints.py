from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import varint
from tfbundle.errors import FormatError
from tfbundle.format.varints import decode_varint_array, decode_varints

numbers = st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)), max_size=20)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ("", []),
        ("00", [0]),
        ("7f 8001 ff01", [127, 128, 255]),
        ("ac02", [300]),
        ("ffffffff0f", [2**32 - 1]),
        ("ffffffffffffffffff01", [2**64 - 1]),
        ("80808080808080808001", [2**63]),
        ("8100 01", [1, 1]),  # longer than it need be
    ],
)
def test_known_bytes(data: str, values: list[int]) -> None:
    contents = bytes.fromhex(data)
    assert decode_varints(contents, 99) == (values, len(contents))


@given(numbers, st.binary(max_size=5))
def test_limit_leaves_the_rest(values: list[int], rest: bytes) -> None:
    data = b"".join(map(varint, values))
    assert decode_varints(data + rest, len(values)) == (values, len(data))


@given(numbers.filter(bool), st.data())
def test_unfinished_number_is_left(values: list[int], data: st.DataObject) -> None:
    encoded = [varint(value) for value in values]
    cut = data.draw(st.integers(0, len(encoded[-1]) - 1))
    finished = b"".join(encoded[:-1])
    assert decode_varints(finished + encoded[-1][:cut], 99) == (values[:-1], len(finished))


def test_numbers_have_64_bits() -> None:
    array, _ = decode_varint_array(varint(2**64 - 1) + varint(1), 2)
    assert array.dtype == "uint64"
    assert array.tolist() == [2**64 - 1, 1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("80808080808080808002", "above 64 bits"),
        ("ffffffffffffffffff7f", "above 64 bits"),
        ("8080808080808080808001", "more than 10 bytes"),
        ("01 8080808080808080808000", "more than 10 bytes"),
        ("01 80808080808080808080 80", "more than 10 bytes"),  # nor will it end well
    ],
)
def test_numbers_that_are_too_long(data: str, reason: str) -> None:
    with pytest.raises(
        FormatError, match=f"Parsed past limit: a varint {reason}|Parsed past limit: a varint of {reason}"
    ):
        decode_varints(bytes.fromhex(data), 9)


def test_what_is_beyond_the_limit_is_not_looked_at() -> None:
    assert decode_varints(b"\x05" + b"\xff" * 40, 1) == ([5], 1)
    assert decode_varints(b"\xff" * 40, 0) == ([], 0)
