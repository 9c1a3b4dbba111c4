"""String tensors: a list of byte strings <-> their payload.

The layout and what its checksums cover stand in ``payload_checksum``.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``WriteStringTensor``, ``ReadStringTensor``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tfbundle.errors import FormatError, TruncatedError
from tfbundle.format.dtypes import STRING
from tfbundle.format.payload_checksum import ByteOrder, pack_sizes, payload_checksum
from tfbundle.format.varints import decode_varints
from tfbundle.sstable.checksum import crc32c, mask_crc32c
from tfbundle.sstable.varint import encode_varint

_CRC_NBYTES = 4


def encode_strings(values: Sequence[bytes]) -> bytes:
    """Encode the payload of a string tensor, elements in C order.

    Example:
        >>> encode_strings([b"hello"]).hex()
        '05d9c69c4368656c6c6f'
    """
    sizes = [len(value) for value in values]
    sizes_crc = struct.pack("<I", mask_crc32c(crc32c(pack_sizes(sizes))))
    return b"".join((*map(encode_varint, sizes), sizes_crc, *values))


def string_payload_nbytes(data: bytes, num_elements: int) -> int:
    """Return the size in bytes of the whole payload, from its beginning.

    Args:
        data: the beginning of the payload, which must reach past the sizes.
        num_elements: number of strings.

    Raises:
        FormatError: ``data`` ends before the last size, or a size is malformed.
    """
    sizes, used = decode_varints(data, num_elements)
    if len(sizes) < num_elements:
        raise FormatError(f"String lengths longer than expected: {len(sizes)} of {num_elements} in the payload")
    return used + _CRC_NBYTES + sum(sizes)


def decode_strings(data: bytes, num_elements: int, byteorder: ByteOrder = "little") -> tuple[list[bytes], int]:
    """Decode a string payload; return the strings and the payload's crc32c, unmasked.

    Args:
        data: the payload; bytes after its last string are ignored, as TensorFlow ignores them.
        num_elements: number of strings.
        byteorder: of the bundle.

    Raises:
        ChecksumError: the checksum of the sizes does not match.
        FormatError: the payload is malformed.
        TruncatedError: the payload ends before its last string.

    Example:
        >>> decode_strings(bytes.fromhex("05d9c69c4368656c6c6f"), 1)[0]
        [b'hello']
    """
    if not data and not num_elements:
        return [], 0
    nbytes = string_payload_nbytes(data, num_elements)
    if nbytes > len(data):
        raise TruncatedError(f"Read less bytes than requested: strings take {nbytes} bytes, {len(data)} are there")
    checksum = payload_checksum(STRING, num_elements, byteorder)
    checksum.update(data[:nbytes])
    crc = checksum.finish()
    sizes, used = decode_varints(data, num_elements)
    position = used + _CRC_NBYTES
    values = []
    for size in sizes:
        values.append(data[position : position + size])
        position += size
    return values, crc
