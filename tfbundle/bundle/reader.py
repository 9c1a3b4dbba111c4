"""Reading a bundle: a lazy mapping from names to arrays.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``BundleReader``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.assemble import assemble
from tfbundle.bundle.payloads import Payloads
from tfbundle.bundle.region import Where
from tfbundle.bundle.shards import Shards
from tfbundle.errors import FormatError, TensorNotFoundError, UnsupportedError
from tfbundle.format.dtypes import MAX_ARRAY_RANK, STRING, VARIANT, data_type, numpy_dtype
from tfbundle.format.entries import BundleEntry, Slice
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import index_filename, key_to_name, name_to_key
from tfbundle.format.slices import check_covered, whole_box
from tfbundle.sstable.checksum import unmask_crc32c
from tfbundle.storage.base import ReadableFile, Storage

if TYPE_CHECKING:
    from tfbundle.bundle.listing import Listing
    from tfbundle.bundle.stream import Row, TensorStream
    from tfbundle.bundle.v1 import V1Payloads


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
    of bytes. A partitioned tensor is put together from its slices. Made by ``open_bundle``; a context manager.
    Thread-safe.

    Attributes:
        prefix: path of the bundle without ``.index``.
        index: its decoded index, by key.
        storage: where its files are.
        shards: its data files.
        is_v1: whether it is a V1 checkpoint, which has no payloads of the bundle's form.
        entries: what the index says of each tensor; looking there reads no payload.
    """

    def __init__(self, index: BundleIndex, payloads: Payloads | V1Payloads, shards: Shards, storage: Storage) -> None:
        self.prefix = shards.prefix
        self.index = index
        self.storage = storage
        self.shards = shards
        self.is_v1 = not isinstance(payloads, Payloads)
        self.entries = Entries(self)
        self._payloads = payloads

    def __getitem__(self, name: str) -> Any:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return map(key_to_name, self.index.tensor_keys())

    def __len__(self) -> int:
        return sum(1 for _ in self.index.tensor_keys())

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and name_to_key(name) in self.index
        except UnicodeEncodeError:  # no bytes have that name
            return False

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files; those of a bundle with an index are opened again when another tensor is read."""
        self.shards.close()
        self._payloads.close()

    def check_unchanged(self) -> None:
        """Raise FormatError if a file that was opened, and not closed again, has changed since."""
        self.shards.check_unchanged()
        for file in self.tables:
            file.check_unchanged()

    @property
    def tables(self) -> Sequence[ReadableFile]:
        """The files of a V1 checkpoint; none of any other."""
        return () if isinstance(self._payloads, Payloads) else self._payloads.files

    def open_shards(self) -> list[ReadableFile]:
        """Open every data file; none of a V1 checkpoint.

        Raises:
            BundleNotFoundError: one is missing.
            FormatError: one is a Git LFS pointer.
        """
        return [self.shards.open(number) for number in range(self.shards.num_shards)]

    def read(self, name: str, where: Where = ..., out: NDArray[Any] | None = None) -> Any:
        """Read a tensor or a part of it.

        Args:
            name: of the tensor.
            where: integers, slices and ``...``, as in ``array[where]``; only that part is read, and since a
                checksum covers a whole tensor, or a whole slice of one, a part is not verified.
            out: receives the values of a whole numeric tensor; of its shape and dtype, C order.

        Returns:
            The array; ``out`` where it was given.

        Raises:
            TensorNotFoundError: no such tensor.
            FormatError: the entry, or the payload, is damaged, or slices are missing or overlap.
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
        self._check_readable(name, entry)
        is_whole = where is ... or where == ()
        if out is not None:
            _check_out(out, entry, is_whole=is_whole)
        key = name_to_key(name)
        if entry.slices:
            array = self._assemble(key, entry, where)
        elif out is not None:
            self._payloads.read_into(key, out)
            return out
        else:
            return self._payloads.read(key) if is_whole else self._payloads.read_region(key, where)
        if out is None:
            return array
        out[...] = array
        return out

    def _assemble(self, key: bytes, entry: BundleEntry, where: Where) -> NDArray[Any]:
        dtype = np.dtype(object) if data_type(entry.dtype) == STRING else numpy_dtype(entry.dtype)
        with self._blaming_index(key):
            return assemble(self._payloads, entry, self.index.slice_rows(key), dtype, where)

    @contextmanager
    def _blaming_index(self, key: bytes) -> Iterator[None]:
        """Add to an error the index as its file, and the tensor, where it has none; V1 shards list slices together."""
        try:
            yield
        except FormatError as error:
            raise error.add_path(self._index_path, self.index.label(key)) from error

    @property
    def _index_path(self) -> str:
        return self.prefix if self.is_v1 else index_filename(self.prefix)

    def entry(self, name: str) -> BundleEntry:
        """Return the decoded index entry of a tensor.

        Raises:
            TensorNotFoundError: no such tensor.
            FormatError: the entry is damaged.
        """
        if name not in self:
            import difflib

            names = list(self)
            matches = difflib.get_close_matches(name, names, 3) if len(names) <= 10_000 else []
            raise TensorNotFoundError(name, tuple(matches), self.prefix)
        key = name_to_key(name)
        with self._blaming_index(key):
            return self.index[key]

    def payload_nbytes(self, name: str) -> int:
        """Return the bytes of a tensor's payload, those of all slices together if it is partitioned.

        Raises:
            TensorNotFoundError: no such tensor.
            FormatError: an entry is damaged, or the slices do not fit.
        """
        entry, key = self.entry(name), name_to_key(name)
        if not entry.slices:
            return entry.size
        with self._blaming_index(key):
            return self.index.payload_nbytes(key)

    def list_tensors(self) -> Listing:
        """Return every tensor's name and kind, in key order; many times as fast as looking up entries.

        Raises:
            FormatError: an entry is damaged, or slices do not fit.
        """
        from tfbundle.bundle.listing import list_tensors

        try:
            return list_tensors(self.index)
        except FormatError as error:
            raise error.add_path(self._index_path) from error

    def payload(self, name: str) -> bytes:
        """Return a tensor's stored bytes, whatever its dtype, with their checksum verified.

        Raises:
            TensorNotFoundError, FormatError, BundleNotFoundError: as ``read``.
            UnsupportedError: the tensor is partitioned.
        """
        if self.entry(name).slices:
            raise UnsupportedError(f"tensor {name!r} is partitioned: each slice has bytes of its own", self.prefix)
        return self._payloads.read_bytes(name_to_key(name))

    def check_payload(self, name: str) -> int:
        """Read a row's payload in bounded memory and verify its checksum; return its size in bytes.

        A partitioned tensor has none: its slices are rows of their own.

        Raises:
            TensorNotFoundError, FormatError, BundleNotFoundError: as ``read``.
        """
        return 0 if self.entry(name).slices else self._payloads.check(name_to_key(name))

    def stream(self, name: str) -> TensorStream:
        """Start to read a tensor of numbers in windows, its checksums verified.

        Raises:
            TensorNotFoundError, FormatError, BundleNotFoundError: as ``read``; damage in a payload is told later.
            UnsupportedError: its elements are no numbers.
        """
        from tfbundle.bundle.stream import TensorStream

        entry, key = self.entry(name), name_to_key(name)
        dtype = data_type(entry.dtype)
        if not dtype.is_memcpy:
            raise UnsupportedError(f"tensor {name!r} of dtype {dtype.name} holds no numbers", self.prefix)
        with self._blaming_index(key):
            slices = self.index.slice_rows(key) if entry.slices else [(key, whole_box(entry.shape))]
            return TensorStream(self._payloads, dtype, entry.shape, slices)

    def open_row(self, name: str) -> Row:
        """Start to read the stored bytes of a tensor that is not partitioned, whatever its dtype, in pieces.

        Raises:
            TensorNotFoundError, FormatError, BundleNotFoundError: as ``read``.
        """
        self.entry(name)
        return self._payloads.open_row(name_to_key(name))

    def expect(self, names: Sequence[str]) -> list[str]:
        """Prepare for reading some tensors whole; return their names in the order in which they are read best.

        Raises:
            TensorNotFoundError, FormatError, BundleNotFoundError: as ``read``.
        """
        if self.is_v1:
            return list(names)
        entries = {name: self.entry(name) for name in names}
        extents: dict[int, list[tuple[int, int]]] = {}
        for entry in entries.values():
            if entry.size:
                extents.setdefault(entry.shard_id, []).append((entry.offset, entry.size))
        for shard, found in extents.items():
            self.shards.open(shard).expect(found)
        return sorted(entries, key=lambda name: (entries[name].shard_id, entries[name].offset))

    def find_unconfirmed(self) -> NDArray[np.intp]:
        """Read all payloads of numbers once, side by side, and return the rows this did not find to be sound.

        Those are to be checked one by one: damaged ones, strings, and whatever else is out of the ordinary.
        """
        if self.is_v1:
            return np.arange(len(self.index))
        from tfbundle.bundle.sweep import confirm_payloads

        return np.flatnonzero(~confirm_payloads(self.index.scanned, self.shards))

    def check_slices(self, name: str) -> None:
        """Check that the slices of a partitioned tensor fit together and make up the tensor.

        Raises:
            TensorNotFoundError: no such tensor.
            FormatError: they do not.
        """
        entry, key = self.entry(name), name_to_key(name)
        if entry.slices:
            with self._blaming_index(key):
                check_covered(whole_box(entry.shape), (box for _, box in self.index.slice_rows(key)))

    def _check_readable(self, name: str, entry: BundleEntry) -> None:
        dtype = data_type(entry.dtype)
        if len(entry.shape) > MAX_ARRAY_RANK:
            limit = f"{len(entry.shape)} dimensions, an array at most {MAX_ARRAY_RANK}; payload() gives its bytes"
            raise UnsupportedError(f"tensor {name!r} has {limit}", self.prefix)
        if not dtype.is_memcpy and dtype != STRING:
            advice = "; payload() gives its bytes" if dtype == VARIANT else ""
            raise UnsupportedError(f"tensor {name!r} of dtype {dtype.name} is not an array{advice}", self.prefix)
        shape = (0,) * len(entry.shape) if entry.num_elements else entry.shape
        try:
            np.empty(shape, numpy_dtype(entry.dtype) if dtype.is_memcpy else object)
        except ValueError as error:  # too many dimensions, or none of some size with others too large
            raise UnsupportedError(f"tensor {name!r} of shape {list(entry.shape)}: {error}", self.prefix) from error


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
            self._reader.payload_nbytes(name),
            unmask_crc32c(entry.crc32c),
            entry.slices,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader)

    def __len__(self) -> int:
        return len(self._reader)

    def __contains__(self, name: object) -> bool:
        return name in self._reader


def _check_out(out: NDArray[Any], entry: BundleEntry, *, is_whole: bool) -> None:
    if not is_whole:
        raise ValueError("out takes a whole tensor, not a part of one")
    expected = numpy_dtype(entry.dtype)
    if out.shape != entry.shape or out.dtype != expected or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(
            f"out has dtype {out.dtype} and shape {out.shape}; a writeable C-order array of {expected} "
            f"{entry.shape} is needed"
        )
