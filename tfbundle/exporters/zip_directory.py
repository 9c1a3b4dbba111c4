"""The members of a zip archive in a file, none of them unpacked: bombs and overlaps are refused before that."""

from __future__ import annotations

from typing import NamedTuple

from tfbundle.errors import FormatError
from tfbundle.exporters.zip_records import (
    DEFLATED,
    END64_NBYTES,
    END_MAGIC,
    END_NBYTES,
    LOCAL_NBYTES,
    LOCATOR_NBYTES,
    STORED,
    DirectoryPlace,
    Member,
    decode_central,
    decode_end,
    decode_end64,
    decode_local,
    decode_locator,
)
from tfbundle.storage.base import ReadableFile

MAX_DIRECTORY_NBYTES = 256 << 20
MAX_DEFLATE_EXPANSION = 1032
"""How many bytes one packed byte can become."""

_MOST_COMMENT = 0xFFFF


class PlacedMember(NamedTuple):
    """A member, and where its bytes begin in the archive."""

    member: Member
    start: int


def read_directory(file: ReadableFile) -> list[PlacedMember]:
    """Return the members of an archive, in the order in which they lie there.

    Reads the directory and the header before each member. Members of a kind that cannot be unpacked are among them.

    Raises:
        FormatError: the archive is damaged, is in several parts, has members that share bytes, or says of one that it
            unpacks to more than it can.
    """
    place = _find_directory(file)
    data = file.read(place.offset, place.nbytes)
    members: list[Member] = []
    at = 0
    while at < len(data):
        member, at = decode_central(data, at)
        members.append(member)
    if len(members) != place.num_members:
        raise FormatError(f"a damaged zip archive: {len(members)} members, expected {place.num_members}")
    members.sort(key=lambda member: member.offset)
    placed = []
    end = 0
    for member in members:
        if member.offset < end:
            raise _fault(member, "shares bytes with another member, which no writer makes")
        placed.append(_place(file, member, place.offset))
        end = placed[-1].start + member.packed_nbytes
    return placed


def _find_directory(file: ReadableFile) -> DirectoryPlace:
    nbytes = min(file.nbytes, END_NBYTES + _MOST_COMMENT)
    tail = file.read(file.nbytes - nbytes, nbytes)
    at = tail.rfind(END_MAGIC, 0, max(0, len(tail) - END_NBYTES + len(END_MAGIC)))
    while at >= 0 and at + END_NBYTES + int.from_bytes(tail[at + END_NBYTES - 2 : at + END_NBYTES], "little") != nbytes:
        at = tail.rfind(END_MAGIC, 0, at + len(END_MAGIC) - 1)
    if at < 0:
        raise FormatError("a zip archive without an end: cut off, or no archive")
    end = file.nbytes - nbytes + at
    place = decode_end(tail[at : at + END_NBYTES])
    if place is None:
        if end < LOCATOR_NBYTES + END64_NBYTES:
            raise FormatError("a damaged zip archive: no locator of the zip64 end record")
        end = decode_locator(file.read(end - LOCATOR_NBYTES, LOCATOR_NBYTES))
        place = decode_end64(file.read(end, END64_NBYTES))
    if place.offset + place.nbytes != end:
        raise FormatError("a damaged zip archive: its directory is not where the end says")
    if place.nbytes > MAX_DIRECTORY_NBYTES:
        raise FormatError(f"a directory of {place.nbytes} bytes, expected at most {MAX_DIRECTORY_NBYTES}")
    return place


def _place(file: ReadableFile, member: Member, directory: int) -> PlacedMember:
    """Find where a member begins, and check that it can be what the directory says."""
    head_nbytes = LOCAL_NBYTES + len(member.name)
    if member.offset + head_nbytes > directory:
        raise _fault(member, "lies in the directory of the archive")
    start = member.offset + decode_local(file.read(member.offset, head_nbytes), member)
    if start + member.packed_nbytes > directory:
        raise _fault(member, "reaches into the directory of the archive")
    if member.method == STORED and member.packed_nbytes != member.nbytes:
        raise _fault(member, f"is not packed, and has {member.packed_nbytes} bytes, expected {member.nbytes}")
    if member.method == DEFLATED and member.nbytes > MAX_DEFLATE_EXPANSION * member.packed_nbytes:
        raise _fault(member, f"{member.packed_nbytes} packed bytes cannot become {member.nbytes}: a zip bomb")
    return PlacedMember(member, start)


def _fault(member: Member, reason: str) -> FormatError:
    return FormatError(reason, "", f"member {member.name.decode('utf-8', 'surrogateescape')!r}")
