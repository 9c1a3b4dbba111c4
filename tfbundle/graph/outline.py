"""A graph without the contents of its large constants, which stay in their file until they are written again.

Source: TensorFlow ``core/framework/graph.proto``, ``node_def.proto``, ``attr_value.proto``, ``tensor.proto``; the
documentation of protobuf's encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tfbundle.errors import FormatError
from tfbundle.pb import message_class, parse_message
from tfbundle.sstable.varint import decode_varint, encode_varint
from tfbundle.storage.base import ReadableFile

LARGE_NBYTES = 1 << 16
"""Contents of more bytes stay in the file."""

_NODE = 1  # of GraphDef
_TO_CONTENT = (5, 2, 8, 4)  # from NodeDef: attr, its value, tensor, tensor_content
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MOST_HEAD_NBYTES = 20  # of a tag and a length
_MOST_FIELDS = 1_000_000  # side by side; some microseconds each


class Content(NamedTuple):
    """Bytes of a file."""

    offset: int
    nbytes: int


class Outline(NamedTuple):
    """A graph, and what is not in it.

    Attributes:
        message: a GraphDef.
        contents: of constants of the main graph whose values it lacks, by the names of their nodes.
    """

    message: Any
    contents: dict[str, Content]


class _Field(NamedTuple):
    """Where a field lies in a file: its tag, what comes after tag and length, and its end."""

    number: int
    wire_type: int
    start: int
    body: int
    end: int

    @property
    def is_large(self) -> bool:
        return self.wire_type == _BYTES and self.end - self.body > LARGE_NBYTES


def read_outline(file: ReadableFile) -> Outline:
    """Parse a GraphDef without holding the contents of its large constants.

    Args:
        file: with the GraphDef, and nothing else.

    Raises:
        FormatError: it is none.
    """
    try:
        return _read(file)
    except _OddError:
        return Outline(parse_message("GraphDef", file.read(0, file.nbytes)), {})


class _OddError(Exception):
    """It takes a whole parser to say what a file means."""


def _read(file: ReadableFile) -> Outline:
    pieces: list[bytes] = []
    found: list[tuple[int, int, Content]] = []  # number of the node, size of what is left of it
    num_nodes = copied = 0
    for field in _iter_fields(file, 0, file.nbytes):
        if field.number != _NODE or field.wire_type != _BYTES:
            continue
        if field.is_large:
            body, content = _cut_out(file, field, _TO_CONTENT)
            pieces += [file.read(copied, field.start - copied), _encode_field(_NODE, body)]
            copied = field.end
            if content is not None:
                found.append((num_nodes, len(body), content))
        num_nodes += 1
    pieces.append(file.read(copied, file.nbytes - copied))
    message = parse_message("GraphDef", b"".join(pieces))
    nodes = message.node
    contents = {nodes[number].name: content for number, _, content in found}
    if len(contents) < len(found) or not all(_is_plain(nodes[number], nbytes) for number, nbytes, _ in found):
        raise _OddError
    return Outline(message, contents)


def _is_plain(node: Any, nbytes: int) -> bool:
    """Tell whether a node is a constant whose only tensor was cut out, and says nothing twice."""
    tensors = [key for key, value in node.attr.items() if value.HasField("tensor")]
    is_cut = tensors == ["value"] and not node.attr["value"].tensor.tensor_content
    return bool(node.op == "Const" and is_cut and node.ByteSize() == nbytes)


def _iter_fields(file: ReadableFile, start: int, end: int) -> Iterator[_Field]:
    for _ in range(_MOST_FIELDS):
        if start == end:
            return
        field = _read_field(file, start, end)
        yield field
        start = field.end
    raise _OddError


def _read_field(file: ReadableFile, start: int, end: int) -> _Field:
    """Return the field at an offset.

    Raises:
        FormatError: there is none, or it goes on beyond ``end``.
    """
    head = file.read(start, min(_MOST_HEAD_NBYTES, end - start))
    try:
        tag, at = decode_varint(head, 0, len(head), 32)
        wire_type = tag & 7
        if wire_type in (_VARINT, _BYTES):
            value, after = decode_varint(head, at, len(head))
    except FormatError as error:
        raise FormatError(f"no message GraphDef: {error.reason} at byte {start}") from error
    if wire_type == _BYTES:
        field = _Field(tag >> 3, wire_type, start, start + after, start + after + value)
    elif wire_type == _VARINT:
        field = _Field(tag >> 3, wire_type, start, start + at, start + after)
    elif wire_type in (_FIXED_32, _FIXED_64):
        field = _Field(tag >> 3, wire_type, start, start + at, start + at + (4 if wire_type == _FIXED_32 else 8))
    else:
        raise FormatError(f"no message GraphDef: no such field at byte {start}")
    if field.end > end:
        raise FormatError(f"no message GraphDef: the field at byte {start} has {field.end - end} bytes too many")
    return field


def _cut_out(file: ReadableFile, field: _Field, path: tuple[int, ...]) -> tuple[bytes, Content | None]:
    """Return the body of a field without the large content that a path of fields leads to, and where that is."""
    parts: list[bytes] = []
    content: Content | None = None
    for inner in _iter_fields(file, field.body, field.end):
        if content is None and inner.number == path[0] and inner.is_large:
            if len(path) == 1:
                content = Content(inner.body, inner.end - inner.body)
                continue
            body, content = _cut_out(file, inner, path[1:])
            parts.append(_encode_field(inner.number, body))
        else:
            parts.append(file.read(inner.start, inner.end - inner.start))
    return b"".join(parts), content


def _encode_field(number: int, body: bytes) -> bytes:
    return _head(number, len(body)) + body


def _head(number: int, nbytes: int) -> bytes:
    return encode_varint(number << 3 | _BYTES) + encode_varint(nbytes)


def encode_before(node: Any, nbytes: int) -> bytes:
    r"""Return the bytes of a node of a GraphDef that come before its content, which are the last of it.

    Args:
        node: a constant that was cut out.
        nbytes: how long the content is.

    Example:
        >>> node = message_class("NodeDef")(name="w", op="Const")
        >>> node.attr["value"].tensor.dtype = 1
        >>> encode_before(node, 3)[:2]
        b'\n\x1e'
    """
    value = message_class("AttrValue")()
    value.CopyFrom(node.attr["value"])
    tensor = value.tensor.SerializeToString(deterministic=True) + _head(4, nbytes)
    value.ClearField("tensor")
    data = value.SerializeToString(deterministic=True) + _head(8, len(tensor) + nbytes) + tensor
    data = _encode_field(1, b"value") + _head(2, len(data) + nbytes) + data
    rest = message_class("NodeDef")()
    rest.CopyFrom(node)
    del rest.attr["value"]
    data = rest.SerializeToString(deterministic=True) + _head(5, len(data) + nbytes) + data
    return _head(_NODE, len(data) + nbytes) + bytes(data)
