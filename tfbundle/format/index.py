"""A bundle's index: the header and all entries, decoded as they are asked for.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``BundleReader``), ``core/util/tensor_slice_reader``
and ``c/checkpoint_reader.cc`` (``BuildV2VarMaps``) for which rows are slices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError
from tfbundle.format.columns import EntryColumns, scan_entries
from tfbundle.format.disjoint import check_disjoint
from tfbundle.format.dtypes import dtype_name
from tfbundle.format.entries import (
    HEADER_KEY,
    BundleEntry,
    BundleHeader,
    decode_entry,
    decode_header,
    encode_entry,
    encode_header,
)
from tfbundle.format.naming import key_to_name
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.format.slices import Box, format_slice, resolve_slice
from tfbundle.sstable.reader import Block, TableReader
from tfbundle.sstable.writer import TableWriter

MAX_BLOCK_NBYTES = 64 << 20
"""Size of the largest block of an index that is read, room for an entry with a million slices."""

_SLICE_KEY_START = b"\x00"


class BundleIndex(Mapping[bytes, BundleEntry]):
    """Entries of every row but the header, by key, in key order.

    An entry is decoded, and its errors are raised, when it is asked for. Thread-safe.

    Attributes:
        header: the row under the empty key.
        keys_in_order: the keys; a row's number is its position here.
        values_in_order: the encoded entries, in the same order.
    """

    def __init__(self, header: BundleHeader, rows: Mapping[bytes, bytes]) -> None:
        self.header = header
        self.keys_in_order = list(rows)
        self.values_in_order = list(rows.values())
        self._slice_labels: dict[bytes, str] | None = None

    @classmethod
    def from_lists(cls, header: BundleHeader, keys: list[bytes], values: list[bytes]) -> BundleIndex:
        """Return the index of rows that nobody has put into a dictionary yet; ``keys`` ascend."""
        index = cls(header, {})
        index.keys_in_order, index.values_in_order = keys, values
        return index

    @cached_property
    def rows(self) -> dict[bytes, bytes]:
        """The encoded entries by key; made when a key is first sought, since for a million it takes a while."""
        return dict(zip(self.keys_in_order, self.values_in_order, strict=True))

    def iter_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and encoded entries, in order."""
        return zip(self.keys_in_order, self.values_in_order, strict=True)

    def __getitem__(self, key: bytes) -> BundleEntry:
        data = self.rows[key]
        try:
            return decode_entry(data)
        except FormatError as error:
            raise error.add_path("", f"tensor {key_to_name(key)!r}") from error

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.keys_in_order)

    def __len__(self) -> int:
        return len(self.keys_in_order)

    def __contains__(self, key: object) -> bool:
        return key in self.rows

    @cached_property
    def scanned(self) -> EntryColumns:
        """The fields of all plain entries, in key order; the rows of others are 0. Looking at it never raises."""
        return scan_entries(self.values_in_order)

    @cached_property
    def columns(self) -> EntryColumns:
        """The fields of all entries, in key order.

        Raises:
            FormatError: an entry is damaged.
        """
        if self.scanned.plain.all():
            return self.scanned
        columns = self.scanned.copy()
        for row in np.flatnonzero(~columns.plain).tolist():
            columns.fill(row, self[self.keys_in_order[row]])
        return columns

    def sound_columns(self) -> EntryColumns:
        """Return the fields of all entries as ``columns`` does, but 0 where an entry is damaged."""
        columns = self.scanned.copy()
        for row in np.flatnonzero(~columns.plain).tolist():
            with contextlib.suppress(FormatError):
                columns.fill(row, self[self.keys_in_order[row]])
        return columns

    def payload_nbytes(self, key: bytes) -> int:
        """Return the bytes of a row's payload, those of all slices together for a partitioned tensor.

        Raises:
            FormatError: an entry is damaged, or the slices do not fit.
        """
        entry = self[key]
        if not entry.slices:
            return entry.size
        return sum(self[slice_key].size for slice_key, _ in self.slice_rows(key))

    @cached_property
    def tensor_rows(self) -> NDArray[np.intp]:
        """The numbers of the rows that are tensors: all but the slices that some partitioned tensor lists."""
        slices = self._find_slices()
        if not slices:
            return np.arange(len(self))
        return np.array([row for row, key in enumerate(self.keys_in_order) if key not in slices], np.intp)

    def row_number(self, key: bytes) -> int:
        """Return the number of a row."""
        return self._row_numbers[key]

    @cached_property
    def _row_numbers(self) -> dict[bytes, int]:
        return {key: row for row, key in enumerate(self.keys_in_order)}

    def slice_rows(self, key: bytes) -> list[tuple[bytes, Box]]:
        """Return the rows that hold a partitioned tensor's parts, each with its place in the tensor.

        Raises:
            FormatError: a slice leaves the tensor, overlaps another, or its row is missing or does not fit.
        """
        entry = self[key]
        try:
            if entry.slices and not entry.shape:
                raise FormatError("Expecting positive rank of the tensor, got 0, for a tensor with slices")
            rows = [(encode_slice_key(key, extents), resolve_slice(extents, entry.shape)) for extents in entry.slices]
            check_disjoint(box for _, box in rows)
            for extents, (slice_key, box) in zip(entry.slices, rows, strict=True):
                self._check_slice_row(slice_key, entry, box, format_slice(extents))
        except FormatError as error:
            raise error.add_path("", f"tensor {key_to_name(key)!r}") from error
        return rows

    def _check_slice_row(self, slice_key: bytes, entry: BundleEntry, box: Box, where: str) -> None:
        if slice_key not in self.rows:
            raise FormatError(f"Key {slice_key!r} not found in checkpoint: slice {where} has no entry")
        part = self[slice_key]
        if part.dtype != entry.dtype or part.shape != box.sizes or part.slices:
            found = f"{dtype_name(part.dtype)} {list(part.shape)}{' with slices' if part.slices else ''}"
            expected = f"{dtype_name(entry.dtype)} {list(box.sizes)}"
            raise FormatError(f"slice {where} has an entry of {found}, expected {expected}")

    def tensor_keys(self) -> Iterator[bytes]:
        """Yield the keys of tensors: all rows but the slices that some partitioned tensor lists."""
        slices = self._find_slices()
        return (key for key in self.keys_in_order if key not in slices)

    def label(self, key: bytes) -> str:
        """Return how an error calls a row: the tensor, and for a slice also which one."""
        return self._find_slices().get(key, f"tensor {key_to_name(key)!r}")

    def _find_slices(self) -> dict[bytes, str]:
        """Return the labels of all slices, by key; those of a tensor whose own entry is damaged are not known."""
        if self._slice_labels is None:
            self._slice_labels = dict(self._iter_slices())
        return self._slice_labels

    def _iter_slices(self) -> Iterator[tuple[bytes, str]]:
        if not min(self.keys_in_order, default=b"").startswith(_SLICE_KEY_START):
            return
        for row in np.flatnonzero(~self.scanned.plain).tolist():  # an entry with slices is never plain
            key = self.keys_in_order[row]
            with contextlib.suppress(FormatError):
                for extents in self[key].slices:
                    label = f"tensor {key_to_name(key)!r}, slice {format_slice(extents)}"
                    yield encode_slice_key(key, extents), label


