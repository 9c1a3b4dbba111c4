"""Keys of slices: encoded so that their byte order is the order of (name, extents).

::

    key = 0 | name, 00 -> 00ff, ff -> ff00 | 00 01 | rank | start, length of each dimension
    number without sign = count of bytes, then the bytes, big-endian
    number with sign    = big-endian two's complement, the leading bits telling the number of bytes

Source: TensorFlow ``tsl/lib/strings/ordered_code.cc``, ``core/util/saved_tensor_slice_util.cc``
(``EncodeTensorNameSlice``).
"""

from __future__ import annotations

import re

FULL_LENGTH = -1
Extent = tuple[int, int]
"""Start and length along one dimension; length -1 spans all of it."""

_NAME_END = b"\x00\x01"
_ESCAPES = {0x00: b"\x00\xff", 0xFF: b"\xff\x00"}
_ESCAPED = re.compile(b"\x00\xff|\xff\x00")
_NAME = re.compile(b"\x00((?:[^\x00\xff]|\x00\xff|\xff\x00)*)\x00\x01")


def encode_slice_key(name: bytes, extents: tuple[Extent, ...]) -> bytes:
    """Return the index key under which a slice of a partitioned tensor is stored.

    Example:
        >>> encode_slice_key(b"w", ((0, 2), (0, -1))).hex()
        '0077000101028082807f'
    """
    numbers = b"".join(encode_signed(number) for extent in extents for number in extent)
    return encode_unsigned(0) + _escape(name) + _NAME_END + encode_unsigned(len(extents)) + numbers


def rename_slice_key(key: bytes, name: bytes) -> bytes:
    """Return the key of the same slice of a tensor with another name.

    Raises:
        ValueError: ``key`` is not that of a slice.

    Example:
        >>> rename_slice_key(encode_slice_key(b"w", ((0, 2),)), b"v") == encode_slice_key(b"v", ((0, 2),))
        True
    """
    found = _NAME.match(key)
    if found is None:
        raise ValueError(f"{key!r} is not the key of a slice")
    return encode_unsigned(0) + _escape(name) + key[found.end(1) :]


def decode_slice_name(key: bytes) -> bytes | None:
    r"""Return the name of the tensor that a slice's key is about, None if the key is not that of a slice.

    Example:
        >>> decode_slice_name(encode_slice_key(b"a\0\xff", ((0, 2),)))
        b'a\x00\xff'
    """
    found = _NAME.match(key)
    if found is None:
        return None
    return _ESCAPED.sub(lambda escape: escape[0][:1], found[1])


def _escape(name: bytes) -> bytes:
    return b"".join(_ESCAPES.get(byte, bytes([byte])) for byte in name)


def encode_unsigned(value: int) -> bytes:
    """Encode a number that is not negative."""
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([len(digits)]) + digits


def encode_signed(value: int) -> bytes:
    """Encode a signed number of up to 64 bits.

    Example:
        >>> [encode_signed(value).hex() for value in (0, -1, 64, 70000)]
        ['80', '7f', 'c040', 'e11170']
    """
    magnitude = value if value >= 0 else ~value
    nbytes = magnitude.bit_length() // 7 + 1
    header = ((1 << nbytes) - 1) << (16 - nbytes)  # nbytes leading ones in two bytes
    header = header << 8 * nbytes >> 16  # which are the first two of the encoding
    return ((value & ((1 << 8 * nbytes) - 1)) ^ header).to_bytes(nbytes, "big")
