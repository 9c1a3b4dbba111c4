"""Blocks: a run of rows with shared key prefixes, framed by a trailer.

::

    block = row* | restart offsets, fixed32 each | number of restarts, fixed32
    row   = shared varint32 | non_shared varint32 | value_nbytes varint32 | key[shared:] | value
    frame = block, perhaps compressed | type u8 (0 raw, 1 Snappy) | masked crc32c of both, fixed32

``shared`` bytes of the key are those of the row before; at a restart point ``shared`` is 0.

Source: TensorFlow ``tsl/lib/io/{block,block_builder,format}.cc``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tfbundle.errors import ChecksumError, FormatError
from tfbundle.sstable.checksum import crc32c, mask_crc32c, unmask_crc32c
from tfbundle.sstable.snappy import decompress_snappy
from tfbundle.sstable.varint import decode_varint, encode_varint

TRAILER_NBYTES = 5
RAW, SNAPPY = 0, 1
_BAD_ENTRY = "bad entry in block"

MAX_KEY_EXPANSION = 16
"""How many times the size of its block what keys share with those before them may take."""
_FREE_KEYS_NBYTES = 1 << 16
_LONG_SHARE_NBYTES = 0x80  # what is shorter is not counted

Row = tuple[bytes, bytes]


def seal_block(contents: bytes) -> bytes:
    """Return ``contents`` as an uncompressed block with its trailer."""
    body = contents + bytes([RAW])
    return body + struct.pack("<I", mask_crc32c(crc32c(body)))


def unseal_block(framed: bytes) -> bytes:
    """Check the trailer of a block and return its contents, decompressed.

    Args:
        framed: the block as stored, with its 5-byte trailer.

    Raises:
        ChecksumError: ``block checksum mismatch``.
        FormatError: an unknown compression type, or a bad Snappy stream.
    """
    contents, kind = framed[:-TRAILER_NBYTES], framed[-TRAILER_NBYTES]
    stored = unmask_crc32c(int.from_bytes(framed[-4:], "little"))
    computed = crc32c(framed[:-4])
    if stored != computed:
        raise ChecksumError("block checksum mismatch", "", "", None, stored, computed)
    if kind == RAW:
        return contents
    if kind == SNAPPY:
        return decompress_snappy(contents)
    raise FormatError(f"bad block type {kind}, expected {RAW} (raw) or {SNAPPY} (Snappy)")


def decode_block(contents: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the keys and the values of a block's rows in stored order.

    Cost: about half a microsecond a row. Keys that share their beginnings take more memory than the block, but no more
    than ``MAX_KEY_EXPANSION`` times as much: writers store every sixteenth key whole, and a table in which four bytes
    stand for a key of a megabyte is made to exhaust memory.

    Raises:
        FormatError: ``bad block contents`` or ``bad entry in block``.

    Example:
        >>> decode_block(bytes.fromhex("000101 6b 76" "010101 65 77" "00000000 01000000"))
        ([b'k', b'ke'], [b'v', b'w'])
    """
    keys: list[bytes] = []
    values: list[bytes] = []
    restarts = _decode_restarts(contents)
    end = len(contents) - 4 * (len(restarts) + 1)
    if restarts and not restarts[0] and max(restarts) < end:
        for start, stop in zip(restarts, (*restarts[1:], end), strict=True):
            if _decode_run(contents, start, stop, keys, values) != stop:
                break
        else:
            return keys, values
    rows = list(iter_block(contents))  # finds what is wrong, and allows for what is unusual
    return [key for key, _ in rows], [value for _, value in rows]


def _decode_run(contents: bytes, position: int, stop: int, keys: list[bytes], values: list[bytes]) -> int:
    """Append the rows from one restart point to the next; return where they end, not at ``stop`` if one is bad."""
    key = b""
    room = MAX_KEY_EXPANSION * (stop - position)
    while position < stop:
        shared, non_shared, value_nbytes = contents[position : position + 3]  # a byte each, the common case
        position += 3
        if shared | non_shared | value_nbytes > 0x7F:
            shared, non_shared, value_nbytes, position = _decode_row_head(contents, position - 3, len(contents))
            room -= shared
        if shared > len(key) or room < 0 or (not non_shared and keys):
            return -1
        value_start = position + non_shared
        key = key[:shared] + contents[position:value_start]
        position = value_start + value_nbytes
        keys.append(key)
        values.append(contents[value_start:position])
    return position


