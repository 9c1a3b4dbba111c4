"""V1 checkpoints: tables whose rows hold the values themselves.

The row under the empty key lists every tensor with its slices; each other row, under the key of a slice, holds its
values in a protobuf. A whole tensor is a slice that spans every dimension.

Source: TensorFlow ``core/util/tensor_slice_writer.cc``, ``tensor_slice_reader.cc``, ``saved_tensor_slice_util.cc``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import BOOL, STRING, DataType, data_type
from tfbundle.format.entries import BundleEntry, Slice, check_version, decode_shape, decode_slice
from tfbundle.format.naming import name_to_key
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.format.slices import Box, resolve_slice, whole_box
from tfbundle.format.varints import decode_varint_array
from tfbundle.pb import parse_message


class StoredSlice(NamedTuple):
    """Where a row of the bundle that a V1 checkpoint amounts to is found.

    Attributes:
        table: number of the file.
        key: of the row in it.
    """

    table: int
    key: bytes


_FIXED_FIELDS = {
    "float32": ("float_val", "<f4"),
    "float64": ("double_val", "<f8"),
    "complex64": ("scomplex_val", "<c8"),
    "complex128": ("dcomplex_val", "<c16"),
}
_VARINT_FIELDS = {
    **dict.fromkeys(("int32", "uint8", "int16", "int8", "uint16", "qint8", "quint8", "qint32"), "int_val"),
    "int64": "int64_val",
    "bool": "bool_val",
    "float16": "half_val",
}


class V1Index:
    """Collects the tensors of all files of a V1 checkpoint as entries of a bundle."""

    def __init__(self) -> None:
        self._entries: dict[bytes, BundleEntry] = {}
        self._slices: dict[bytes, list[Slice]] = {}
        self._boxes: dict[bytes, Box] = {}
        self.stored: dict[bytes, StoredSlice] = {}

    def add_table(self, number: int, value: bytes) -> None:
        """Take the row under the empty key of one file.

        Raises:
            FormatError: not such a row, a version this reader may not read, a tensor without a name, a slice that
                does not fit its tensor, or a tensor of which the files tell different things.
        """
        message = parse_message("SavedTensorSlices", value)
        if not message.HasField("meta"):
            raise FormatError("its first row lists no tensors: no V1 checkpoint, perhaps a bundle's index, renamed")
        meta = message.meta
        check_version(meta.versions)
        for tensor in meta.tensor:
            key = name_to_key(tensor.name)
            if not key:
                raise FormatError("it lists a tensor without a name")
            slices = tuple(decode_slice(part) for part in tensor.slice)
            try:
                entry = BundleEntry(tensor.type, decode_shape(tensor.shape), slices=slices)
                self._add_tensor(number, key, entry)
            except FormatError as error:
                raise error.add_path("", f"tensor {tensor.name!r}") from error

    def _add_tensor(self, number: int, key: bytes, entry: BundleEntry) -> None:
        data_type(entry.dtype)
        known = self._entries.get(key)
        if known is not None and (known.dtype, known.shape) != (entry.dtype, entry.shape):
            raise FormatError("its files disagree about dtype or shape")
        for extents in entry.slices:
            slice_key = encode_slice_key(key, extents)
            if slice_key in self.stored:
                raise FormatError(f"Overlapping slices: {extents} is stored twice")
            self._boxes[slice_key] = resolve_slice(extents, entry.shape)
            self.stored[slice_key] = StoredSlice(number, slice_key)
        self._entries.setdefault(key, entry)
        self._slices.setdefault(key, []).extend(entry.slices)

    def entries(self) -> dict[bytes, BundleEntry]:
        """Return entries as a bundle with these tensors has them, without places and checksums."""
        rows: dict[bytes, BundleEntry] = {}
        for key, first in self._entries.items():
            entry = replace(first, slices=tuple(self._slices[key]))
            slice_keys = [encode_slice_key(key, extents) for extents in entry.slices]
            if [self._boxes[slice_key] for slice_key in slice_keys] == [whole_box(entry.shape)]:
                rows[key] = _sized(replace(entry, slices=()))
                self.stored[key] = self.stored.pop(slice_keys[0])
                continue
            rows[key] = entry
            for slice_key in slice_keys:
                rows[slice_key] = _sized(BundleEntry(entry.dtype, self._boxes[slice_key].sizes))
        return dict(sorted(rows.items()))


def _sized(entry: BundleEntry) -> BundleEntry:
    nbytes = data_type(entry.dtype).nbytes or 1  # of a string, no less than its length takes
    return replace(entry, size=entry.num_elements * nbytes)


def decode_values(value: bytes, dtype: DataType, shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode the values of one row.

    Returns:
        An array of the stored type (integers for what numpy lacks), or of bytes objects for strings; not writeable.

    Raises:
        FormatError: not such a row, or another number of values than the shape has.
        UnsupportedError: a dtype that V1 checkpoints do not hold.
    """
    data = parse_message("SavedTensorSlices", value).data.data
    if dtype == STRING:
        array = np.empty(len(data.string_val), object)
        array[:] = list(data.string_val)
    elif dtype.name in _FIXED_FIELDS:
        field, code = _FIXED_FIELDS[dtype.name]
        array = _decode_fixed(b"".join(getattr(data, field)), code)
    elif dtype.name in _VARINT_FIELDS:
        array = _decode_integers(b"".join(getattr(data, _VARINT_FIELDS[dtype.name])), dtype)
    else:
        raise UnsupportedError(f"dtype {dtype.name} in a V1 checkpoint, which cannot hold it")
    if array.size != np.prod(shape, dtype=object):
        raise FormatError(f"{array.size} values for shape {list(shape)}")
    try:
        return array.reshape(shape)
    except ValueError as error:  # too many dimensions, or none of some size with others too large
        raise UnsupportedError(f"shape {list(shape)}: {error}") from error


def _decode_fixed(data: bytes, code: str) -> NDArray[Any]:
    width = np.dtype(code).itemsize
    if len(data) % width:
        raise FormatError(f"{len(data)} bytes are no whole number of values of {width} bytes")
    return np.frombuffer(data, code)


def _decode_integers(data: bytes, dtype: DataType) -> NDArray[Any]:
    values, used = decode_varint_array(data, len(data))
    if used != len(data):
        raise FormatError("malformed varint")
    if dtype == BOOL:
        return values.astype(np.bool_)
    width = f"u{dtype.nbytes}"
    return values.astype(width).view(dtype.storage)  # negative numbers are stored in 64 bits
