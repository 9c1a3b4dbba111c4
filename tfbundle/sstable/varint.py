"""Base-128 variable-length integers, least significant group first.

Source: TensorFlow ``core/platform/coding.cc`` (``EncodeVarint64``, ``GetVarint64Ptr``).
"""

from __future__ import annotations

from tfbundle.errors import FormatError

_ONE_BYTE = [bytes([value]) for value in range(0x80)]


def encode_varint(value: int) -> bytes:
    """Encode a number from 0 to 2**64 - 1.

    Example:
        >>> encode_varint(300).hex()
        'ac02'
    """
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes | memoryview, position: int, end: int, bits: int = 64) -> tuple[int, int]:
    r"""Decode the number at ``position``; return it and the position after it.

    Args:
        data: what to read from.
        position: where the number starts.
        end: no byte at or after this position is looked at.
        bits: 32 or 64; a number that needs more is malformed.

    Raises:
        FormatError: the number runs past ``end``, takes more bytes than ``bits`` need, or does not fit in them.

    Example:
        >>> decode_varint(b"\xac\x02", 0, 2)
        (300, 2)
    """
    value = 0
    max_nbytes = -(-bits // 7)
    for index, byte in enumerate(data[position : min(end, position + max_nbytes)]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> bits:
                raise FormatError(f"varint exceeds {bits} bits")
            return value, position + index + 1
    raise FormatError("malformed varint")