def iter_block(contents: bytes) -> Iterator[Row]:
    """Yield the rows of a block one by one: the reference for ``decode_block``, and for who seeks a single row.

    Raises:
        FormatError: ``bad block contents`` or ``bad entry in block``; rows before the damage are yielded first.
    """
    restarts = _decode_restarts(contents)
    if not restarts:
        return  # to TensorFlow a block without restart points has no rows
    end = len(contents) - 4 * (len(restarts) + 1)
    if restarts[0] or (end and max(restarts) >= end):
        raise FormatError("bad block contents: restart points must begin with 0 and lie before the last row's end")
    position, key = 0, b""
    room = MAX_KEY_EXPANSION * len(contents) + _FREE_KEYS_NBYTES
    expected = iter(sorted(restarts))
    next_restart = next(expected, end)
    while position < end:
        start = position
        head = contents[position : position + 3]
        if head.isascii() and position + 3 <= end:  # a byte each, the common case
            shared, non_shared, value_nbytes = head
            position += 3
        else:
            shared, non_shared, value_nbytes, position = _decode_row_head(contents, position, end)
        if start == next_restart and shared:
            raise FormatError(f"{_BAD_ENTRY}: a restart point that shares {shared} bytes of its key")
        while next_restart == start:
            next_restart = next(expected, end)
        value_start = position + non_shared
        room -= shared if shared >= _LONG_SHARE_NBYTES else 0
        if shared > len(key) or value_start + value_nbytes > end:
            raise FormatError(_BAD_ENTRY)
        if room < 0 or (not non_shared and start):
            raise FormatError(f"{_BAD_ENTRY}: {_explain_key(contents, key, shared, room)}")
        key = key[:shared] + contents[position:value_start]
        position = value_start + value_nbytes
        yield key, contents[value_start:position]
    if next_restart != end:
        raise FormatError(f"bad block contents: restart point {next_restart} is not the start of an entry")


def _explain_key(contents: bytes, key: bytes, shared: int, room: int) -> str:
    if room < 0:
        return f"keys share more than {MAX_KEY_EXPANSION} times the {len(contents)} bytes of the block"
    return f"key {key[:shared]!r} does not sort after {key!r}, as table keys must"


def _decode_restarts(contents: bytes) -> tuple[int, ...]:
    """Return the restart offsets; a count that does not fit is refused before anything is unpacked."""
    if len(contents) < 4:
        raise FormatError(f"bad block contents: {len(contents)} bytes, expected at least 4")
    count = int.from_bytes(contents[-4:], "little")
    if count > (len(contents) - 4) // 4:
        raise FormatError(f"bad block contents: {count} restarts in a block of {len(contents)} bytes")
    return struct.unpack_from(f"<{count}I", contents, len(contents) - 4 * (count + 1))


def _decode_row_head(contents: bytes, position: int, end: int) -> tuple[int, int, int, int]:
    """Return shared, non_shared, value_nbytes and the position of the key."""
    try:
        shared, position = decode_varint(contents, position, end, bits=32)
        non_shared, position = decode_varint(contents, position, end, bits=32)
        value_nbytes, position = decode_varint(contents, position, end, bits=32)
    except FormatError as error:
        raise FormatError(_BAD_ENTRY) from error
    return shared, non_shared, value_nbytes, position


class BlockBuilder:
    """Collects rows, whose keys must ascend, and encodes them as the contents of one block."""

    def __init__(self, restart_interval: int) -> None:
        self._restart_interval = restart_interval
        self._rows = bytearray()
        self._restarts = [0]
        self._since_restart = 0
        self._last_key = b""

    def add(self, key: bytes, value: bytes) -> None:
        """Append one row."""
        shared = 0
        if self._since_restart < self._restart_interval:
            shared = _shared_nbytes(self._last_key, key)
        else:
            self._restarts.append(len(self._rows))
            self._since_restart = 0
        head = (shared, len(key) - shared, len(value))
        self._rows += bytes(head) if max(head) < 0x80 else b"".join(map(encode_varint, head))
        self._rows += key[shared:]
        self._rows += value
        self._last_key = key
        self._since_restart += 1

    @property
    def nbytes(self) -> int:
        """Size in bytes of what ``finish`` would return now."""
        return len(self._rows) + 4 * len(self._restarts) + 4

    @property
    def is_empty(self) -> bool:
        """Whether no row was added yet."""
        return not self._rows

    @property
    def last_key(self) -> bytes:
        """The key added last, empty if none was."""
        return self._last_key

    def finish(self) -> bytes:
        """Return the contents of the block."""
        count = len(self._restarts)
        return bytes(self._rows) + struct.pack(f"<{count + 1}I", *self._restarts, count)


def _shared_nbytes(left: bytes, right: bytes) -> int:
    """Return the length of the common prefix: the bytes above the highest that differs."""
    limit = min(len(left), len(right))
    different = int.from_bytes(left[:limit], "big") ^ int.from_bytes(right[:limit], "big")
    return limit - (different.bit_length() + 7) // 8
