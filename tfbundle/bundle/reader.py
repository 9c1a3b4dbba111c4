"""Reading a bundle: a lazy mapping from names to arrays.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``BundleReader``), order of checks included.
"""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.locate import PathLike, check_not_pointer, find_prefix
from tfbundle.bundle.region import CHUNK_NBYTES, Where, read_region
from tfbundle.errors import (
    BundleNotFoundError,
    ChecksumError,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
)
from tfbundle.format.dtypes import STRING, VARIANT, DataType, data_type, numpy_dtype
from tfbundle.format.entries import BIG, BundleEntry, Slice
from tfbundle.format.index import BundleIndex, decode_index
from tfbundle.format.naming import data_filename, index_filename, key_to_name, name_to_key, strip_data_suffix
from tfbundle.format.payload_checksum import payload_checksum
from tfbundle.format.strings import decode_strings, string_payload_nbytes
from tfbundle.sstable.checksum import mask_crc32c, unmask_crc32c
from tfbundle.sstable.reader import open_table
from tfbundle.storage.base import ReadableFile, Storage, check_range
from tfbundle.storage.local import LocalStorage

Checksums = Literal["verify", "ignore"]

WRONG_CHECKSUM = "Checksum does not match, the data are damaged or of another checkpoint"
_NUMPY_MAX_RANK = 32 if np.__version__.startswith("1.") else 64


