"""Block handles, and the footer: the last 48 bytes of a table.

::

    metaindex handle | index handle | zeros up to byte 40 | magic number, 8 bytes
    handle = offset varint64, nbytes varint64 (without the block's 5-byte trailer)

Source: TensorFlow ``tsl/lib/io/format.{h,cc}`` (``BlockHandle``, ``Footer``).
"""

from __future__ import annotations

from typing import NamedTuple

from tfbundle.errors import FormatError, TruncatedError
from tfbundle.sstable.varint import decode_varint, encode_varint

FOOTER_NBYTES = 48
TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
_HANDLES_NBYTES = 40


class BlockHandle(NamedTuple):
    """Where a block is: offset from the start of the table and size without its trailer, both in bytes."""

    offset: int
    nbytes: int


class Footer(NamedTuple):
    """Handles of the two blocks that lead to all others."""

    metaindex_handle: BlockHandle
    index_handle: BlockHandle


def encode_handle(handle: BlockHandle) -> bytes:
    """Encode a block handle.

    Example:
        >>> encode_handle(BlockHandle(71, 14)).hex()
        '470e'
    """
    return encode_varint(handle.offset) + encode_varint(handle.nbytes)


def decode_handle(data: bytes, position: int = 0) -> tuple[BlockHandle, int]:
    """Decode the handle at ``position``; return it and the position after it.

    Raises:
        FormatError: ``bad block handle``.
    """
    try:
        offset, position = decode_varint(data, position, len(data))
        nbytes, position = decode_varint(data, position, len(data))
    except FormatError as error:
        raise FormatError("bad block handle") from error
    return BlockHandle(offset, nbytes), position


def encode_footer(footer: Footer) -> bytes:
    """Encode the 48 bytes that close a table."""
    handles = encode_handle(footer.metaindex_handle) + encode_handle(footer.index_handle)
    return handles.ljust(_HANDLES_NBYTES, b"\0") + TABLE_MAGIC


def decode_footer(data: bytes) -> Footer:
    """Decode a footer from the last 48 bytes of a table.

    Raises:
        TruncatedError: fewer than 48 bytes: ``file is too short to be an sstable``.
        FormatError: ``not an sstable (bad magic number)`` or ``bad block handle``.
    """
    if len(data) < FOOTER_NBYTES:
        raise TruncatedError(
            f"file is too short to be an sstable: {len(data)} bytes, its footer alone takes {FOOTER_NBYTES}",
            "",
            "footer",
        )
    if data[-len(TABLE_MAGIC) :] != TABLE_MAGIC:
        raise FormatError("not an sstable (bad magic number)", "", "footer")
    try:
        metaindex, position = decode_handle(data[:_HANDLES_NBYTES])
        index, _ = decode_handle(data[:_HANDLES_NBYTES], position)
    except FormatError as error:
        raise error.add_path("", "footer") from error
    return Footer(metaindex, index)
