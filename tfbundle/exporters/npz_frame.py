"""A ``.npz`` archive to be: a zip file whose members are ``.npy`` files, none of them compressed.

Where numpy lacks a dtype, the member holds the bit patterns, and its comment, which numpy does not look at, says what
they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from tfbundle.errors import UnsupportedError
from tfbundle.exporters.frame import Frame, Outgoing, Piece, ReadCrc
from tfbundle.exporters.zip_directory import MAX_DIRECTORY_NBYTES
from tfbundle.exporters.zip_records import (
    CRC_OFFSET,
    DirectoryPlace,
    Member,
    encode_central,
    encode_end,
    encode_local,
    local_nbytes,
)
from tfbundle.format.dtypes import DataType
from tfbundle.format.npy import encode_npy_header

SUFFIX = ".npz"
MEMBER_SUFFIX = ".npy"
DTYPE_COMMENT = b"tfbundle dtype "


def descr_of(dtype: DataType) -> str:
    """Return the dtype under which numpy knows stored elements.

    Example:
        >>> from tfbundle.format.dtypes import BFLOAT16
        >>> descr_of(BFLOAT16)
        '<u2'
    """
    return np.dtype(dtype.storage).newbyteorder("<").str


def frame_npz(path: str, tensors: Sequence[Outgoing]) -> Frame:
    """Lay out an archive.

    Raises:
        UnsupportedError: its directory would be larger than an import reads.
    """
    members: list[Member] = []
    starts: list[int] = []  # of the .npy files
    offsets = np.zeros(len(tensors), np.int64)
    pieces: list[Piece] = []
    end = 0
    for at, tensor in enumerate(tensors):
        head = encode_npy_header(descr_of(tensor.dtype), tensor.shape)
        nbytes = len(head) + tensor.nbytes
        name = (tensor.name + MEMBER_SUFFIX).encode()
        comment = b"" if tensor.dtype.native else DTYPE_COMMENT + tensor.dtype.name.encode()
        members.append(Member(name, end, nbytes, nbytes, comment=comment))
        starts.append(end + local_nbytes(name, nbytes))
        pieces.append(Piece(0, end, encode_local(members[-1]) + head))
        offsets[at] = starts[-1] + len(head)
        end = starts[-1] + nbytes
    directory_nbytes = sum(len(encode_central(member)) for member in members)
    if directory_nbytes > MAX_DIRECTORY_NBYTES:
        raise UnsupportedError(
            f"the directory would take {directory_nbytes} bytes, and import reads {MAX_DIRECTORY_NBYTES} at most"
        )
    place = DirectoryPlace(end, directory_nbytes, len(members))

    def seal(read_crc: ReadCrc) -> Iterator[Piece]:
        rows = []
        for member, start in zip(members, starts, strict=True):
            crc = read_crc(0, start, start + member.nbytes)
            yield Piece(0, member.offset + CRC_OFFSET, struct.pack("<I", crc))
            rows.append(encode_central(member._replace(crc=crc)))
        yield Piece(0, place.offset, b"".join(rows) + encode_end(place))

    nbytes = end + directory_nbytes + len(encode_end(place))
    return Frame([path], [nbytes], np.zeros(len(tensors), np.int32), offsets, pieces, seal)
