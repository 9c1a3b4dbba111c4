"""The records of a zip archive: the header before each member, the directory behind them, and its end.

Sizes and offsets beyond 32 bits, and more than 65,535 members, are written as zip64 has it, and read either way.

Source: PKWARE ``APPNOTE.TXT`` 6.3, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from tfbundle.errors import FormatError

LOCAL_MAGIC, _CENTRAL_MAGIC = b"PK\3\4", b"PK\1\2"
END_MAGIC, _END64_MAGIC, _LOCATOR_MAGIC = b"PK\5\6", b"PK\6\6", b"PK\6\7"
STORED, DEFLATED = 0, 8
ENCRYPTED = 1

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sBBHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
LOCAL_NBYTES, END_NBYTES = _LOCAL.size, _END.size
LOCATOR_NBYTES, END64_NBYTES = _LOCATOR.size, _END64.size
CRC_OFFSET = 14
"""Where, in the header before a member, its CRC-32 is."""

_ZIP64_EXTRA = 1
UTF8 = 1 << 11
_NEED_16, _NEED_32 = 0xFFFF, 0xFFFFFFFF
_VERSION, _VERSION64 = 20, 45
_UNIX = 3
_MODE = 0o100644 << 16
_DATE = 0x21  # the first of January 1980, so that equal tensors make equal files


class Member(NamedTuple):
    """What the directory says of one member.

    Attributes:
        name: its name, in bytes.
        offset: where the header before it begins, in bytes from the start of the archive.
        packed_nbytes: its size in the archive.
        nbytes: its own size.
        crc: its CRC-32.
        method: STORED or DEFLATED, or another.
        flags: bit 0 for an encrypted member.
        comment: what else is to be known of it.
    """

    name: bytes
    offset: int
    packed_nbytes: int
    nbytes: int
    crc: int = 0
    method: int = STORED
    flags: int = UTF8
    comment: bytes = b""


class DirectoryPlace(NamedTuple):
    """Where the directory is, and how many members it lists."""

    offset: int
    nbytes: int
    num_members: int


def encode_local(member: Member) -> bytes:
    """Encode the header before a stored member; its CRC-32 may be put in later."""
    extra = struct.pack("<HHQQ", _ZIP64_EXTRA, 16, member.nbytes, member.packed_nbytes) if _is_large(member) else b""
    sizes = (_NEED_32, _NEED_32) if extra else (member.packed_nbytes, member.nbytes)
    version = _VERSION64 if extra else _VERSION
    fields = (LOCAL_MAGIC, version, member.flags, member.method, 0, _DATE, member.crc, *sizes)
    return _LOCAL.pack(*fields, len(member.name), len(extra)) + member.name + extra


def local_nbytes(name: bytes, nbytes: int) -> int:
    """Return how many bytes ``encode_local`` takes for a stored member."""
    return len(encode_local(Member(name, 0, nbytes, nbytes)))


def _is_large(member: Member) -> bool:
    return max(member.nbytes, member.packed_nbytes) >= _NEED_32


def encode_central(member: Member) -> bytes:
    """Encode the row of the directory for a member."""
    values = (member.nbytes, member.packed_nbytes, member.offset)
    large = [value for value in values if value >= _NEED_32]
    extra = struct.pack(f"<HH{len(large)}Q", _ZIP64_EXTRA, 8 * len(large), *large) if large else b""
    nbytes, packed_nbytes, offset = (min(value, _NEED_32) for value in values)
    version = _VERSION64 if large else _VERSION
    head = (_CENTRAL_MAGIC, version, _UNIX, version, member.flags, member.method, 0, _DATE, member.crc)
    lengths = (len(member.name), len(extra), len(member.comment))
    row = _CENTRAL.pack(*head, packed_nbytes, nbytes, *lengths, 0, 0, _MODE, offset)
    return row + member.name + extra + member.comment


def encode_end(place: DirectoryPlace) -> bytes:
    """Encode what stands behind the directory."""
    count, nbytes, offset = place.num_members, place.nbytes, place.offset
    records = b""
    if count >= _NEED_16 or max(nbytes, offset) >= _NEED_32:
        fields = (_END64_NBYTES_BEHIND, _VERSION64, _VERSION64, 0, 0, count, count, nbytes, offset)
        records = _END64.pack(_END64_MAGIC, *fields) + _LOCATOR.pack(_LOCATOR_MAGIC, 0, offset + nbytes, 1)
    short = min(count, _NEED_16)
    return records + _END.pack(END_MAGIC, 0, 0, short, short, min(nbytes, _NEED_32), min(offset, _NEED_32), 0)


_END64_NBYTES_BEHIND = _END64.size - 12  # the record's own size counts from behind that field


def decode_end(data: bytes) -> DirectoryPlace | None:
    """Decode the last record of all; return None if it refers to that of zip64.

    Raises:
        FormatError: the archive has several parts.
    """
    _, disk, first_disk, here, count, nbytes, offset, _ = _END.unpack_from(data)
    if _NEED_16 in (disk, here, count) or _NEED_32 in (nbytes, offset):
        return None
    if disk or first_disk or here != count:
        raise FormatError("a zip archive of several parts")
    return DirectoryPlace(offset, nbytes, count)


def decode_locator(data: bytes) -> int:
    """Decode the record that says where the end record of zip64 is.

    Raises:
        FormatError: it is none.
    """
    magic, disk, offset, num_disks = _LOCATOR.unpack(data)
    if magic != _LOCATOR_MAGIC or disk or num_disks > 1:
        raise FormatError("a damaged zip archive: no locator of the zip64 end record")
    return int(offset)


def decode_end64(data: bytes) -> DirectoryPlace:
    """Decode the end record of zip64.

    Raises:
        FormatError: it is none.
    """
    magic, _, _, _, disk, first_disk, here, count, nbytes, offset = _END64.unpack(data)
    if magic != _END64_MAGIC or disk or first_disk or here != count:
        raise FormatError("a damaged zip archive: no zip64 end record")
    return DirectoryPlace(offset, nbytes, count)


def decode_central(data: bytes, at: int) -> tuple[Member, int]:
    """Decode the row of the directory that starts at a position; return it, and the position behind it.

    Raises:
        FormatError: there is none, or it is cut off.
    """
    if len(data) - at < _CENTRAL.size:
        raise FormatError("a damaged zip archive: its directory is cut off")
    fields = _CENTRAL.unpack_from(data, at)
    magic, flags, method, crc = fields[0], fields[4], fields[5], fields[8]
    packed_nbytes, nbytes, name_nbytes, extra_nbytes, comment_nbytes = fields[9:14]
    offset, start = fields[17], at + _CENTRAL.size
    end = start + name_nbytes + extra_nbytes + comment_nbytes
    if magic != _CENTRAL_MAGIC or end > len(data):
        raise FormatError("a damaged zip archive: its directory lists less than it should")
    name, extra = data[start : start + name_nbytes], data[start + name_nbytes : end - comment_nbytes]
    nbytes, packed_nbytes, offset = _widen((nbytes, packed_nbytes, offset), extra)
    return Member(name, offset, packed_nbytes, nbytes, crc, method, flags, data[end - comment_nbytes : end]), end


def _widen(values: tuple[int, ...], extra: bytes) -> tuple[int, ...]:
    """Return sizes and offset, those of zip64 in the place of those that are too large for 32 bits."""
    if _NEED_32 not in values:
        return values
    at = 0
    while at + 4 <= len(extra):
        kind, nbytes = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + nbytes]
        if kind == _ZIP64_EXTRA:
            wide = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
            return tuple(next(wide, value) if value == _NEED_32 else value for value in values)
        at += 4 + nbytes
    return values


def decode_local(data: bytes, member: Member) -> int:
    """Check the header before a member; return where the member begins, counted from it.

    Raises:
        FormatError: it is none, or that of another member.
    """
    magic, _, flags, method, _, _, _, _, _, name_nbytes, extra_nbytes = _LOCAL.unpack_from(data)
    name = data[_LOCAL.size : _LOCAL.size + name_nbytes]
    if magic != LOCAL_MAGIC or name != member.name or method != member.method or (flags ^ member.flags) & ENCRYPTED:
        raise FormatError("a damaged zip archive: the header before it is not that of the member")
    return _LOCAL.size + int(name_nbytes) + int(extra_nbytes)
