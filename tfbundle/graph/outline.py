"""A graph without the contents of its large constants, which stay in their file until they are written again.

Source: TensorFlow ``core/framework/graph.proto``, ``node_def.proto``, ``attr_value.proto``, ``tensor.proto``; the
documentation of protobuf's encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tfbundle.graph.sources import FileSource
from tfbundle.graph.wire import BYTES, Field, head, iter_fields
from tfbundle.pb import message_class, parse_message
from tfbundle.storage.base import ReadableFile

LARGE_NBYTES = 1 << 16
"""Contents of more bytes stay in the file."""

_NODE = 1  # of GraphDef
_TO_CONTENT = (5, 2, 8, 4)  # from NodeDef: attr, its value, tensor, tensor_content
_MOST_FIELDS = 1_000_000  # side by side; some microseconds each


class Content(NamedTuple):
    """Bytes of a file."""

    offset: int
    nbytes: int


class Outline(NamedTuple):
    """A graph, and what is not in it.

    Attributes:
        data: a GraphDef.
        contents: of constants of the main graph whose values it lacks, by the names of their nodes.
    """

    data: bytes
    contents: dict[str, Content]


def read_outline(file: ReadableFile) -> Outline:
    """Read a GraphDef without the contents of its large constants.

    Args:
        file: with the GraphDef, and nothing else.

    Raises:
        FormatError: it is none.
    """
    try:
        return _read(file)
    except _OddError:
        return Outline(file.read(0, file.nbytes), {})


class _OddError(Exception):
    """It takes a whole parser to say what a file means."""


def _read(file: ReadableFile) -> Outline:
    pieces: list[bytes] = []
    contents: dict[str, Content] = {}
    copied = 0
    for field in _iter_fields(file, 0, file.nbytes):
        if field.number != _NODE or not _is_large(field):
            continue
        body, content = _cut_out(file, field, _TO_CONTENT)
        pieces += [file.read(copied, field.start - copied), head(_NODE, len(body)), body]
        copied = field.end
        if content is not None:
            node = parse_message("NodeDef", body)
            if node.name in contents or not _is_plain(node, len(body)):
                raise _OddError
            contents[node.name] = content
    pieces.append(file.read(copied, file.nbytes - copied))
    return Outline(b"".join(pieces), contents)


def _is_plain(node: Any, nbytes: int) -> bool:
    """Tell whether a node is a constant whose only tensor was cut out, and says nothing twice."""
    tensors = [key for key, value in node.attr.items() if value.HasField("tensor")]
    is_cut = tensors == ["value"] and not node.attr["value"].tensor.tensor_content
    return bool(node.op == "Const" and is_cut and node.ByteSize() == nbytes)


def _is_large(field: Field) -> bool:
    return field.wire_type == BYTES and field.end - field.body > LARGE_NBYTES


def _iter_fields(file: ReadableFile, start: int, end: int) -> Iterator[Field]:
    for count, field in enumerate(iter_fields("GraphDef", FileSource(file), start, end)):
        if count == _MOST_FIELDS:
            raise _OddError
        yield field


def _cut_out(file: ReadableFile, field: Field, path: tuple[int, ...]) -> tuple[bytes, Content | None]:
    """Return the body of a field without the large content that a path of fields leads to, and where that is."""
    parts: list[bytes] = []
    content: Content | None = None
    for inner in _iter_fields(file, field.body, field.end):
        if content is None and inner.number == path[0] and _is_large(inner):
            if len(path) == 1:
                content = Content(inner.body, inner.end - inner.body)
                continue
            body, content = _cut_out(file, inner, path[1:])
            parts.append(_encode_field(inner.number, body))
        else:
            parts.append(file.read(inner.start, inner.end - inner.start))
    return b"".join(parts), content


def _encode_field(number: int, body: bytes) -> bytes:
    return head(number, len(body)) + body


def encode_before(node: Any, nbytes: int) -> bytes:
    r"""Return the bytes of a NodeDef that come before its content, which are the last of it.

    Args:
        node: a constant that was cut out.
        nbytes: how long the content is.

    Example:
        >>> node = message_class("NodeDef")(name="w", op="Const")
        >>> node.attr["value"].tensor.dtype = 1
        >>> encode_before(node, 3)[:3]
        b'\n\x01w'
    """
    value = message_class("AttrValue")()
    value.CopyFrom(node.attr["value"])
    tensor = value.tensor.SerializeToString(deterministic=True) + head(4, nbytes)
    value.ClearField("tensor")
    data = value.SerializeToString(deterministic=True) + head(8, len(tensor) + nbytes) + tensor
    data = _encode_field(1, b"value") + head(2, len(data) + nbytes) + data
    rest = message_class("NodeDef")()
    rest.CopyFrom(node)
    del rest.attr["value"]
    return bytes(rest.SerializeToString(deterministic=True) + head(5, len(data) + nbytes) + data)
