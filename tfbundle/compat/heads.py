"""What TensorFlow's reader looks at in an entry before anybody asks for the tensor: dtype, shape and slices.

An entry whose offset, size or slices are damaged still has these, and the other tensors can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tfbundle.bundle.reader import BundleReader
from tfbundle.compat.hash_order import order_names
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import data_type, named_data_type
from tfbundle.format.entries import decode_shape
from tfbundle.format.index import BundleIndex
from tfbundle.pb import parse_message


class Head(NamedTuple):
    """The beginning of a row.

    Attributes:
        key: of the row.
        dtype: number of the element type.
        shape: size of each dimension.
    """

    key: bytes
    dtype: int
    shape: tuple[int, ...]


def list_heads(bundle: BundleReader) -> list[Head]:
    """Return the heads of all tensors, in key order.

    Raises:
        FormatError: one is damaged. TensorFlow's reader ends the process then.
    """
    try:
        listing = bundle.list_tensors()
    except FormatError:
        return [read_head(bundle.index, key)[0] for key in bundle.index.tensor_keys()]
    kinds = [(named_data_type(kind.dtype).number, kind.shape) for kind in listing.kinds]
    return [Head(key, *kinds[number]) for key, number in zip(listing.keys, listing.numbers.tolist(), strict=True)]


def order_heads(heads: Sequence[Head]) -> list[Head]:
    """Return heads in the order of a table into which TensorFlow's reader puts them one after the other."""
    by_key = {head.key: head for head in heads}
    return [by_key[key] for key in order_names(list(by_key))]


def read_head(index: BundleIndex, key: bytes) -> tuple[Head, int]:
    """Return the head of a row, whatever the rest of it is, and the number of its slices.

    Raises:
        FormatError: it is no entry, or has an impossible dtype or shape.
    """
    try:
        entry = index[key]
    except FormatError:
        message = parse_message("BundleEntryProto", index.rows[key])
        return Head(key, data_type(message.dtype).number, decode_shape(message.shape)), len(message.slices)
    return Head(key, entry.dtype, entry.shape), len(entry.slices)
