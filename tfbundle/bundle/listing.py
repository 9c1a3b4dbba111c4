"""Listing what an index holds: names, dtypes, shapes and sizes of a million tensors in a second or two.

Most tensors share dtype and shape with others, so each pair is decoded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tfbundle.format.dtypes import dtype_name
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
    keys, values = index.keys_in_order, list(index.rows.values())
    rows = index.tensor_rows.tolist()
    kinds: dict[tuple[bytes, int], Kind] = {}
    heads, sizes = columns.head_nbytes.tolist(), columns.size.tolist()
    for row in rows:
        value, head_nbytes, nbytes = values[row], heads[row], sizes[row]
        if not head_nbytes:
            yield key_to_name(keys[row]), _unusual_kind(index, keys[row])
            continue
        head = value[:head_nbytes], nbytes
        kind = kinds.get(head)
        if kind is None:
            entry = decode_entry(value)
            kind = kinds[head] = Kind(dtype_name(entry.dtype), entry.shape, nbytes)
        yield key_to_name(keys[row]), kind


def _unusual_kind(index: BundleIndex, key: bytes) -> Kind:
    entry = index[key]
    nbytes = entry.size
    if entry.slices:
        nbytes = sum(index[slice_key].size for slice_key, _ in index.slice_rows(key))
    return Kind(dtype_name(entry.dtype), entry.shape, nbytes, len(entry.slices))
