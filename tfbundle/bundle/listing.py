"""Listing what an index holds: names, dtypes, shapes and sizes of a million tensors in a second or two.

Most tensors share dtype and shape with others, so each pair is decoded once: an entry's first bytes are its number.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Iterator
from itertools import count
from operator import methodcaller
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tfbundle.format.dtypes import ELEMENT_NBYTES, data_type, dtype_name
from tfbundle.format.index import BundleIndex
from tfbundle.format.plain import decode_head


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


_Head: TypeAlias = "bytes | tuple[bytes, int] | Kind"
"""Encoded dtype and shape; with the size of the payload where these do not tell it; or the kind itself."""


class Listing(NamedTuple):
    """Every tensor's key, and its kind by number.

    Attributes:
        keys: of the tensors, in order.
        numbers: position in ``kinds`` of each tensor's kind.
        kinds: each is that of at least one tensor.
    """

    keys: list[bytes]
    numbers: NDArray[np.intp]
    kinds: list[Kind]

    def iter_names(self) -> Iterator[str]:
        """Yield the names, which together would take more memory than the keys."""
        return map(methodcaller("decode", "utf-8", "surrogateescape"), self.keys)  # ``key_to_name``, but faster

    def iter_kinds(self) -> Iterator[tuple[str, Kind]]:
        """Yield each tensor's name and kind."""
        return zip(self.iter_names(), (self.kinds[number] for number in self.numbers.tolist()), strict=True)

    def counts(self) -> list[int]:
        """Return how many tensors there are of each kind."""
        counts: list[int] = np.bincount(self.numbers, minlength=len(self.kinds)).tolist()
        return counts

    def only(self, names: Container[str]) -> Listing:
        """Return the listing of the tensors with these names."""
        rows = [row for row, name in enumerate(self.iter_names()) if name in names]
        present, numbers = np.unique(self.numbers[rows], return_inverse=True)
        return Listing([self.keys[row] for row in rows], numbers, [self.kinds[number] for number in present])


def list_tensors(index: BundleIndex) -> Listing:
    """List the tensors of an index.

    Cost: a quarter of a microsecond a tensor, besides that of ``index.columns``.

    Raises:
        FormatError: an entry is damaged, or slices do not fit.
    """
    columns, rows = index.columns, index.tensor_rows
    head_nbytes = columns.head_nbytes[rows]
    usual = (head_nbytes > 0) & (ELEMENT_NBYTES[columns.dtype[rows]] > 0)
    found: defaultdict[_Head, int] = defaultdict(count().__next__)
    numbers = np.empty(len(rows), np.intp)
    entries = zip(_pick(index.values_in_order, rows[usual]), head_nbytes[usual].tolist(), strict=True)
    numbers[usual] = np.fromiter((found[value[:nbytes]] for value, nbytes in entries), np.intp)
    for position in np.flatnonzero(~usual).tolist():
        numbers[position] = found[_find_head(index, int(rows[position]))]
    return Listing(_pick(index.keys_in_order, rows), numbers, list(map(_kind, found)))


def _pick(values: list[bytes], rows: NDArray[np.intp]) -> list[bytes]:
    """Return the values in some rows, given in order."""
    return values if len(rows) == len(values) else [values[row] for row in rows.tolist()]


def _find_head(index: BundleIndex, row: int) -> _Head:
    """Return what tells the kind of an entry that is not plain, or whose size is not that of its elements."""
    head_nbytes = int(index.columns.head_nbytes[row])
    if head_nbytes:
        return index.values_in_order[row][:head_nbytes], int(index.columns.size[row])
    key = index.keys_in_order[row]
    entry = index[key]
    return Kind(dtype_name(entry.dtype), entry.shape, index.payload_nbytes(key), len(entry.slices))


def _kind(head: _Head) -> Kind:
    if isinstance(head, Kind):
        return head
    data, nbytes = head if isinstance(head, tuple) else (head, None)
    dtype, shape = decode_head(data)
    return Kind(dtype_name(dtype), shape, math.prod(shape) * data_type(dtype).nbytes if nbytes is None else nbytes)
