"""V1 checkpoints as bundles: an index made from what their tables list, and rows decoded from the tables."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.locate import Location, check_not_pointer
from tfbundle.bundle.region import Where
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import STRING, data_type, numpy_dtype
from tfbundle.format.entries import HEADER_KEY, BundleHeader, encode_entry
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import key_to_name
from tfbundle.format.v1 import StoredSlice, V1Index, decode_values
from tfbundle.sstable.reader import TableReader, open_table
from tfbundle.storage.base import ReadableFile, Storage


class V1Payloads:
    """Reads rows of a V1 checkpoint: a row at a time, which is the least its format allows. Thread-safe.

    Every block that is read is verified. Errors name the file and the tensor.

    Attributes:
        files: the tables.
    """

    def __init__(
        self,
        index: BundleIndex,
        stored: Mapping[bytes, StoredSlice],
        files: Sequence[ReadableFile],
        tables: Sequence[TableReader],
    ) -> None:
        self._index = index
        self._stored = stored
        self.files = files
        self._tables = tables
        self._lock = threading.Lock()
        self._last: tuple[bytes | None, NDArray[Any]] = (None, np.empty(0))  # of no row yet

    def read(self, key: bytes) -> NDArray[Any]:
        """Read a row; strings as an object array of bytes."""
        return self._values(key).copy()

    def read_into(self, key: bytes, out: NDArray[Any]) -> None:
        """Read a row into an array of its shape."""
        out[...] = self._values(key)

    def read_region(self, key: bytes, where: Where) -> NDArray[Any]:
        """Read ``row[where]``."""
        values = self._values(key)
        return np.array(values[where], values.dtype, order="C")

    def read_box(self, key: bytes, starts: tuple[int, ...], out: NDArray[Any]) -> None:
        """Read the box of ``out``'s shape that starts there."""
        box = tuple(slice(start, start + size) for start, size in zip(starts, out.shape, strict=True))
        out[...] = self._values(key)[box]

    def read_bytes(self, key: bytes) -> bytes:
        """Refuse: the bytes in the file are not those of a bundle."""
        raise UnsupportedError(f"tensor {key_to_name(key)!r} has no payload of its own in a V1 checkpoint")

    def check(self, key: bytes) -> int:
        """Read and decode a row; return the size of its values in bytes."""
        return self._values(key).nbytes

    def open_row(self, key: bytes) -> V1RowStream:
        """Start to read a row of numbers in pieces."""
        return V1RowStream(self._decode(key))

    def check_room(self, keys: Iterable[bytes]) -> None:
        """Check, before memory is allocated for them, that rows are as large as they have to be.

        Raises:
            FormatError: one has fewer bytes than values.
        """
        for key in keys:
            num_elements, nbytes = self._index[key].num_elements, len(self._find(key))
            if nbytes < num_elements:
                raise self._locate(FormatError(f"{num_elements} values in {nbytes} bytes"), key)

    def close(self) -> None:
        """Release the files."""
        for file in self.files:
            file.close()

    def _values(self, key: bytes) -> NDArray[Any]:
        with self._lock:
            if self._last[0] != key:
                self._last = (key, self._decode(key))
            return self._last[1]

    def _decode(self, key: bytes) -> NDArray[Any]:
        entry = self._index[key]
        dtype = data_type(entry.dtype)
        value = self._find(key)
        try:
            values = decode_values(value, dtype, entry.shape)
        except FormatError as error:
            raise self._locate(error, key) from error
        except UnsupportedError as error:
            path = self.files[self._stored[key].table].path
            raise UnsupportedError(f"{self._index.label(key)}: {error.reason}", path) from error
        return values if dtype == STRING else values.view(numpy_dtype(entry.dtype))

    def _find(self, key: bytes) -> bytes:
        """Return an encoded row."""
        stored = self._stored.get(key)
        if stored is None:
            raise FormatError("no slice of it is stored", self.files[0].path, self._index.label(key))
        try:
            value = self._tables[stored.table].get(stored.key)
            if value is None:
                raise FormatError(f"Key {stored.key!r} not found in checkpoint")
        except FormatError as error:
            raise self._locate(error, key) from error
        return value

    def _locate(self, error: FormatError, key: bytes) -> FormatError:
        """Add to an error which file and tensor it is about."""
        return error.add_path(self.files[self._stored[key].table].path, self._index.label(key))


class V1RowStream:
    """The bytes that a row would have in a bundle of this machine's byte order, from first to last. Not thread-safe."""

    swap = False

    def __init__(self, values: NDArray[Any]) -> None:
        self._rest = values.reshape(-1).view(np.uint8)

    def read_into(self, piece: memoryview) -> None:
        """Fill a buffer with the next bytes."""
        piece[:] = self._rest[: len(piece)].data
        self._rest = self._rest[len(piece) :]

    def finish(self) -> None:
        """Judge nothing: the block that holds the row was verified when the row was decoded."""


def open_v1(location: Location, storage: Storage) -> tuple[BundleIndex, V1Payloads]:
    """Open the tables of a V1 checkpoint; return what they list as the index of a bundle, and its rows.

    Raises:
        FormatError: one is damaged, is no V1 checkpoint, or a Git LFS pointer.
    """
    files: list[ReadableFile] = []
    tables: list[TableReader] = []
    collected = V1Index()
    for number, path in enumerate(location.v1_files):
        file = storage.open(path)
        try:
            check_not_pointer(file)
            table = open_table(file.read, file.nbytes)
            meta = table.get(HEADER_KEY)
            if meta is None:
                raise FormatError("Failed to find the saved tensor slices at the beginning of the checkpoint file")
            collected.add_table(number, meta)
        except FormatError as error:
            raise error.add_path(path) from error
        files.append(file)
        tables.append(table)
    rows = {key: encode_entry(entry) for key, entry in collected.entries().items()}
    index = BundleIndex(BundleHeader(num_shards=len(files)), rows)
    return index, V1Payloads(index, collected.stored, files, tables)
