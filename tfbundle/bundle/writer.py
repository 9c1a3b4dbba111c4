"""Writing a bundle tensor by tensor.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc`` (``BundleWriter``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.publish import publish_bundle
from tfbundle.bundle.target import IfExists, check_target
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.disjoint import check_disjoint
from tfbundle.format.dtypes import STRING, DataType, data_type_of, named_data_type
from tfbundle.format.entries import HEADER_KEY, BundleEntry, BundleHeader, Slice, encode_entry
from tfbundle.format.naming import (
    data_filename,
    index_filename,
    name_to_key,
)
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.format.payload_checksum import payload_checksum
from tfbundle.format.slices import resolve_slice, whole_box
from tfbundle.format.strings import encode_strings
from tfbundle.sstable.checksum import mask_crc32c
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import StagedFile, Storage

_CHUNK_NBYTES = 8 << 20


class BundleWriter:
    """Writes one bundle with one shard, published when the ``with`` block ends and discarded if it raises.

    Payloads go to storage as they are added, in that order; only index entries stay in memory. Not thread-safe. Made by
    ``create_bundle``.

    Example:
        >>> import tfbundle, tempfile, os
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
        >>> with tfbundle.create(prefix) as writer:
        ...     writer.add("w", np.ones(2, np.float32))
        ...     writer.add("step", np.int64(7))
        >>> tfbundle.open(prefix)["step"]
        array(7)
    """

    def __init__(self, prefix: str, storage: Storage, if_exists: IfExists, alignment: int) -> None:
        self.prefix = prefix
        self._storage = storage
        self._if_exists: IfExists = if_exists
        self._stage = storage.stage(replace=if_exists == "replace")
        self._stage.foresee(index_filename(prefix))
        self._alignment = alignment
        self._data: StagedFile | None = None
        self._offset = 0
        self._entries: dict[bytes, BundleEntry] = {}

    def __enter__(self) -> BundleWriter:
        return self

    def __exit__(self, exception_type: object, *rest: object) -> None:
        try:
            if exception_type is None:
                self._publish()
        finally:
            self._stage.discard()

    def add(self, name: str, value: ArrayLike, *, dtype: str | None = None) -> None:
        """Append a tensor.

        Args:
            name: not empty, not added before.
            value: an array or scalar; bytes, text (stored as UTF-8) or an object array of them for a string tensor.
            dtype: name of the element type where numpy cannot tell it, such as ``"bfloat16"`` for uint16 bit
                patterns or ``"qint8"`` for int8.

        Raises:
            ValueError: the name is empty or taken, or ``dtype`` does not fit the array.
            UnsupportedError: TensorFlow has no such dtype.
        """
        array = to_array(value)
        element, payload = encode_array(name, array, dtype)
        self._append(self._new_key(name), element, array.shape, payload)

    def add_slice(
        self, name: str, value: ArrayLike, *, shape: tuple[int, ...], extents: Slice, dtype: str | None = None
    ) -> None:
        """Append one slice of a partitioned tensor.

        A slice that spans the whole tensor makes a plain tensor, as in TensorFlow. Gaps are left to the reader, who may
        not want what is missing.

        Args:
            name: of the tensor; further slices are added under the same name.
            value: the slice's values.
            shape: of the whole tensor.
            extents: (start, length) in each dimension; length -1 for all of it.
            dtype: as for ``add``.

        Raises:
            ValueError: the slice does not fit the tensor, or overlaps one that was added before.

        Example:
            >>> import tfbundle, tempfile, os
            >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
            >>> with tfbundle.create(prefix) as writer:
            ...     writer.add_slice("w", np.zeros((1, 3)), shape=(2, 3), extents=((0, 1), (0, -1)))
            ...     writer.add_slice("w", np.ones((1, 3)), shape=(2, 3), extents=((1, 1), (0, -1)))
            >>> tfbundle.open(prefix)["w"]
            array([[0., 0., 0.],
                   [1., 1., 1.]])
        """
        array = to_array(value)
        element, payload = encode_array(name, array, dtype)
        try:
            box = resolve_slice(extents, shape)
            if array.shape != box.sizes:
                raise FormatError(f"a slice of shape {array.shape} for extents of {box.sizes}")
            if box == whole_box(shape):
                self._append(self._new_key(name), element, shape, payload)
                return
            tensor = self._extend_partition(name, BundleEntry(element.number, shape, slices=(extents,)))
        except FormatError as error:
            raise ValueError(f"tensor {name!r}: {error}") from error
        self._append(encode_slice_key(name_to_key(name), extents), element, box.sizes, payload)
        self._entries[name_to_key(name)] = tensor

    def _extend_partition(self, name: str, addition: BundleEntry) -> BundleEntry:
        """Return a partitioned tensor's entry with one more slice."""
        known = self._entries.get(name_to_key(name))
        if known is None:
            self._new_key(name)
            return addition
        if not known.slices:
            raise ValueError(f"Adding duplicate key: {name}")
        if (known.dtype, known.shape) != (addition.dtype, addition.shape):
            raise ValueError(f"tensor {name!r}: its slices disagree about dtype or shape")
        extended = replace(known, slices=known.slices + addition.slices)
        check_disjoint(resolve_slice(extents, extended.shape) for extents in extended.slices)
        return extended

    def add_payload(self, name: str, dtype: str, shape: tuple[int, ...], payload: bytes) -> None:
        """Append a tensor from the bytes that ``BundleReader.payload`` gave, such as a variant's.

        Raises:
            ValueError: the name is empty or taken.
            FormatError: ``payload`` does not fit ``dtype`` and ``shape``.
        """
        element = named_data_type(dtype)
        expected = math.prod(shape) * element.nbytes
        if element.is_memcpy and len(payload) != expected:
            raise FormatError(f"payload has {len(payload)} bytes; expected size {expected}", "", f"tensor {name!r}")
        self._append(self._new_key(name), element, shape, memoryview(payload))

    def _new_key(self, name: str) -> bytes:
        key = name_to_key(name)
        if key == HEADER_KEY:
            raise ValueError("a tensor needs a name; the empty key is the header's")
        if key in self._entries:
            raise ValueError(f"Adding duplicate key: {name}")
        return key

    def _append(self, key: bytes, element: DataType, shape: tuple[int, ...], payload: memoryview) -> None:
        if self._data is None:
            self._data = self._stage.create(data_filename(self.prefix, 0, 1))
        checksum = payload_checksum(element, math.prod(shape))
        for start in range(0, len(payload), _CHUNK_NBYTES):
            piece = payload[start : start + _CHUNK_NBYTES]
            checksum.update(piece)
            self._data.write_at(self._offset + start, piece)
        self._entries[key] = BundleEntry(
            dtype=element.number,
            shape=tuple(int(size) for size in shape),
            offset=self._offset,
            size=len(payload),
            crc32c=mask_crc32c(checksum.finish()),
        )
        self._offset += len(payload)
        self._pad()

    def _pad(self) -> None:
        padding = -self._offset % self._alignment
        if padding and self._data is not None:
            self._data.write_at(self._offset, bytes(padding))
            self._offset += padding

    def _publish(self) -> None:
        if self._data is None:
            self._stage.create(data_filename(self.prefix, 0, 1))
        rows = ((key, encode_entry(self._entries[key])) for key in sorted(self._entries))
        publish_bundle(self._stage, self._storage, self.prefix, BundleHeader(), rows, self._if_exists)


