r"""Fields of protobuf messages where they lie in bytes: a message can be taken apart without parsing all of it.

Source: the documentation of protobuf's encoding.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from tfbundle.errors import FormatError
from tfbundle.graph.sources import Source
from tfbundle.sstable.varint import decode_varint, encode_varint
from tfbundle.storage.stream import Stream, joined, whole

BYTES = 2
_MOST_HEAD_NBYTES = 20  # of a tag and a length
_VARINT, _FIXED_64, _FIXED_32 = 0, 1, 5
MOST_FIELDS = 4_000_000  # side by side, some bytes of memory each; real graphs have some 100,000 nodes


class Field(NamedTuple):
    """Where a field lies.

    Attributes:
        number: its number in the message.
        wire_type: how it is encoded.
        start: where its tag is.
        body: where what comes after tag and length is.
        end: where the next field is.
    """

    number: int
    wire_type: int
    start: int
    body: int
    end: int


class Spans:
    """Places in bytes: many of them in little memory.

    Example:
        >>> spans = Spans([(2, 5)])
        >>> spans.append(7, 8)
        >>> list(spans)
        [(2, 5), (7, 8)]
    """

    def __init__(self, places: Iterable[tuple[int, int]] = ()) -> None:
        self._starts, self._ends = array("q"), array("q")
        for start, end in places:
            self.append(start, end)

    def append(self, start: int, end: int) -> None:
        """Add a place."""
        self._starts.append(start)
        self._ends.append(end)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, at: int) -> tuple[int, int]:
        return self._starts[at], self._ends[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)


class Parts(NamedTuple):
    """A message taken apart.

    Attributes:
        spans: where the bodies of some fields lie, by their numbers.
        rest: the bytes of all other fields.
    """

    spans: dict[int, Spans]
    rest: bytes


def read_field(data: bytes, start: int, end: int) -> Field:
    """Return the field at a place, which may go on beyond ``end`` unless it is a number.

    Raises:
        FormatError: there is none.
    """
    tag, at = _read_number(data, start, end, 32)
    kind = tag & 7
    if kind == BYTES:
        nbytes, body = _read_number(data, at, end, 64)
        return Field(tag >> 3, kind, start, body, body + nbytes)
    if kind == _VARINT:
        return Field(tag >> 3, kind, start, at, _read_number(data, at, end, 64)[1])
    if kind not in (_FIXED_32, _FIXED_64):
        raise FormatError("no such field")
    return Field(tag >> 3, kind, start, at, at + (4 if kind == _FIXED_32 else 8))


def _read_number(data: bytes, at: int, end: int, bits: int) -> tuple[int, int]:
    """Return a varint and where it ends; most have one byte."""
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    return decode_varint(data, at, end, bits)


def take_apart(name: str, source: Source, places: Iterable[tuple[int, int]], numbers: Collection[int]) -> Parts:
    r"""Take a message apart, which lies in several places if it was written in pieces.

    Args:
        name: of the message.
        source: where it lies.
        places: where its pieces start and end.
        numbers: of the fields to tell apart, which are messages, strings or bytes.

    Raises:
        FormatError: no such message.

    Example:
        >>> from tfbundle.graph.sources import Memory
        >>> parts = take_apart("OpDef", Memory(b"\x0a\x01f\x88\x01\x01"), [(0, 6)], [1])
        >>> list(parts.spans[1]), parts.rest
        ([(2, 3)], b'\x88\x01\x01')
    """
    spans: dict[int, Spans] = {number: Spans() for number in numbers}
    rest = bytearray()
    count = 0
    for start, end in places:
        taken = start
        for field in iter_fields(name, source, start, end):
            count += 1
            if count > MOST_FIELDS:
                raise FormatError(f"{name}: more than {MOST_FIELDS} fields, expected fewer")
            if field.wire_type == BYTES and field.number in spans:
                spans[field.number].append(field.body, field.end)
                rest += source.read(taken, field.start)
                taken = field.end
        rest += source.read(taken, end)
    return Parts(spans, bytes(rest))


def iter_fields(name: str, source: Source, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of a message that lies between two places.

    Args:
        name: of the message.
        source: where it lies.
        start: where it starts.
        end: where it ends.

    Raises:
        FormatError: no such message.
    """
    while start < end:
        first = source.read(start, min(start + _MOST_HEAD_NBYTES, end))
        try:
            number, wire_type, _, body, stop = read_field(first, 0, len(first))
        except FormatError as error:
            raise FormatError(f"{name} not parseable: {error.reason} at byte {start}") from error
        if start + stop > end:
            many = start + stop - end
            raise FormatError(f"{name} not parseable: the field at byte {start} has {many} bytes too many")
        yield Field(number, wire_type, start, start + body, start + stop)
        start += stop


def head(number: int, nbytes: int) -> bytes:
    r"""Return what stands before the bytes of a field.

    Example:
        >>> head(1, 300)
        b'\n\xac\x02'
    """
    return encode_varint(number << 3 | BYTES) + encode_varint(nbytes)


def framed(number: int, stream: Stream) -> Stream:
    """Return the stream of a field that has the bytes of another."""
    return joined(whole(head(number, stream.nbytes)), stream)


def among(rest: bytes, number: int, field: Stream) -> Stream:
    r"""Return the stream of a message that has further fields of one number, put where these belong by their number.

    Args:
        rest: the other fields.
        number: of the further fields.
        field: what they are, with tags and lengths.

    Example:
        >>> b"".join(among(b"\x08\x01\x18\x03", 2, whole(b"\x10\x02")).pieces())
        b'\x08\x01\x10\x02\x18\x03'
    """
    at = 0
    while at < len(rest):
        found = read_field(rest, at, len(rest))
        if found.number > number:
            break
        at = found.end
    return joined(whole(rest[:at]), field, whole(rest[at:]))
