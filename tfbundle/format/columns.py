"""The entries of a whole index as columns, decoded side by side rather than one after the other.

A plain entry (see ``plain``) is a fixed sequence of fields, so all entries take the same steps at the same time, in
array operations. An entry that differs in any way (slices, unknown fields, other encodings of the same, or damage) is
left to ``decode_entry``.

Source: TensorFlow ``core/protobuf/tensor_bundle.proto``, ``core/framework/tensor_shape.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tfbundle.format.dtypes import DATA_TYPES, ELEMENT_NBYTES, STRING, VARIANT
from tfbundle.format.entries import BundleEntry
from tfbundle.format.plain import (
    CRC_TAG,
    DIM_SIZE_TAG,
    DIM_TAG,
    DTYPE_TAG,
    OFFSET_TAG,
    SHAPE_TAG,
    SHARD_TAG,
    SIZE_TAG,
)

_CHUNK_ROWS = 1 << 16  # bounds the scratch memory
_PADDING = bytes(16)  # so that a look ahead never leaves the array
_FEWER_ELEMENTS = 2.0**62  # what has more is left to the reference, which is exact

_STOPS = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
_SQUEEZE = tuple(
    (np.uint64(keep), np.uint64(move), np.uint64(shift))
    for keep, move, shift in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    )
)
_STOP_BITS = np.array([0x80 << 8 * index for index in range(8)], np.uint64)

_IS_KNOWN = np.array([number in DATA_TYPES for number in range(256)])
_LEAST_NBYTES = np.array([number in (STRING.number, VARIANT.number) for number in range(256)], np.int64)  # an element

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)  # neither makes sense of arrays, and making them takes time
class EntryColumns:
    """Fields of many entries, an array each.

    Attributes:
        dtype: number of the element type.
        shard_id: which data file.
        offset: where the payload starts there, in bytes.
        size: bytes of payload.
        crc32c: checksum of the payload, masked.
        head_nbytes: how many bytes at the start of the encoded entry are dtype and shape; 0 where the entry is not
            plain, and then the other fields are 0 until ``fill`` sets them.
        sliced: whether the entry is that of a partitioned tensor.
    """

    dtype: NDArray[np.uint8]
    shard_id: NDArray[np.int32]
    offset: Numbers
    size: Numbers
    crc32c: NDArray[np.uint32]
    head_nbytes: NDArray[np.int32]
    sliced: Flags

    def __len__(self) -> int:
        return len(self.dtype)

    @property
    def plain(self) -> Flags:
        """Which entries were decoded here."""
        found: Flags = self.head_nbytes > 0
        return found

    def copy(self) -> EntryColumns:
        """Return columns that can be filled without changing these."""
        return EntryColumns(*(getattr(self, field.name).copy() for field in fields(self)))

    def fill(self, row: int, entry: BundleEntry) -> None:
        """Set the fields of a row that is not plain."""
        self.dtype[row] = entry.dtype
        self.sliced[row] = bool(entry.slices)
        if not entry.slices:  # else there is no payload, and numbers that stand there may be anything
            self.shard_id[row] = entry.shard_id
            self.offset[row] = entry.offset
            self.size[row] = entry.size
            self.crc32c[row] = entry.crc32c


def scan_entries(values: Sequence[bytes]) -> EntryColumns:
    """Decode and check all entries that are plain. Never raises: others are left as ``plain`` says.

    Cost: about half a microsecond an entry.

    Example:
        >>> columns = scan_entries([bytes.fromhex("08091200200828083543414039"), b"?"])
        >>> columns.size.tolist(), columns.plain.tolist()
        ([8, 0], [True, False])
    """
    columns = EntryColumns(
        np.zeros(len(values), np.uint8),
        np.zeros(len(values), np.int32),
        np.zeros(len(values), np.int64),
        np.zeros(len(values), np.int64),
        np.zeros(len(values), np.uint32),
        np.zeros(len(values), np.int32),
        np.zeros(len(values), np.bool_),
    )
    start = 0
    for chunk in _iter_chunks(values):
        part = slice(start, start + len(chunk))
        _scan_chunk(chunk, EntryColumns(*(getattr(columns, field.name)[part] for field in fields(columns))))
        start += len(chunk)
    return columns


def _iter_chunks(values: Sequence[bytes]) -> Iterator[list[bytes]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK_ROWS)):
        yield chunk


def _scan_chunk(values: list[bytes], columns: EntryColumns) -> None:
    cursor = _Cursor(values)
    columns.dtype[:] = cursor.take_dtype()
    num_elements, head_nbytes = cursor.take_shape()
    shard_id = cursor.take_number(SHARD_TAG)
    columns.offset[:] = cursor.take_number(OFFSET_TAG)
    columns.size[:] = cursor.take_number(SIZE_TAG)
    columns.crc32c[:] = cursor.take_fixed32(CRC_TAG)
    columns.shard_id[:] = shard_id
    element_nbytes = ELEMENT_NBYTES[columns.dtype]
    cursor.demand(_IS_KNOWN[columns.dtype] & (shard_id < 1 << 31) & cursor.at_end())
    cursor.demand((element_nbytes == 0) | (columns.size == num_elements * element_nbytes))
    cursor.demand(columns.size >= num_elements * _LEAST_NBYTES[columns.dtype])
    columns.head_nbytes[:] = head_nbytes
    for field in fields(columns):
        getattr(columns, field.name)[~cursor.plain] = 0


class _Cursor:
    """A position in each of many encoded entries, and whether what was met so far is plain."""

    def __init__(self, values: list[bytes]) -> None:
        self._data = np.frombuffer(b"".join((*values, _PADDING)), np.uint8)
        self._words = np.ndarray((len(self._data) - 7,), "<u8", self._data, strides=(1,))
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        self._position = self._starts.copy()
        self.plain = lengths > 0

    def demand(self, condition: Flags) -> None:
        """Leave alone from now on what does not fulfil a condition."""
        self.plain &= condition

    def at_end(self) -> Flags:
        """Tell which entries are used up."""
        found: Flags = self._position == self._ends
        return found

    def take_dtype(self) -> NDArray[np.uint8]:
        self.demand(self._peek(0) == DTYPE_TAG)
        dtype = self._peek(1)
        self.demand(dtype < 0x80)
        self._advance(2)
        return dtype

    def take_shape(self) -> tuple[Numbers, Numbers]:
        """Return the number of elements, and where the shape ends, from the start of each entry."""
        self.demand(self._peek(0) == SHAPE_TAG)
        nbytes = self._peek(1).astype(np.int64)
        self.demand(nbytes < 0x80)
        self._advance(2)
        ends = self._position + nbytes
        self.demand(ends <= self._ends)
        num_elements = np.ones(len(nbytes), np.int64)
        about = np.ones(len(nbytes))  # the same, but never too large to hold
        while len(rows := np.flatnonzero(self.plain & (self._position < ends))):
            dims = self._take_dim(rows)
            num_elements[rows] *= dims
            about[rows] *= dims
            self.plain[rows[about[rows] > _FEWER_ELEMENTS]] = False
        self.demand(self._position == ends)
        return num_elements, ends - self._starts

    def take_number(self, tag: int) -> Numbers:
        """Return the values of an optional field; where it is present, it is not 0."""
        values = np.zeros(len(self._position), np.int64)
        rows = self._rows_at(tag)
        if len(rows):
            self._position[rows] += 1
            values[rows] = self._take_varint(rows)
        return values

    def take_fixed32(self, tag: int) -> NDArray[np.uint32]:
        """Return the values of an optional field of 4 bytes; where it is present, it is not 0."""
        values = np.zeros(len(self._position), np.uint32)
        rows = self._rows_at(tag)
        words = self._words[self._position[rows] + 1]
        values[rows] = (words & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        self.plain[rows[values[rows] == 0]] = False
        self._position[rows] += 5
        self._check_position()
        return values

    def _rows_at(self, tag: int) -> Rows:
        return np.flatnonzero(self.plain & (self._peek(0) == tag) & (self._position < self._ends))

    def _take_dim(self, rows: Rows) -> Numbers:
        """Take one dimension of each of these entries."""
        position = self._position[rows]
        nbytes = self._data[position + 1]
        empty = nbytes == 0  # a dimension of size 0
        good = (self._data[position] == DIM_TAG) & (empty | (self._data[position + 2] == DIM_SIZE_TAG))
        self._position[rows] += np.where(empty, 2, 3)
        sized = rows[~empty]
        dims = np.zeros(len(rows), np.int64)
        dims[~empty] = self._take_varint(sized)
        good &= self._position[rows] - position == nbytes.astype(np.int64) + 2
        self.plain[rows[~good]] = False
        return dims

    def _take_varint(self, rows: Rows) -> Numbers:
        """Take a number above 0, of at most 8 bytes and no more than it needs, from each of these entries."""
        words = self._words[self._position[rows]]
        stops = ~words & _STOPS
        stop = stops & (~stops + _ONE)
        values = words & (stop - _ONE) & ~_STOPS
        for keep, move, shift in _SQUEEZE:
            values = (values & keep) | ((values & move) >> shift)
        nbytes = np.searchsorted(_STOP_BITS, stop) + 1
        found: Numbers = values.astype(np.int64)
        good = (stop != 0) & (found >> 7 * (nbytes - 1) > 0)
        self.plain[rows[~good]] = False
        self._position[rows] += nbytes
        self._check_position()
        return found

    def _peek(self, ahead: int) -> NDArray[np.uint8]:
        return self._data.take(self._position + ahead)

    def _advance(self, nbytes: int) -> None:
        self._position += nbytes
        self._check_position()

    def _check_position(self) -> None:
        """Leave alone what ended within a field; no position moves past its entry's end."""
        self.plain &= self._position <= self._ends
        np.minimum(self._position, self._ends, out=self._position)
