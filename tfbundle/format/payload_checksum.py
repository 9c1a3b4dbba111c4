"""What a tensor's crc32c covers, fed chunk by chunk.

Numbers: the payload's bytes. Strings and variants: the element sizes as fixed-width integers instead of the varints
that are stored, the checksums in between as stored, and the contents::

    string tensor  = size varint64 of each element | masked crc of all sizes | contents of each element
    variant tensor = (size varint64 | contents | masked crc so far) for each element

A string's size counts as 4 bytes, or 8 where it does not fit in 4; a variant's always as 8. In a big-endian bundle
these integers, and the checksum after the sizes, are big-endian.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``WriteStringTensor``, ``WriteVariantTensor``,
``ReadStringTensor``, ``ReadVariantTensor``).
"""

from __future__ import annotations

import struct
from typing import Literal, Protocol

import numpy as np

from tfbundle.errors import ChecksumError, FormatError, UnsupportedError
from tfbundle.format.dtypes import STRING, VARIANT, DataType
from tfbundle.format.varints import MAX_VARINT_NBYTES, decode_varints
from tfbundle.sstable.checksum import crc32c, mask_crc32c, unmask_crc32c

_CRC_NBYTES = 4

ByteOrder = Literal["little", "big"]
Chunk = bytes | bytearray | memoryview


class PayloadChecksum(Protocol):
    """Takes a payload in chunks of any size and yields its crc32c, unmasked."""

    def update(self, chunk: Chunk) -> None:
        """Take the next bytes of the payload.

        Raises:
            FormatError: they break the structure of a string or variant payload.
        """

    def finish(self) -> int:
        """Return the crc32c of the whole payload.

        Raises:
            FormatError: the payload ended too early.
        """


def payload_checksum(dtype: DataType, num_elements: int, byteorder: ByteOrder = "little") -> PayloadChecksum:
    """Return the checksum that fits a tensor's element type and the byte order of its bundle.

    Raises:
        UnsupportedError: a variant tensor in a big-endian bundle, which TensorFlow refuses as well.

    Example:
        >>> checksum = payload_checksum(STRING, 1)
        >>> checksum.update(bytes.fromhex("05d9c69c4368656c6c6f"))
        >>> hex(mask_crc32c(checksum.finish()))
        '0x29c0e0ec'
    """
    if dtype == STRING:
        return StringChecksum(num_elements, byteorder)
    if dtype == VARIANT:
        if byteorder == "big":
            raise UnsupportedError("a variant tensor in a big-endian bundle, whose bytes nobody can interpret")
        return _VariantChecksum(num_elements)
    return _PlainChecksum()


class _PlainChecksum:
    def __init__(self) -> None:
        self._crc = 0

    def update(self, chunk: Chunk) -> None:
        self._crc = crc32c(chunk, self._crc)

    def finish(self) -> int:
        return self._crc


def add_row_crcs(window: memoryview, bounds: list[int], first: int, crcs: list[int]) -> None:
    """Extend the checksum of each row of plain numbers by its stretch of a window.

    Args:
        window: bytes of neighbouring rows.
        bounds: where the rows begin in it, and where the last ends.
        first: position in ``crcs`` of the first of them.
        crcs: checksums so far, unmasked.

    Example:
        >>> crcs = [0, 0]
        >>> add_row_crcs(memoryview(b"123456789x"), [0, 9, 10], 0, crcs)
        >>> hex(crcs[0])
        '0xe3069283'
    """
    start = bounds[0]
    for number, end in enumerate(bounds[1:], first):
        crcs[number] = crc32c(window[start:end], crcs[number])
        start = end


