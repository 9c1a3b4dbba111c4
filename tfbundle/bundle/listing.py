"""Listing what an index holds: names, dtypes, shapes and sizes of a million tensors in a second or two.

Most tensors share dtype and shape with others, so each pair is decoded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tfbundle.format.dtypes import ELEMENT_NBYTES, dtype_name
from tfbundle.format.entries import decode_entry
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import key_to_name


class Kind(NamedTuple):
    """What tensors have in common.

    Attributes:
        dtype: name of the element type.
        shape: size of each dimension.
        nbytes: bytes of payload, those of all slices together for a partitioned tensor.
        num_slices: how many slices it has, 0 for one that is not partitioned.
    """

    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    num_slices: int = 0


def iter_kinds(index: BundleIndex) -> Iterator[tuple[str, Kind]]:
    """Yield every tensor's name and kind, in key order; equal kinds are mostly the same object.

    Raises:
        FormatError: an entry is damaged, or slices do not fit.
    """
    columns = index.columns
    kinds: dict[bytes | tuple[bytes, int], Kind] = {}
    fixed = (ELEMENT_NBYTES[columns.dtype] > 0).tolist()
    is_tensor = np.zeros(len(index), np.bool_)
    is_tensor[index.tensor_rows] = True
    rows = (index.rows.items(), columns.head_nbytes.tolist(), columns.size.tolist(), fixed, is_tensor.tolist())
    for (key, value), head_nbytes, nbytes, is_fixed, wanted in zip(*rows, strict=True):
        if not wanted:
            continue
        name = key_to_name(key)
        if not head_nbytes:
            yield name, _unusual_kind(index, key)
            continue
        head = value[:head_nbytes] if is_fixed else (value[:head_nbytes], nbytes)
        kind = kinds.get(head)
        if kind is None:
            entry = decode_entry(value)
            kind = kinds[head] = Kind(dtype_name(entry.dtype), entry.shape, nbytes)
        yield name, kind


def _unusual_kind(index: BundleIndex, key: bytes) -> Kind:
    entry = index[key]
    return Kind(dtype_name(entry.dtype), entry.shape, index.payload_nbytes(key), len(entry.slices))