def decode_index(table: TableReader) -> BundleIndex:
    """Decode the rows of an index table.

    Raises:
        FormatError: damage in the table, or a header that is missing or not usable.
    """
    return _decode_blocks(table.iter_blocks())


def decode_sound_blocks(table: TableReader) -> tuple[BundleIndex, list[FormatError]]:
    """Decode the rows of an index table as far as its blocks are sound.

    Returns:
        The index of these rows, and what is wrong with each other block.

    Raises:
        FormatError: the first block, which has the header, is damaged, or the header is not usable.
    """
    blocks = list(table.iter_sound_blocks())
    errors = [block for block in blocks if isinstance(block, FormatError)]
    if errors and errors[0] is blocks[0]:
        raise errors[0]
    return _decode_blocks(block for block in blocks if not isinstance(block, FormatError)), errors


def _decode_blocks(blocks: Iterable[Block]) -> BundleIndex:
    keys: list[bytes] = []
    values: list[bytes] = []
    for block_keys, block_values in blocks:
        keys += block_keys
        values += block_values
    if keys[:1] != [HEADER_KEY]:
        found = f"first key {keys[0]!r}" if keys else "no rows"
        raise FormatError(f"failed to seek to header entry: {found}, expected an empty key", "", "header")
    try:
        header = decode_header(values[0])
    except FormatError as error:
        raise error.add_path("", "header") from error
    del keys[0], values[0]
    return BundleIndex.from_lists(header, keys, values)


def encode_index(
    write: Callable[[bytes], object],
    header: BundleHeader,
    entries: Iterable[tuple[bytes, BundleEntry]],
) -> None:
    """Encode an index table, piece by piece.

    Args:
        write: called with successive bytes of the table.
        header: goes first.
        entries: (key, entry) in ascending key order.
    """
    encode_index_rows(write, header, ((key, encode_entry(entry)) for key, entry in entries))


def encode_index_rows(
    write: Callable[[bytes], object], header: BundleHeader, rows: Iterable[tuple[bytes, bytes]]
) -> None:
    """Encode an index table of entries that are encoded already; else as ``encode_index``."""
    writer = TableWriter(write)
    writer.add(HEADER_KEY, encode_header(header))
    for key, value in rows:
        writer.add(key, value)
    writer.finish()