@dataclass(frozen=True)
class TensorInfo:
    """What the index says of one tensor.

    Attributes:
        name: its name; bytes that are no UTF-8 are lone surrogates.
        dtype: name of the element type, such as ``"float32"``.
        shape: size of each dimension.
        shard: which data file holds it, from 0.
        offset: where its payload starts, in bytes from the start of that file.
        nbytes: bytes of payload.
        crc32c: checksum of the payload, unmasked.
        slices: (start, length) in each dimension of each part of a partitioned tensor, length -1 for all of
            the dimension; empty for all others.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    nbytes: int
    crc32c: int
    slices: tuple[Slice, ...] = ()


class BundleReader(Mapping[str, Any]):
    """The tensors of a bundle by name, in key order, each read from storage when it is asked for.

    Numbers come as arrays of their own (C order, native byte order, not a view of any file), strings as object arrays
    of bytes. Made by ``open_bundle``; a context manager. Thread-safe.

    Attributes:
        prefix: path of the bundle without ``.index``.
        index: its decoded index, by key.
        entries: what the index says of each tensor; looking there reads no payload.
    """

    def __init__(self, prefix: str, index: BundleIndex, storage: Storage, checksums: Checksums) -> None:
        self.prefix = prefix
        self.index = index
        self.storage = storage
        self.entries = Entries(self)
        self._verify = checksums == "verify"
        self._shards: dict[int, ReadableFile] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Any:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return map(key_to_name, self.index.tensor_keys())

    def __len__(self) -> int:
        return sum(1 for _ in self.index.tensor_keys())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name_to_key(name) in self.index

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the shards; they are opened again when another tensor is read."""
        with self._lock:
            for file in self._shards.values():
                file.close()
            self._shards.clear()

    def read(self, name: str, where: Where = ..., out: NDArray[Any] | None = None) -> Any:
        """Read a tensor or a part of it.

        Args:
            name: of the tensor.
            where: integers, slices and ``...``, as in ``array[where]``; only that part is read, and since a
                checksum covers a whole tensor, a part is not verified.
            out: receives the values of a whole numeric tensor; of its shape and dtype, C order.

        Returns:
            The array; ``out`` where it was given.

        Raises:
            TensorNotFoundError: no such tensor.
            FormatError: the entry, or the payload, is damaged.
            BundleNotFoundError: the shard is missing.
            UnsupportedError: a kind of tensor that cannot be read as an array.

        Example:
            >>> import tfbundle, tempfile, os
            >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
            >>> tfbundle.save(prefix, {"w": np.arange(6).reshape(2, 3)})
            >>> with tfbundle.open(prefix) as bundle:
            ...     bundle.read("w", where=(slice(None), 1))
            array([1, 4])
        """
        entry = self.entry(name)
        dtype = self._readable_dtype(name, entry)
        try:
            if dtype == STRING:
                return _pick(self._read_strings(entry), where)
            if where is ... or where == ():
                return self._read_numbers(entry, out)
            if out is not None:
                raise ValueError("out takes a whole tensor, not a part of one")
            self._check_place(entry)
            shard = self.shard(entry.shard_id)
            return read_region(
                lambda offset, buffer: shard.read_into(entry.offset + offset, buffer),
                entry.shape,
                numpy_dtype(entry.dtype),
                where,
            )
        except FormatError as error:
            raise self._locate(error, name, entry) from error

    def entry(self, name: str) -> BundleEntry:
        """Return the decoded index entry of a tensor.

        Raises:
            TensorNotFoundError: no such tensor.
            FormatError: the entry is damaged.
        """
        key = name_to_key(name)
        if key not in self.index:
            names = list(self)
            matches = difflib.get_close_matches(name, names, 3) if len(names) <= 10_000 else []
            raise TensorNotFoundError(name, tuple(matches), self.prefix)
        try:
            return self.index[key]
        except FormatError as error:
            raise error.add_path(index_filename(self.prefix)) from error

    def shard(self, shard_id: int) -> ReadableFile:
        """Return a shard, opened once and kept until ``close``.

        Raises:
            BundleNotFoundError: it is missing; the message names data files that are there.
            FormatError: it is a Git LFS pointer.
        """
        with self._lock:
            if shard_id not in self._shards:
                self._shards[shard_id] = self._open_shard(shard_id)
            return self._shards[shard_id]

    def _open_shard(self, shard_id: int) -> ReadableFile:
        num_shards = self.index.header.num_shards
        path = data_filename(self.prefix, shard_id, num_shards)
        if shard_id >= num_shards:
            raise BundleNotFoundError(f"No such file or directory: shard {shard_id} of {num_shards}", path)
        try:
            file = self.storage.open(path)
        except BundleNotFoundError:
            raise BundleNotFoundError(self._explain_missing_shard(shard_id), path) from None
        check_not_pointer(file)
        return file

    def _explain_missing_shard(self, shard_id: int) -> str:
        directory, base = os.path.split(self.prefix)
        names = self.storage.list_directory(directory)
        others = [name for name in names if strip_data_suffix(name) is not None]
        own = [name for name in others if strip_data_suffix(name) == base]
        found = f"; found {', '.join((own or others)[:4])}" if others else "; no data file is there"
        return f"No such file or directory: shard {shard_id} of {self.index.header.num_shards}{found}"

    def _readable_dtype(self, name: str, entry: BundleEntry) -> DataType:
        dtype = data_type(entry.dtype)
        if entry.slices:
            raise UnsupportedError(f"tensor {name!r} is partitioned into slices, which are not supported", self.prefix)
        if self.index.header.endianness == BIG:
            raise UnsupportedError("a big-endian bundle, which is not supported", self.prefix)
        if not dtype.is_memcpy and dtype != STRING:
            advice = "; payload() gives its bytes" if dtype == VARIANT else ""
            raise UnsupportedError(f"tensor {name!r} of dtype {dtype.name} is not an array{advice}", self.prefix)
        if len(entry.shape) > _NUMPY_MAX_RANK:
            raise UnsupportedError(
                f"tensor {name!r} has {len(entry.shape)} dimensions, more than numpy's {_NUMPY_MAX_RANK}",
                self.prefix,
            )
        return dtype

    def payload(self, name: str) -> bytes:
        """Return a tensor's stored bytes, whatever its dtype, with their checksum verified.

        Raises:
            TensorNotFoundError, FormatError, BundleNotFoundError: as ``read``.
        """
        entry = self.entry(name)
        try:
            self._check_place(entry)
            data = bytearray(entry.size)
            self._stream(entry, memoryview(data))
        except FormatError as error:
            raise self._locate(error, name, entry) from error
        return bytes(data)

    def check_payload(self, name: str) -> int:
        """Read a row's payload in bounded memory and verify its checksum; return its size in bytes.

        Raises:
            TensorNotFoundError, FormatError, BundleNotFoundError: as ``read``.
        """
        entry = self.entry(name)
        if entry.slices:
            return 0  # its parts are rows of their own
        try:
            self._stream(entry, None)
        except FormatError as error:
            raise self._locate(error, name, entry) from error
        return entry.size

    def _check_place(self, entry: BundleEntry) -> None:
        """Check that a payload lies in its shard, before memory for it is allocated."""
        shard = self.shard(entry.shard_id)
        if entry.size:
            check_range(shard.path, entry.offset, entry.size, shard.nbytes)

    def _stream(self, entry: BundleEntry, out: memoryview | None) -> None:
        """Read a payload into ``out``, or through a small buffer, and verify it."""
        self._check_place(entry)
        shard = self.shard(entry.shard_id)
        buffer = memoryview(bytearray(min(entry.size, CHUNK_NBYTES))) if out is None else out
        checksum = payload_checksum(data_type(entry.dtype), entry.num_elements)
        for start in range(0, entry.size, CHUNK_NBYTES):
            nbytes = min(CHUNK_NBYTES, entry.size - start)
            piece = buffer[:nbytes] if out is None else out[start : start + nbytes]
            shard.read_into(entry.offset + start, piece)
            checksum.update(piece)
        self._check(entry, checksum.finish())

    def _locate(self, error: FormatError, name: str, entry: BundleEntry) -> FormatError:
        """Add to an error which file and tensor it is about."""
        path = data_filename(self.prefix, entry.shard_id, self.index.header.num_shards)
        return error.add_path(path, f"tensor {name!r}")

    def _read_numbers(self, entry: BundleEntry, out: NDArray[Any] | None) -> NDArray[Any]:
        self._check_place(entry)
        array = _checked_out(out, entry) if out is not None else np.empty(entry.shape, numpy_dtype(entry.dtype))
        self._stream(entry, array.reshape(-1).view(np.uint8).data)
        return array

    def _read_strings(self, entry: BundleEntry) -> NDArray[np.object_]:
        shard = self.shard(entry.shard_id)
        data = shard.read(entry.offset, entry.size)
        if data:
            nbytes = string_payload_nbytes(data, entry.num_elements)
            if nbytes > entry.size:  # a size too small; TensorFlow goes by the lengths, so do we
                data = shard.read(entry.offset, nbytes)
        values, crc = decode_strings(data, entry.num_elements)
        self._check(entry, crc)
        array = np.empty(len(values), object)
        array[:] = values
        return array.reshape(entry.shape)

    def _check(self, entry: BundleEntry, crc: int) -> None:
        if self._verify and mask_crc32c(crc) != entry.crc32c:
            stored = unmask_crc32c(entry.crc32c)
            raise ChecksumError(WRONG_CHECKSUM, "", "", entry.offset, stored, crc)


