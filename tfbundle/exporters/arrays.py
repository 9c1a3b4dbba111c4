"""Arrays in files: what is known of each, and its bytes, from first to last.

Files are opened again for each array, since a directory may have more of them than a process may open; one that is
another by then is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tfbundle.errors import FormatError, TruncatedError
from tfbundle.exporters.zip_records import DEFLATED, Member
from tfbundle.format.dtypes import DataType
from tfbundle.storage.base import Identity, ReadableFile, Storage

RAW = 0
"""Stands for the number of the element type of an array that has none."""

_INPUT_NBYTES = 1 << 16


class SourceFile(NamedTuple):
    """A file that was looked into: its path, and what changes when another takes its place."""

    path: str
    identity: Identity | None

    @classmethod
    def find(cls, path: str, storage: Storage) -> SourceFile:
        """Return the file that is at a path now."""
        return cls(path, storage.identity(path))

    def open(self, storage: Storage) -> ReadableFile:
        """Open it again.

        Raises:
            FormatError: it is another one by now.
            BundleNotFoundError: it is gone.
        """
        file = storage.open(self.path)
        if storage.identity(self.path) != self.identity:
            file.close()
            raise FormatError("the file changed while it was read; run again when nothing writes to it", self.path)
        return file


class PackedMember(NamedTuple):
    """A member of an archive: what the directory says, where it begins there, and the bytes before its array."""

    member: Member
    start: int
    head_nbytes: int


class Incoming(NamedTuple):
    """One array.

    Attributes:
        name: of the tensor that it is.
        dtype: of its elements.
        shape: size of each dimension.
        file: that holds it.
        offset: where it begins there, in bytes; of no meaning for a member of an archive.
        packed: the member that it is of an archive; None elsewhere.
        swap: how many bytes are to be reversed together, 1 where the byte order is right already.
        in_columns: whether the first dimension varies fastest.
    """

    name: str
    dtype: DataType
    shape: tuple[int, ...]
    file: SourceFile
    offset: int = 0
    packed: PackedMember | None = None
    swap: int = 1
    in_columns: bool = False


@dataclass(frozen=True)
class Source:
    """What there is to import.

    Attributes:
        path: of the file or the directory.
        stem: what a checkpoint of it is called, if nobody says.
        files: all that were looked into.
        arrays: those that can be tensors.
        others: why not, for each that cannot, by name.
        metadata: text that goes with them.
        notes: what the user should know of it.
    """

    path: str
    stem: str
    files: tuple[SourceFile, ...]
    arrays: list[Incoming]
    others: Mapping[str, str]
    metadata: Mapping[str, str]
    notes: tuple[str, ...] = ()


class ArrayReader(Protocol):
    """The bytes of one array, from first to last."""

    def read_into(self, piece: memoryview) -> None:
        """Fill a buffer with the next bytes."""

    def finish(self) -> None:
        """Judge the array once all of its bytes were read."""

    def close(self) -> None:
        """Release the file."""


def open_array(array: Incoming, storage: Storage) -> ArrayReader:
    """Start to read an array.

    Raises:
        FormatError: its file changed, or the bytes before it cannot be unpacked.
        BundleNotFoundError: its file is gone.
    """
    file = array.file.open(storage)
    if array.packed is None:
        return PlainReader(file, array.offset)
    reader = MemberReader(file, array.packed.member, array.packed.start)
    try:
        reader.read_into(memoryview(bytearray(array.packed.head_nbytes)))
    except BaseException:
        reader.close()
        raise
    return reader


class PlainReader:
    """Bytes that lie in a file as they are."""

    def __init__(self, file: ReadableFile, offset: int) -> None:
        self._file = file
        self._at = offset

    def read_into(self, piece: memoryview) -> None:
        """Fill a buffer with the next bytes."""
        self._file.read_into(self._at, piece)
        self._at += len(piece)

    def finish(self) -> None:
        """Raise FormatError if the file changed meanwhile."""
        self._file.check_unchanged()

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class MemberReader:
    """The bytes of a member of a zip archive, unpacked.

    Args:
        file: the archive.
        member: what its directory says of the member; one that is stored or deflated.
        start: where the packed bytes begin.
    """

    def __init__(self, file: ReadableFile, member: Member, start: int) -> None:
        self._file = file
        self._member = member
        self._at, self._end = start, start + member.packed_nbytes
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
        self._crc = 0

    def read_into(self, piece: memoryview) -> None:
        """Fill a buffer with the next bytes.

        Raises:
            FormatError: they cannot be unpacked, or are fewer than the directory says.
        """
        if self._inflater is None:
            if len(piece) > self._end - self._at:
                raise self._fault(TruncatedError, "has less bytes than the directory of the archive says")
            self._file.read_into(self._at, piece)
            self._at += len(piece)
        else:
            done = 0
            while done < len(piece):
                unpacked = self._unpack(len(piece) - done)
                piece[done : done + len(unpacked)] = unpacked
                done += len(unpacked)
        self._crc = zlib.crc32(piece, self._crc)

    def _unpack(self, most: int) -> bytes:
        """Return some of the next bytes."""
        found = b""
        while not found:
            packed = self._next_packed()
            found = self._inflate(packed, most)
            if not found and not packed:
                raise self._fault(TruncatedError, "unpacks to less bytes than the directory of the archive says")
        return found

    def _next_packed(self) -> bytes:
        if self._inflater is not None and self._inflater.unconsumed_tail:
            return self._inflater.unconsumed_tail
        packed = self._file.read(self._at, min(_INPUT_NBYTES, self._end - self._at))
        self._at += len(packed)
        return packed

    def _inflate(self, packed: bytes, most: int) -> bytes:
        try:
            return self._inflater.decompress(packed, most) if self._inflater is not None else b""
        except zlib.error as error:
            raise self._fault(FormatError, f"cannot be unpacked: {error}") from error

    def finish(self) -> None:
        """Judge the member once all of its bytes were read.

        Raises:
            FormatError: there are more, its checksum is another, or the file changed.
        """
        while self._inflater is not None and not self._inflater.eof and (packed := self._next_packed()):
            if self._inflate(packed, 1):
                raise self._fault(FormatError, "unpacks to more bytes than the directory of the archive says")
        inflater = self._inflater
        if self._at != self._end or (inflater is not None and (inflater.unused_data or not inflater.eof)):
            raise self._fault(FormatError, "is not as long as the directory of the archive says")
        if self._crc != self._member.crc:
            stored = f"stored {self._member.crc:08x}, calculated {self._crc:08x}"
            raise self._fault(FormatError, f"the CRC-32 does not match, the archive is damaged: {stored}")
        self._file.check_unchanged()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _fault(self, kind: type[FormatError], reason: str) -> FormatError:
        name = self._member.name.decode("utf-8", "surrogateescape")
        return kind(reason, self._file.path, f"member {name!r}")
