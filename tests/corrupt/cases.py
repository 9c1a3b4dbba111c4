"""What a hostile checkpoint is, as data: the contents of its files, and which of its tensors can be read.

The pieces that all of them are made of: a sound tensor ``v``, and beside it the tensor ``t`` with something wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.support.bundles import entry_of
from tests.support.tables import (
    assemble_table,
    footer,
    frame,
    handle,
    plain_block,
    varint,
    write_table,
)
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field
from tfbundle.sstable.block import Row

FLOAT, DOUBLE, INT32, STRING, INT64, HALF, VARIANT = 1, 2, 3, 7, 9, 19, 21

HUGE = {
    "2^31": 1 << 31,
    "2^32-1": (1 << 32) - 1,
    "2^40": 1 << 40,
    "2^62": 1 << 62,
    "2^63": 1 << 63,
    "2^64-1": (1 << 64) - 1,
}
"""Lengths and numbers that overflow, or ask for more memory than there is."""

T_VALUES = np.arange(6, dtype="<f4").tobytes()
V_VALUES = np.array([1.5, -2.0], "<f4").tobytes()
SHARD = T_VALUES + V_VALUES

T_ENTRY = entry_of(FLOAT, shape_proto(2, 3), T_VALUES)
V_ENTRY = entry_of(FLOAT, shape_proto(2), V_VALUES, len(T_VALUES))
HEADER = bytes.fromhex("08011a020801")
VERSION = bytes_field(3, varint_field(1, 1))

Value = bytes | tuple[bytes, ...]
"""What a tensor holds: the bytes of its numbers, or its strings."""

T: dict[str, Value] = {"t": T_VALUES}
V: dict[str, Value] = {"v": V_VALUES}
BOTH = {**T, **V}


@dataclass(frozen=True)
class Sparse:
    """Contents of a file with holes: some pieces, each at an offset, and zeros."""

    nbytes: int
    pieces: Mapping[int, bytes] = field(default_factory=dict)


Files = Mapping[str, "bytes | Sparse"]


@dataclass(frozen=True)
class Case:
    """One hostile checkpoint.

    Attributes:
        family: what is attacked.
        name: in which way.
        make: returns the contents of its files, by what follows the prefix in their names; a name that begins with
            ``/`` stands in the prefix's directory.
        values: the tensors that can be read, by name; reading any other, or opening the whole, is refused.
        tensors: names of the tensors that are tried.
        path: what the path that is opened has behind the prefix.
        told: what the errors of ``t`` have in common, if it is refused and others are not.
        seconds: how much CPU time a verb may take.
    """

    family: str
    name: str
    make: Callable[[], Files]
    values: Mapping[str, Value] = field(default_factory=dict)
    tensors: tuple[str, ...] = ("t", "v")
    path: str = ""
    told: str = ""
    seconds: float = 1.0

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"

    def write(self, prefix: str) -> str:
        """Write the files, and return the path that is to be opened."""
        for suffix, contents in self.make().items():
            write_contents(os.path.dirname(prefix) + suffix if suffix.startswith("/") else prefix + suffix, contents)
        return os.path.dirname(prefix) + self.path if self.path.startswith("/") else prefix + self.path


def write_contents(path: str, contents: bytes | Sparse) -> None:
    """Write a file, its holes taking no room."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if isinstance(contents, bytes):
        Path(path).write_bytes(contents)
        return
    with open(path, "wb") as file:
        for offset, piece in contents.pieces.items():
            file.seek(offset)
            file.write(piece)
        file.truncate(contents.nbytes)


def shard_suffix(number: int = 0, num_shards: int = 1) -> str:
    """Return how the name of a data file ends."""
    return f".data-{number:05d}-of-{num_shards:05d}"


def with_index(index: bytes | Sparse, shard: bytes | Sparse = SHARD) -> Files:
    """Return the files of a bundle with one shard."""
    return {".index": index, shard_suffix(): shard}


def with_rows(rows: Mapping[bytes, bytes], shard: bytes | Sparse = SHARD, header: bytes = HEADER) -> Files:
    """Return the files of a bundle with these entries, in key order."""
    return with_index(write_table([(b"", header), *sorted(rows.items())]), shard)


def with_entry(entry: bytes, shard: bytes | Sparse = SHARD, **more: bytes) -> Files:
    """Return a bundle with the sound tensor ``v``, and ``t`` with an entry of any kind."""
    rows = {b"t": entry, b"v": V_ENTRY, **{name.encode(): value for name, value in more.items()}}
    return with_rows(rows, shard)


def with_header(header: bytes) -> Files:
    """Return a bundle with two sound tensors and a header of any kind."""
    return with_rows({b"t": T_ENTRY, b"v": V_ENTRY}, header=header)


def sound_rows() -> list[Row]:
    """Return the rows of a sound index."""
    return [(b"", HEADER), (b"t", T_ENTRY), (b"v", V_ENTRY)]


def with_block(contents: bytes, kind: int = 0) -> Files:
    """Return a bundle whose index has one data block with these contents."""
    return with_index(assemble_table([(b"w", contents)], kind))


def with_blocks(blocks: Sequence[Iterable[Row]], separators: Sequence[bytes]) -> Files:
    """Return a bundle whose index has several data blocks."""
    return with_index(assemble_table([(key, plain_block(rows)) for key, rows in zip(separators, blocks, strict=True)]))


def with_index_block(rows: Callable[[int], Iterable[Row]]) -> Files:
    """Return a bundle with one sound data block, and the index rows that follow from where it ends."""
    block = frame(plain_block(sound_rows()))
    contents = plain_block(rows(len(block)))
    return with_index(block + frame(contents) + footer(handle(len(block), len(contents))))


def raw_row(shared: bytes, non_shared: bytes, value_nbytes: bytes, rest: bytes) -> bytes:
    """Return a row of a block, its three lengths encoded already."""
    return shared + non_shared + value_nbytes + rest


def slice_entry(sizes: Sequence[int], *slices: Sequence[tuple[int, int | None]], dtype: int = FLOAT) -> bytes:
    """Return the entry of a partitioned tensor; a length of None spans the dimension."""
    return entry_proto(dtype, shape_proto(*sizes), 0) + b"".join(bytes_field(7, extents_proto(part)) for part in slices)


def extents_proto(extents: Sequence[tuple[int, int | None]]) -> bytes:
    """Encode a TensorSliceProto."""
    return b"".join(
        bytes_field(1, (varint_field(1, start) if start else b"") + (b"" if size is None else varint_field(2, size)))
        for start, size in extents
    )


def strings_payload(values: Sequence[bytes], sizes: bytes | None = None) -> tuple[bytes, int]:
    """Return the payload of a string tensor and its masked checksum; ``sizes`` may be anything."""
    import struct

    from tests.support.tables import masked_crc

    widths = b"".join(struct.pack("<I" if len(value) < 1 << 32 else "<Q", len(value)) for value in values)
    contents = masked_crc(widths) + b"".join(values)
    crc = int.from_bytes(masked_crc(widths + contents), "little")
    encoded = b"".join(varint(len(value)) for value in values) if sizes is None else sizes
    return encoded + contents, crc
