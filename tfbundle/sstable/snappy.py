"""Snappy's raw format, decoding only: blocks of type 1 in tables that older writers made.

A block is its uncompressed length as a varint, then elements told apart by the low two bits of their tag:
``00`` a literal, ``01``, ``10`` and ``11`` copies of earlier output with offsets of 11, 16 and 32 bits.
``cramjam`` decodes where it is installed; the decoder here does the same without it.

Source: the public format description of Snappy; TensorFlow ``tsl/platform/snappy.h`` for its use in tables.
"""

from __future__ import annotations

from tfbundle.errors import FormatError
from tfbundle.sstable.varint import decode_varint

_CORRUPTED = "corrupted compressed block contents"
_MAX_EXPANSION = 22  # a copy of 64 bytes takes 3, so no stream can promise more


def decompress_snappy(data: bytes) -> bytes:
    r"""Decompress one raw Snappy stream.

    Raises:
        FormatError: the stream is malformed, or promises more than its size could hold (checked before
            anything is allocated).

    Example:
        >>> decompress_snappy(b"\x05\x00a\x01\x01")
        b'aaaaa'
    """
    length, start = _decode_length(data)
    try:
        from cramjam import snappy
    except ImportError:
        return decode_elements(data, start, length)
    try:
        output = bytes(snappy.decompress_raw(data))
    except Exception as error:  # cramjam's own class would have to be imported to be named
        raise FormatError(_CORRUPTED) from error
    if len(output) != length:
        raise FormatError(_CORRUPTED)
    return output


def _decode_length(data: bytes) -> tuple[int, int]:
    try:
        length, start = decode_varint(data, 0, len(data), bits=32)
    except FormatError as error:
        raise FormatError(_CORRUPTED) from error
    if length > _MAX_EXPANSION * len(data) + 64:
        raise FormatError(f"{_CORRUPTED}: {len(data)} bytes cannot decompress to {length}")
    return length, start


def decode_elements(data: bytes, position: int, length: int) -> bytes:
    """Decode the elements from ``position`` on, which must yield exactly ``length`` bytes.

    Raises:
        FormatError: the stream is malformed.
    """
    output = bytearray()
    while position < len(data):
        append = _append_copy if data[position] & 3 else _append_literal
        position = append(data, position, output)
        if len(output) > length:
            raise FormatError(_CORRUPTED)
    if len(output) != length:
        raise FormatError(_CORRUPTED)
    return bytes(output)


def _append_literal(data: bytes, position: int, output: bytearray) -> int:
    count = data[position] >> 2
    position += 1
    if count >= 60:
        width = count - 59
        count = _fixed(data, position, width)
        position += width
    end = position + count + 1
    if end > len(data):
        raise FormatError(_CORRUPTED)
    output += data[position:end]
    return end


def _append_copy(data: bytes, position: int, output: bytearray) -> int:
    tag = data[position]
    if tag & 3 == 1:
        count = (tag >> 2 & 7) + 4
        offset = (tag >> 5) << 8 | _fixed(data, position + 1, 1)
        position += 2
    else:
        width = 2 if tag & 3 == 2 else 4
        count = (tag >> 2) + 1
        offset = _fixed(data, position + 1, width)
        position += 1 + width
    if not 0 < offset <= len(output):
        raise FormatError(_CORRUPTED)
    piece = output[-offset:]  # shorter than the copy where the two overlap: then it repeats
    output += (piece * (count // len(piece) + 1))[:count]
    return position


def _fixed(data: bytes, position: int, width: int) -> int:
    if position + width > len(data):
        raise FormatError(_CORRUPTED)
    return int.from_bytes(data[position : position + width], "little")
