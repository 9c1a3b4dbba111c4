from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.wire import bytes_field, fixed32_field, varint_field
from tfbundle.errors import FormatError
from tfbundle.graph import wire
from tfbundle.graph.sources import Memory
from tfbundle.graph.wire import Field, among, framed, read_field, take_apart
from tfbundle.storage.stream import whole

ODD = varint_field(9, 300) + fixed32_field(8, 7) + b"\x39abcdefgh"  # field 7 has eight bytes


def parts(data: bytes, *numbers: int) -> tuple[dict[int, list[bytes]], bytes]:
    found = take_apart("Message", Memory(data), [(0, len(data))], numbers)
    return {number: [data[at:end] for at, end in spans] for number, spans in found.spans.items()}, found.rest


def test_fields_are_told_apart() -> None:
    data = bytes_field(1, b"a") + ODD + bytes_field(200, b"b" * 300) + bytes_field(1, b"")
    assert parts(data, 1, 200) == ({1: [b"a", b""], 200: [b"b" * 300]}, ODD)
    assert parts(data, 2) == ({2: []}, data)
    assert parts(b"", 1) == ({1: []}, b"")


def test_field_of_another_wire_type_is_left() -> None:
    assert parts(varint_field(1, 5), 1) == ({1: []}, varint_field(1, 5))


def test_message_in_several_places() -> None:
    data = b"??" + bytes_field(1, b"a") + b"??" + ODD + bytes_field(1, b"b")
    spans, rest = take_apart("Message", Memory(data), [(2, 5), (7, len(data))], [1])
    assert ([data[at:end] for at, end in spans[1]], rest) == ([b"a", b"b"], ODD)


@pytest.mark.parametrize(
    "data", [b"\x0b", b"\x0c", b"\x0e", b"\xff" * 30, b"\x08", b"\x0a", b"\x0a" + b"\xff" * 9 + b"\x01"]
)
def test_what_is_no_field(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"Message not parseable: .* at byte 3"):
        parts(bytes_field(1, b"a") + data, 1)


@pytest.mark.parametrize("data", [bytes_field(1, b"abc")[:-1], b"\x0dabc", b"\x09abcdefg"])
def test_what_is_cut_short(data: bytes) -> None:
    with pytest.raises(FormatError, match="the field at byte 3 has 1 bytes too many"):
        parts(bytes_field(1, b"a") + data, 1)


def test_no_more_fields_than_memory_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_FIELDS", 3)
    assert parts(bytes_field(1, b"") * 3, 1) == ({1: [b""] * 3}, b"")
    with pytest.raises(FormatError, match="Message: more than 3 fields"):
        parts(bytes_field(1, b"") * 4, 1)


fields: Any = st.one_of(
    st.builds(bytes_field, st.integers(1, 40), st.binary(max_size=200)),
    st.builds(varint_field, st.integers(1, 40), st.integers(0, 2**64 - 1)),
    st.builds(fixed32_field, st.integers(1, 40), st.integers(0, 2**32 - 1)),
)


@given(st.lists(fields, max_size=20))
def test_fields_follow_each_other(found: list[bytes]) -> None:
    data, at = b"".join(found), 0
    for field in found:
        read = read_field(data, at, len(data))
        assert (read.start, read.end) == (at, at + len(field))
        at = read.end


def test_a_field() -> None:
    assert read_field(bytes_field(2, b"abc"), 0, 5) == Field(2, 2, 0, 2, 5)


def test_fields_are_put_in_their_place() -> None:
    def put(rest: bytes, number: int) -> bytes:
        stream = among(rest, number, framed(number, whole(b"new")))
        data = b"".join(stream.pieces())
        assert len(data) == stream.nbytes
        return data

    one, two, three = (bytes_field(number, b"x") for number in (1, 2, 3))
    assert put(one + three, 2) == one + bytes_field(2, b"new") + three
    assert put(one + two, 3) == one + two + bytes_field(3, b"new")
    assert put(two, 1) == bytes_field(1, b"new") + two
    assert put(b"", 300) == bytes_field(300, b"new")
