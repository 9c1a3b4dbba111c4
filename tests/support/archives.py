"""Zip archives of ``.npy`` files, made byte by byte, so that each rule can be broken alone."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field, replace

import numpy as np


def npy_bytes(array: object, *, pickled: bool = False) -> bytes:
    """Return an array as ``numpy.save`` writes it."""
    stream = io.BytesIO()
    np.save(stream, np.asanyarray(array), allow_pickle=pickled)
    return stream.getvalue()


def deflate(data: bytes) -> bytes:
    """Return data as it is packed in an archive."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@dataclass(frozen=True)
class MadeMember:
    """A member of an archive; None stands for what is right."""

    name: bytes
    data: bytes
    method: int = 0
    packed: bytes | None = None
    flags: int = 0x800
    crc: int | None = None
    nbytes: int | None = None
    packed_nbytes: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    local_magic: bytes = b"PK\3\4"
    comment: bytes = b""
    extra: bytes = b""

    @property
    def contents(self) -> bytes:
        """The bytes that are in the archive."""
        if self.packed is not None:
            return self.packed
        return deflate(self.data) if self.method == 8 else self.data

    def local(self) -> bytes:
        """Return the header before it, and its bytes."""
        name = self.name if self.local_name is None else self.local_name
        sizes = (len(self.contents), len(self.data))
        head = struct.pack(
            "<4sHHHHHIIIHH", self.local_magic, 20, self.flags, self.method, 0, 0, 0, *sizes, len(name), 0
        )
        return head + name + self.contents

    def central(self, offset: int) -> bytes:
        """Return its row of the directory."""
        crc = zlib.crc32(self.data) if self.crc is None else self.crc
        packed_nbytes = len(self.contents) if self.packed_nbytes is None else self.packed_nbytes
        nbytes = len(self.data) if self.nbytes is None else self.nbytes
        offset = offset if self.offset is None else self.offset
        head = struct.pack("<4sHHHHHHIII", b"PK\1\2", 20, 20, self.flags, self.method, 0, 0, crc, packed_nbytes, nbytes)
        lengths = struct.pack("<HHHHHII", len(self.name), len(self.extra), len(self.comment), 0, 0, 0, offset)
        return head + lengths + self.name + self.extra + self.comment


@dataclass(frozen=True)
class MadeArchive:
    """An archive."""

    members: list[MadeMember] = field(default_factory=list)
    prefix: bytes = b""
    suffix: bytes = b""
    comment: bytes = b""
    count: int | None = None
    directory_nbytes: int | None = None
    directory_offset: int | None = None
    disk: int = 0

    def encode(self) -> bytes:
        """Return its bytes."""
        data, rows = bytearray(self.prefix), bytearray()
        for member in self.members:
            rows += member.central(len(data))
            data += member.local()
        offset = len(data) if self.directory_offset is None else self.directory_offset
        nbytes = len(rows) if self.directory_nbytes is None else self.directory_nbytes
        count = len(self.members) if self.count is None else self.count
        end = struct.pack("<4sHHHHIIH", b"PK\5\6", self.disk, 0, count, count, nbytes, offset, len(self.comment))
        return bytes(data + rows + end + self.comment + self.suffix)


W = npy_bytes(np.arange(3, dtype=np.float32))
MEMBER = MadeMember(b"w.npy", W)


def one(**changes: object) -> bytes:
    """Return an archive of one member, changed."""
    return MadeArchive([replace(MEMBER, **changes)]).encode()  # type: ignore[arg-type]