class Entries(Mapping[str, TensorInfo]):
    """What the index says of each tensor. Reads no payload."""

    def __init__(self, reader: BundleReader) -> None:
        self._reader = reader

    def __getitem__(self, name: str) -> TensorInfo:
        entry = self._reader.entry(name)
        return TensorInfo(
            name,
            data_type(entry.dtype).name,
            entry.shape,
            entry.shard_id,
            entry.offset,
            entry.size,
            unmask_crc32c(entry.crc32c),
            entry.slices,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader)

    def __len__(self) -> int:
        return len(self._reader)

    def __contains__(self, name: object) -> bool:
        return name in self._reader


def open_bundle(path: PathLike, /, *, checksums: Checksums = "verify", storage: Storage | None = None) -> BundleReader:
    """Open a bundle for reading.

    Reads the index, a block at a time, every block's checksum verified; no data file is opened yet.

    Args:
        path: a prefix, any file of the bundle, a directory with a ``checkpoint`` file, or a SavedModel directory.
        checksums: ``"verify"`` compares the crc32c of every tensor that is read whole; ``"ignore"`` hands out what the
            bytes say all the same.
        storage: where the files are; the local file system by default.

    Raises:
        BundleNotFoundError: no bundle there.
        FormatError: the index is damaged.
        UnsupportedError: another kind of file.

    Example:
        >>> import tfbundle, tempfile, os
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
        >>> tfbundle.save(prefix, {"w": np.zeros((2, 3), np.float32)})
        >>> with tfbundle.open(prefix) as bundle:
        ...     bundle.entries["w"].shape
        (2, 3)
    """
    storage = storage or LocalStorage()
    prefix = find_prefix(path, storage)
    return BundleReader(prefix, read_index(prefix, storage), storage, checksums)


def load(path: PathLike, names: list[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read tensors into a dictionary, in key order.

    Args:
        path: as for ``open``.
        names: which ones; all by default.

    Raises:
        TensorNotFoundError, FormatError, BundleNotFoundError, UnsupportedError: as ``BundleReader.read``.

    Example:
        >>> import tfbundle, tempfile, os
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
        >>> tfbundle.save(prefix, {"b": np.int32(1), "a": np.int32(2)})
        >>> list(tfbundle.load(prefix))
        ['a', 'b']
    """
    with open_bundle(path) as bundle:
        return {name: bundle[name] for name in (bundle if names is None else names)}


def read_index(prefix: str, storage: Storage) -> BundleIndex:
    """Read and decode the index of the bundle with that prefix.

    Raises:
        BundleNotFoundError: there is none.
        FormatError: it is damaged, or a Git LFS pointer.
    """
    file = storage.open(index_filename(prefix))
    try:
        check_not_pointer(file)
        return decode_index(open_table(file.read, file.nbytes))
    except FormatError as error:
        raise error.add_path(file.path) from error
    finally:
        file.close()


def _checked_out(out: NDArray[Any], entry: BundleEntry) -> NDArray[Any]:
    expected = numpy_dtype(entry.dtype)
    if out.shape != entry.shape or out.dtype != expected or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(
            f"out has dtype {out.dtype} and shape {out.shape}; a writeable C-order array of {expected} "
            f"{entry.shape} is needed"
        )
    return out


def _pick(array: NDArray[np.object_], where: Where) -> Any:
    return array if where is ... else array[where]
