"""The payloads of index rows: bytes in shards, checked and decoded.

A row is a tensor, or one slice of a partitioned tensor; either way it is one payload under one key.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``BundleReader::GetValue``), order of checks included.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.region import CHUNK_NBYTES, Where, read_box, read_region
from tfbundle.bundle.shards import Shards
from tfbundle.errors import ChecksumError, FormatError
from tfbundle.format.dtypes import STRING, data_type, numpy_dtype
from tfbundle.format.entries import BundleEntry
from tfbundle.format.extents import MAX_OVERLAP
from tfbundle.format.index import BundleIndex
from tfbundle.format.payload_checksum import payload_checksum
from tfbundle.format.strings import decode_strings, string_payload_nbytes
from tfbundle.format.varints import MAX_VARINT_NBYTES
from tfbundle.sstable.checksum import mask_crc32c, unmask_crc32c
from tfbundle.storage.base import ReadableFile, check_range

WRONG_CHECKSUM = "Checksum does not match, the data are damaged or of another checkpoint"


class Payloads:
    """Reads rows of one bundle. Thread-safe.

    Errors it raises name the shard's path and the tensor.
    """

    def __init__(self, index: BundleIndex, shards: Shards, *, verify: bool) -> None:
        self._index = index
        self._shards = shards
        self._verify = verify
        self._byteorder = index.header.byteorder

    def read(self, key: bytes) -> NDArray[Any]:
        """Read a row whole, verified; strings as an object array of bytes."""
        entry = self._index[key]
        if data_type(entry.dtype) == STRING:
            return self._read_strings(key, entry)
        self._place(key, entry)
        array = np.empty(entry.shape, numpy_dtype(entry.dtype))
        self._stream(key, entry, array.reshape(-1).view(np.uint8).data)
        self._to_native(array, entry)
        return array

    def read_into(self, key: bytes, out: NDArray[Any]) -> None:
        """Read a row whole, verified, into an array of its shape."""
        entry = self._index[key]
        if out.flags.c_contiguous and data_type(entry.dtype) != STRING:
            self._stream(key, entry, out.reshape(-1).view(np.uint8).data)
            self._to_native(out, entry)
        else:
            out[...] = self.read(key)

    def read_region(self, key: bytes, where: Where) -> NDArray[Any]:
        """Read ``row[where]``; a row of numbers is then not read whole and not verified."""
        entry = self._index[key]
        if data_type(entry.dtype) == STRING:
            return np.asarray(self._read_strings(key, entry)[where], object)
        file = self._place(key, entry)
        array = read_region(
            lambda offset, buffer: file.read_into(entry.offset + offset, buffer),
            entry.shape,
            numpy_dtype(entry.dtype),
            where,
        )
        self._to_native(array, entry)
        return array

    def read_box(self, key: bytes, starts: tuple[int, ...], out: NDArray[Any]) -> None:
        """Read the box of ``out``'s shape that starts there, not verified if it is of numbers."""
        entry = self._index[key]
        if data_type(entry.dtype) == STRING:
            box = tuple(slice(start, start + size) for start, size in zip(starts, out.shape, strict=True))
            out[...] = self._read_strings(key, entry)[box]
            return
        file = self._place(key, entry)
        read_box(lambda offset, buffer: file.read_into(entry.offset + offset, buffer), entry.shape, starts, out)
        self._to_native(out, entry)

    def read_bytes(self, key: bytes) -> bytes:
        """Read a row's bytes as stored, verified."""
        entry = self._index[key]
        self._place(key, entry)
        data = bytearray(entry.size)
        self._stream(key, entry, memoryview(data))
        return bytes(data)

    def check(self, key: bytes) -> int:
        """Read a row in bounded memory and verify it; return its size in bytes."""
        entry = self._index[key]
        self._stream(key, entry, None)
        return entry.size

    def open_row(self, key: bytes) -> RowStream:
        """Start to read a row in pieces, verified at the end."""
        return RowStream(self, key)

    def check_room(self, keys: Iterable[bytes]) -> None:
        """Check, before memory is allocated for them, that rows lie within their shards and hardly share bytes.

        Raises:
            FormatError: they do not, or together they are many times as large as their shards.
        """
        entries = {key: self._index[key] for key in keys}
        shards = {entry.shard_id: self._place(key, entry).nbytes for key, entry in entries.items()}
        nbytes = sum(entry.size for entry in entries.values())
        if nbytes > MAX_OVERLAP * sum(shards.values()):
            raise FormatError(f"its slices take {nbytes} bytes, their data files have {sum(shards.values())}")

    def close(self) -> None:
        """Release nothing: the shards belong to the reader."""

    def _place(self, key: bytes, entry: BundleEntry) -> ReadableFile:
        """Return the shard of a row after checking that the row lies within it, before memory is allocated."""
        file = self._shards.open(entry.shard_id)
        if entry.size:
            try:
                check_range(file.path, entry.offset, entry.size, file.nbytes)
            except FormatError as error:
                raise self._locate(error, key, entry) from error
        return file

    def _to_native(self, array: NDArray[Any], entry: BundleEntry) -> None:
        """Give an array of stored bytes this machine's byte order, in place."""
        swap = data_type(entry.dtype).swap
        if self._byteorder != sys.byteorder and swap > 1:
            parts = array.view(f"u{swap}") if array.ndim else array.reshape(1).view(f"u{swap}")
            parts.byteswap(inplace=True)

    def _stream(self, key: bytes, entry: BundleEntry, out: memoryview | None) -> None:
        """Read a row into ``out``, or through a small buffer, and verify it."""
        row = RowStream(self, key, entry)
        buffer = memoryview(bytearray(min(entry.size, CHUNK_NBYTES))) if out is None else out
        for start in range(0, entry.size, CHUNK_NBYTES):
            nbytes = min(CHUNK_NBYTES, entry.size - start)
            row.read_into(buffer[:nbytes] if out is None else out[start : start + nbytes])
        row.finish()

    def _read_strings(self, key: bytes, entry: BundleEntry) -> NDArray[np.object_]:
        file = self._place(key, entry)
        try:
            data = b""
            if entry.size:  # which may be wrong either way; TensorFlow goes by the lengths, so do we
                most = MAX_VARINT_NBYTES * entry.num_elements + 1
                nbytes = string_payload_nbytes(file.read(entry.offset, min(entry.size, most)), entry.num_elements)
                data = file.read(entry.offset, nbytes)
            values, crc = decode_strings(data, entry.num_elements, self._byteorder)
            self._check_crc(entry, crc)
        except FormatError as error:
            raise self._locate(error, key, entry) from error
        array = np.empty(len(values), object)
        array[:] = values
        return array.reshape(entry.shape)

    def _check_crc(self, entry: BundleEntry, crc: int) -> None:
        if self._verify and mask_crc32c(crc) != entry.crc32c:
            stored = unmask_crc32c(entry.crc32c)
            raise ChecksumError(WRONG_CHECKSUM, "", "", entry.offset, stored, crc)

    def _locate(self, error: FormatError, key: bytes, entry: BundleEntry) -> FormatError:
        """Add to an error which file and tensor it is about."""
        return error.add_path(self._shards.path(entry.shard_id), self._index.label(key))


