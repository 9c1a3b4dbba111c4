"""Entries and headers in the form in which every writer leaves them, decoded and encoded without protobuf.

::

    entry  = 08 dtype | 12 n (12 n 08 dim)* | [18 shard_id] | [20 offset] | [28 size] | [35 crc32c, fixed32]
    header = 08 num_shards | [10 endianness] | 1a 02 08 01

Integers are varints, as short as can be; a field that is 0 is left out. This is a fast path: whatever differs, if only
by an unknown field, is left to protobuf, whose import alone takes longer than the conversion of a small checkpoint.

Source: TensorFlow ``core/protobuf/tensor_bundle.proto``, ``core/framework/tensor_shape.proto``.
"""

from __future__ import annotations

from typing import NamedTuple

from tfbundle.errors import FormatError
from tfbundle.sstable.varint import decode_varint, encode_varint

DTYPE_TAG, SHAPE_TAG, SHARD_TAG, OFFSET_TAG, SIZE_TAG, CRC_TAG = b"\x08\x12\x18\x20\x28\x35"
DIM_TAG, DIM_SIZE_TAG = b"\x12\x08"

VERSION_MESSAGE = b"\x08\x01"
"""Version 1 as producer, and nothing else."""

_HEADER_ENDS = [endianness + b"\x1a\x02" + VERSION_MESSAGE for endianness in (b"", b"\x10\x01")]


class PlainEntry(NamedTuple):
    """The fields of an entry without slices; ``crc32c`` is masked."""

    dtype: int
    shape: tuple[int, ...]
    shard_id: int
    offset: int
    size: int
    crc32c: int


class _NotPlainError(Exception):
    pass


def decode_plain_entry(data: bytes) -> PlainEntry | None:
    """Decode an entry; None if it is not plain. Nothing is checked beyond that.

    Example:
        >>> decode_plain_entry(bytes.fromhex("080312002008280435633f7f28"))
        PlainEntry(dtype=3, shape=(), shard_id=0, offset=8, size=4, crc32c=679427939)
    """
    if len(data) < 4 or data[0] != DTYPE_TAG or data[2] != SHAPE_TAG or data[1] | data[3] > 0x7F or not data[1]:
        return None
    try:
        end = 4 + data[3]
        shape = _decode_dims(data, 4, end)
        shard_id, end = _decode_number(data, end, SHARD_TAG, 31)
        offset, end = _decode_number(data, end, OFFSET_TAG, 63)
        size, end = _decode_number(data, end, SIZE_TAG, 63)
        return PlainEntry(data[1], shape, shard_id, offset, size, _decode_crc(data, end))
    except (_NotPlainError, FormatError):
        return None


def _decode_dims(data: bytes, position: int, end: int) -> tuple[int, ...]:
    dims = []
    while position < end <= len(data):
        stop = position + 2 + data[position + 1] if position + 1 < end else end + 1
        if stop > end or data[position] != DIM_TAG:
            raise _NotPlainError
        if stop == position + 2:
            dims.append(0)
        else:
            size, after = _decode_number(data[:stop], position + 2, DIM_SIZE_TAG, 63)
            if after != stop or not size:
                raise _NotPlainError
            dims.append(size)
        position = stop
    if position != end:
        raise _NotPlainError
    return tuple(dims)


def _decode_number(data: bytes, position: int, tag: int, bits: int) -> tuple[int, int]:
    """Decode a field that may be absent, and is not 0 where it is present; return its value and what comes after."""
    if position >= len(data) or data[position] != tag:
        return 0, position
    value, end = decode_varint(data, position + 1, len(data))
    if not value or value >> bits or value >> 7 * (end - position - 2) == 0:
        raise _NotPlainError
    return value, end


def _decode_crc(data: bytes, position: int) -> int:
    if position == len(data):
        return 0
    crc = int.from_bytes(data[position + 1 :], "little")
    if len(data) - position != 5 or data[position] != CRC_TAG or not crc:
        raise _NotPlainError
    return crc


def encode_plain_entry(head: bytes, shard_id: int, offset: int, size: int, crc32c: int) -> bytes:
    """Encode an entry from its encoded dtype and shape.

    Args:
        head: of an entry: ``encode_head``, or the first bytes of a plain entry, as many as
            ``EntryColumns.head_nbytes`` says.
        shard_id: which data file.
        offset: where the payload starts, in bytes.
        size: bytes of payload.
        crc32c: checksum of the payload, masked.

    Example:
        >>> encode_plain_entry(bytes.fromhex("08031200"), 0, 8, 4, 0x287F3F63).hex()
        '080312002008280435633f7f28'
    """
    if shard_id:
        head += b"\x18" + encode_varint(shard_id)
    if offset:
        head += b"\x20" + encode_varint(offset)
    if size:
        head += b"\x28" + encode_varint(size)
    return head + b"\x35" + crc32c.to_bytes(4, "little") if crc32c else head


def encode_head(dtype: int, shape: tuple[int, ...]) -> bytes:
    """Encode dtype and shape, as an entry starts.

    Example:
        >>> encode_head(1, (2, 0)).hex()
        '08011206120208021200'
    """
    sizes = [b"\x08" + encode_varint(size) if size else b"" for size in shape]
    dims = b"".join(b"\x12" + encode_varint(len(size)) + size for size in sizes)
    return b"\x08" + encode_varint(dtype) + b"\x12" + encode_varint(len(dims)) + dims


def decode_head(head: bytes) -> tuple[int, tuple[int, ...]]:
    """Return the dtype and the shape with which a plain entry starts; the inverse of ``encode_head``.

    Example:
        >>> decode_head(bytes.fromhex("08011206120208021200"))
        (1, (2, 0))
    """
    return head[1], _decode_dims(head, 4, len(head))


def replace_dtype(head: bytes, dtype: int) -> bytes:
    """Return the head of a plain entry with another dtype.

    Example:
        >>> replace_dtype(bytes.fromhex("08011200"), 19).hex()
        '08131200'
    """
    return head[:1] + bytes([dtype]) + head[2:]


def decode_plain_header(data: bytes) -> tuple[int, int] | None:
    """Decode a header of this format's version; return number of shards and endianness, None if it is not plain.

    Example:
        >>> decode_plain_header(bytes.fromhex("08021a020801"))
        (2, 0)
    """
    if data[2:] not in _HEADER_ENDS or data[:1] != b"\x08" or not 0 < data[1] < 0x80:
        return None
    return data[1], _HEADER_ENDS.index(data[2:])


def encode_plain_header(num_shards: int, endianness: int) -> bytes:
    """Encode a header of this format's version.

    Example:
        >>> encode_plain_header(1, 1).hex()
        '080110011a020801'
    """
    return (
        (b"\x08" + encode_varint(num_shards) if num_shards else b"")
        + (b"\x10" + encode_varint(endianness) if endianness else b"")
        + b"\x1a"
        + encode_varint(len(VERSION_MESSAGE))
        + VERSION_MESSAGE
    )