class StringChecksum:
    """Sizes, then their checksum, then contents; knows after the sizes how many bytes must follow.

    Attributes:
        little_endian_crc: crc32c that the payload has in a little-endian bundle, once all of it was taken.
        sizes_nbytes: where the sizes end and their checksum stands, in bytes from the start of the payload.
        little_endian_sizes_crc: the 4 bytes that stand there in a little-endian bundle.
    """

    def __init__(self, num_elements: int, byteorder: ByteOrder) -> None:
        self._byteorder = byteorder
        self._crc = 0
        self.little_endian_crc = 0
        self.little_endian_sizes_crc = b""
        self.sizes_nbytes = 0
        self._sizes_left = num_elements
        self._pending = b""  # an unfinished varint, or part of the sizes' checksum
        self._at_contents = False
        self._contents_left = 0
        self._empty = num_elements == 0  # such a payload may also have no bytes at all

    def update(self, chunk: Chunk) -> None:
        """Take the next bytes of the payload."""
        if not len(chunk):
            return
        self._empty = False
        if not self._at_contents:
            chunk = self._pending + bytes(chunk)
            chunk = self._take_sizes(chunk)
            chunk = self._take_sizes_checksum(chunk)
        if self._at_contents:
            self._take_contents(chunk)

    def finish(self) -> int:
        """Return the crc32c of the whole payload, in the byte order it has."""
        if self._empty:
            return 0
        if not self._at_contents or self._contents_left:
            raise FormatError("String lengths longer than expected: the payload ends before its last string")
        return self._crc

    def _take_sizes(self, chunk: bytes) -> bytes:
        if not self._sizes_left:
            return chunk
        sizes, used = decode_varints(chunk, self._sizes_left)
        self._sizes_left -= len(sizes)
        self._contents_left += sum(sizes)
        self._crc = crc32c(pack_sizes(sizes, self._byteorder), self._crc)
        if self._byteorder == "big":
            self.little_endian_crc = crc32c(pack_sizes(sizes), self.little_endian_crc)
        self.sizes_nbytes += used
        return chunk[used:]

    def _take_sizes_checksum(self, chunk: bytes) -> bytes:
        if self._sizes_left or len(chunk) < _CRC_NBYTES:
            self._pending = chunk
            return b""
        stored = chunk[:_CRC_NBYTES]
        _check_sizes_crc(int.from_bytes(stored, self._byteorder), self._crc)
        self._crc = crc32c(stored, self._crc)
        self.little_endian_sizes_crc = stored
        if self._byteorder == "big":
            self.little_endian_sizes_crc = mask_crc32c(self.little_endian_crc).to_bytes(_CRC_NBYTES, "little")
            self.little_endian_crc = crc32c(self.little_endian_sizes_crc, self.little_endian_crc)
        self._at_contents = True
        return chunk[_CRC_NBYTES:]

    def _take_contents(self, chunk: Chunk) -> None:
        self._contents_left -= len(chunk)
        if self._contents_left < 0:
            raise FormatError(f"string payload has {-self._contents_left} bytes after its last string")
        self._crc = crc32c(chunk, self._crc)
        if self._byteorder == "big":
            self.little_endian_crc = crc32c(chunk, self.little_endian_crc)


class _VariantChecksum:
    def __init__(self, num_elements: int) -> None:
        self._crc = 0
        self._num_elements = num_elements
        self._elements_left = num_elements
        self._pending = b""  # an unfinished varint or checksum
        self._contents_left = 0
        self._at_crc = False

    def update(self, chunk: Chunk) -> None:
        view = memoryview(self._pending + bytes(chunk))
        self._pending = b""
        while len(view):
            used = self._step(view)
            if not used:
                self._pending = bytes(view)
                return
            view = view[used:]

    def finish(self) -> int:
        if self._elements_left or self._pending:
            raise FormatError(f"variant payload ends with {self._elements_left} elements missing")
        return self._crc

    def _step(self, view: memoryview) -> int:
        """Take what can be taken of the current field; return how many bytes that was."""
        if self._contents_left:
            piece = view[: self._contents_left]
            self._crc = crc32c(piece, self._crc)
            self._contents_left -= len(piece)
            return len(piece)
        if self._at_crc:
            return self._take_crc(bytes(view[:_CRC_NBYTES]))
        if not self._elements_left:
            raise FormatError(f"variant payload has {len(view)} bytes after its last element")
        sizes, used = decode_varints(bytes(view[:MAX_VARINT_NBYTES]), 1)
        if sizes:
            self._crc = crc32c(struct.pack("<Q", sizes[0]), self._crc)
            self._contents_left, self._at_crc = sizes[0], True
        return used

    def _take_crc(self, stored: bytes) -> int:
        if len(stored) < _CRC_NBYTES:
            return 0
        if int.from_bytes(stored, "little") != mask_crc32c(self._crc):
            found = unmask_crc32c(int.from_bytes(stored, "little"))
            reason = f"The checksum after Variant {self._num_elements - self._elements_left} does not match"
            raise ChecksumError(reason, "", "", None, found, self._crc)
        self._crc = crc32c(stored, self._crc)
        self._at_crc = False
        self._elements_left -= 1
        return _CRC_NBYTES


def _check_sizes_crc(masked: int, crc: int) -> None:
    found = unmask_crc32c(masked)
    if found != crc:
        raise ChecksumError("The length checksum does not match", "", "", None, found, crc)


def pack_sizes(sizes: list[int], byteorder: ByteOrder = "little") -> bytes:
    """Return sizes as the checksum sees them: 4 bytes each, 8 where 4 are too few."""
    if max(sizes, default=0) <= 0xFFFFFFFF:
        return np.array(sizes, "<u4" if byteorder == "little" else ">u4").tobytes()
    return b"".join(size.to_bytes(4 if size <= 0xFFFFFFFF else 8, byteorder) for size in sizes)