class RowStream:
    """The bytes of one row as they are stored, read from first to last in pieces of any size. Not thread-safe.

    Errors name the shard's path and the tensor, as those of ``Payloads`` do.

    Attributes:
        swap: whether numbers in them have the other byte order than this machine.
    """

    def __init__(self, payloads: Payloads, key: bytes, entry: BundleEntry | None = None) -> None:
        self._payloads = payloads
        self._key = key
        self._entry = payloads._index[key] if entry is None else entry
        self._file = payloads._place(key, self._entry)
        dtype = data_type(self._entry.dtype)
        self._checksum = payload_checksum(dtype, self._entry.num_elements, payloads._byteorder)
        self._done = 0
        self._file.expect([(self._entry.offset, self._entry.size)])
        self.swap = payloads._byteorder != sys.byteorder

    def read_into(self, piece: memoryview) -> None:
        """Fill a buffer with the next bytes.

        Raises:
            FormatError: the shard ends before, or the bytes break the structure of a string or variant payload.
        """
        try:
            self._file.read_into(self._entry.offset + self._done, piece)
            self._checksum.update(piece)
        except FormatError as error:
            raise self._payloads._locate(error, self._key, self._entry) from error
        self._done += len(piece)

    def finish(self) -> None:
        """Judge the row once all of its bytes were read.

        Raises:
            FormatError: they do not match the stored checksum.
        """
        try:
            self._payloads._check_crc(self._entry, self._checksum.finish())
        except FormatError as error:
            raise self._payloads._locate(error, self._key, self._entry) from error
