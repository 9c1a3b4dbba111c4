"""Arrays of a ``.npz`` archive, which are unpacked as they are read."""

from __future__ import annotations

from contextlib import closing

from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.exporters.arrays import Incoming, MemberReader, PackedMember, Source, SourceFile
from tfbundle.exporters.npy_source import check_size, describe, element_type
from tfbundle.exporters.npz_frame import DTYPE_COMMENT, MEMBER_SUFFIX, SUFFIX
from tfbundle.exporters.zip_directory import PlacedMember, read_directory
from tfbundle.exporters.zip_records import DEFLATED, ENCRYPTED, STORED, UTF8
from tfbundle.format.npy import MAX_HEADER_NBYTES, parse_npy_header
from tfbundle.storage import paths
from tfbundle.storage.base import ReadableFile, Storage


def open_npz(path: str, storage: Storage) -> Source:
    """Return what an archive holds.

    Raises:
        FormatError: it is damaged.
    """
    source = SourceFile.find(path, storage)
    arrays: list[Incoming] = []
    others: dict[str, str] = {}
    with closing(source.open(storage)) as file:
        try:
            seen: set[str] = set()
            for placed in read_directory(file):
                name = _name_of(placed)
                if name in seen:
                    raise FormatError(f"lists {name!r} twice")
                seen.add(name)
                try:
                    arrays.append(_describe_member(name, placed, file, source))
                except UnsupportedError as error:
                    others[name] = error.reason
        except FormatError as error:
            raise error.add_path(path) from error
    return Source(path, paths.basename(path).removesuffix(SUFFIX), (source,), arrays, others, {})


def _name_of(placed: PlacedMember) -> str:
    try:
        name = placed.member.name.decode("utf-8" if placed.member.flags & UTF8 else "cp437")
    except UnicodeDecodeError as error:
        raise FormatError(f"a member whose name is no UTF-8: {placed.member.name[:100]!r}") from error
    return name.removesuffix(MEMBER_SUFFIX)


def _describe_member(name: str, placed: PlacedMember, file: ReadableFile, source: SourceFile) -> Incoming:
    member = placed.member
    if not member.name.endswith(MEMBER_SUFFIX.encode()):
        raise UnsupportedError("no .npy file")
    if member.flags & ENCRYPTED or member.method not in (STORED, DEFLATED):
        raise UnsupportedError("encrypted, or packed by another method than deflate")
    start = memoryview(bytearray(min(member.nbytes, MAX_HEADER_NBYTES)))
    MemberReader(file, member, placed.start).read_into(start)
    try:
        header = parse_npy_header(bytes(start))
        check_size(header, member.nbytes)
        wanted = member.comment.removeprefix(DTYPE_COMMENT).decode("ascii", "replace")
        dtype = element_type(header, wanted if member.comment.startswith(DTYPE_COMMENT) else "")
    except FormatError as error:
        raise error.add_path(file.path, f"member {name!r}") from error
    packed = PackedMember(member, placed.start, header.offset)
    return describe(name, dtype, header, source)._replace(packed=packed)