def create_bundle(
    prefix: PathLike,
    /,
    *,
    if_exists: IfExists = "error",
    alignment: int = 1,
    storage: Storage | None = None,
) -> BundleWriter:
    """Start a bundle.

    Args:
        prefix: where; directories that are missing are made.
        if_exists: ``"error"`` refuses to touch a bundle that is there; ``"replace"`` puts the new one in its place.
        alignment: payloads start at multiples of this many bytes.
        storage: where to write; wherever the path leads by default.

    Raises:
        BundleExistsError: there is a bundle already.
        ValueError: ``alignment`` is less than 1.

    Example:
        >>> import tfbundle, tempfile, os
        >>> with tfbundle.create(os.path.join(tempfile.mkdtemp(), "model"), alignment=64) as writer:
        ...     writer.add("w", np.ones(2, np.float32))
    """
    if alignment < 1:
        raise ValueError(f"alignment is {alignment}, expected at least 1")
    storage = storage or Anywhere()
    text = storage.admit(prefix)
    storage.check_writable(text)
    check_target(text, 1, if_exists, storage)
    return BundleWriter(text, storage, if_exists, alignment)


def save(prefix: PathLike, tensors: Mapping[str, ArrayLike], *, if_exists: IfExists = "error") -> None:
    """Write tensors as a bundle, in the order given.

    Raises:
        BundleExistsError, ValueError, UnsupportedError: as ``create_bundle`` and ``BundleWriter.add``.

    Example:
        >>> import tfbundle, tempfile, os
        >>> tfbundle.save(os.path.join(tempfile.mkdtemp(), "model"), {"w": np.ones(2, np.float32)})
    """
    with create_bundle(prefix, if_exists=if_exists) as writer:
        for name, value in tensors.items():
            writer.add(name, value)


def to_array(value: ArrayLike) -> NDArray[Any]:
    """Return an array; text and bytes in one of objects, since numpy's own types for them drop zeros at the end."""
    array = np.asarray(value)
    return np.asarray(value, object) if array.dtype.kind in "SU" and not isinstance(value, np.ndarray) else array


def encode_array(name: str, array: NDArray[Any], dtype: str | None) -> tuple[DataType, memoryview]:
    """Return an array's element type and its payload.

    Args:
        name: of the tensor, for errors.
        array: as ``to_array`` gives it.
        dtype: as for ``BundleWriter.add``.

    Raises:
        ValueError: ``dtype`` does not fit the array.
        UnsupportedError: TensorFlow has no such dtype.
    """
    element = data_type_of(array.dtype) if dtype is None else named_data_type(dtype)
    if element == STRING:
        return element, memoryview(encode_strings(_string_elements(array)))
    if not element.is_memcpy:
        raise UnsupportedError(f"tensor {name!r} of dtype {element.name} cannot be written from an array")
    if array.dtype.itemsize != element.nbytes:
        raise ValueError(
            f"tensor {name!r}: dtype {element.name} takes {element.nbytes} bytes an element, "
            f"the array of {array.dtype} has {array.dtype.itemsize}"
        )
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
    if element.bits < 8:
        native = native & np.uint8((1 << element.bits) - 1)
    return element, native.data


def _string_elements(array: NDArray[Any]) -> list[bytes]:
    values = array.reshape(-1).tolist()
    encoded = [value.encode("utf-8") if isinstance(value, str) else value for value in values]
    for value in encoded:
        if not isinstance(value, bytes):
            raise UnsupportedError(f"an object array may hold bytes or text, not {type(value).__name__}")
    return encoded
