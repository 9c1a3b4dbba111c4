"""An array as a tensor of a bundle that has it already: does it fit, and what are its bytes."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.writer import encode_array
from tfbundle.errors import UnsupportedError
from tfbundle.format.dtypes import STRING, DataType, data_type, data_type_of
from tfbundle.format.entries import BundleEntry
from tfbundle.format.naming import key_to_name
from tfbundle.format.payload_checksum import payload_checksum
from tfbundle.sstable.checksum import mask_crc32c

Allow = Literal["dtype", "shape", "new"]
"""What an array may differ in from the tensor it replaces; ``"new"`` is for a tensor that is not there yet."""

_CHUNK_NBYTES = 8 << 20


@dataclass(frozen=True)
class NewTensor:
    """A tensor that is not written yet.

    Attributes:
        key: its key.
        entry: its index entry; shard and offset are still to come.
        payload: its bytes.
        old: the entry of the tensor that it replaces, None for a new one.
    """

    key: bytes
    entry: BundleEntry
    payload: memoryview
    old: BundleEntry | None


def fit_array(key: bytes, array: NDArray[Any], old: BundleEntry | None, allow: Collection[Allow] = ()) -> NewTensor:
    """Make a tensor of an array.

    Args:
        key: of the tensor.
        array: its values, as ``bundle.writer.to_array`` gives them.
        old: the tensor it replaces, None for a new one.
        allow: what may be other than before.

    Raises:
        ValueError: dtype or shape are others, and not allowed to be.
        UnsupportedError: TensorFlow has no such dtype.

    Example:
        >>> fit_array(b"w", np.ones(2, np.float32), BundleEntry(1, (2,))).payload.nbytes
        8
    """
    name = key_to_name(key)
    dtype = None
    if old is not None:
        element = data_type(old.dtype)
        if _holds(array, element):
            dtype = None if element.native or element == STRING else element.name
            array = array if dtype is None else array.view(element.storage)
        elif "dtype" not in allow:
            raise ValueError(
                f"tensor {name!r} is {element.name}, the array {array.dtype}; cast it, or store it as it is with "
                "--allow-dtype (allow=['dtype'])"
            )
        if array.shape != old.shape and "shape" not in allow:
            raise ValueError(
                f"tensor {name!r} has shape {list(old.shape)}, the array {list(array.shape)}; --allow-shape "
                "(allow=['shape']) would store it"
            )
    element, payload = encode_array(name, array, dtype)
    crc = _checksum(element, array.shape, payload)
    shape = tuple(int(size) for size in array.shape)
    entry = replace(
        old or BundleEntry(), dtype=element.number, shape=shape, slices=(), size=len(payload), crc32c=mask_crc32c(crc)
    )
    return NewTensor(key, entry, payload, old)


def _holds(array: NDArray[Any], element: DataType) -> bool:
    """Tell whether an array holds elements of that type, or the bit patterns of one that numpy lacks."""
    if element == STRING:
        return array.dtype.kind in "OSU"
    if not element.is_memcpy:
        return False
    if not element.native and not array.dtype.metadata:
        raw = array.dtype.kind == "V" and array.dtype.fields is None and array.dtype.itemsize == element.nbytes
        if raw or array.dtype == np.dtype(element.storage):
            return True
    return array.dtype.kind != "V" and _dtype_name(array) == element.name


def _dtype_name(array: NDArray[Any]) -> str:
    try:
        return data_type_of(array.dtype).name
    except UnsupportedError:
        return ""


def _checksum(element: DataType, shape: tuple[int, ...], payload: memoryview) -> int:
    checksum = payload_checksum(element, math.prod(shape))
    for start in range(0, len(payload), _CHUNK_NBYTES):
        checksum.update(payload[start : start + _CHUNK_NBYTES])
    return checksum.finish()
