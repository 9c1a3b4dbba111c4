"""The order in which TensorFlow's dictionaries of names come: that of ``std::unordered_map`` on Linux.

Scripts write files in that order. It depends on nothing but the names and the order in which they are inserted.

Source: GCC's libstdc++, ``libsupc++/hash_bytes.cc`` (MurmurHash2, 64 bits), ``bits/hashtable.h`` (``_M_rehash``,
``_M_insert_bucket_begin``), ``c++11/hashtable_c++0x.cc`` (``_M_need_rehash``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SEED = 0xC70F6907
_FACTOR = 0xC6A4A7935BD1E995
_MASK = 2**64 - 1

_SIZES = (
    *(13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172933, 351061, 712697, 1447153),
    *(2938679, 5967347, 12117689, 24607243, 49969847, 101473717, 206062531, 418451333, 849749479, 1725587117),
)
"""Numbers of buckets as the table grows: there are never more names than buckets."""

_FEW = 8
"""Names of one length that are faster hashed one by one."""


def order_names(names: Sequence[bytes]) -> list[bytes]:
    """Return names, inserted one after the other, in the order of the hash table.

    A name goes to the front of its bucket, a new bucket to the front of all. A table that grows is filled anew, in
    the order that it had.

    Example:
        >>> order_names([b"a", b"b", b"c"])
        [b'c', b'b', b'a']
    """
    hashes = hash_names(names)
    order = np.empty(0, np.intp)
    for size in _SIZES:
        order = np.append(order, np.arange(len(order), min(size, len(names))))
        _, first, bucket = np.unique(hashes[order] % np.uint64(size), return_index=True, return_inverse=True)
        order = order[np.argsort(first[bucket], kind="stable")[::-1]]
        if len(order) == len(names):
            break
    return [names[number] for number in order.tolist()]


def hash_names(names: Sequence[bytes]) -> NDArray[np.uint64]:
    """Return the hash of each name."""
    hashes = np.empty(len(names), np.uint64)
    lengths = np.fromiter(map(len, names), np.intp, len(names))
    by_length = np.argsort(lengths, kind="stable")
    for rows in np.split(by_length, np.flatnonzero(np.diff(lengths[by_length])) + 1):
        same = [names[row] for row in rows.tolist()]
        hashes[rows] = _hash_same_length(same) if len(same) >= _FEW else [hash_name(name) for name in same]
    return hashes


def hash_name(name: bytes) -> int:
    """Return the hash of a name.

    Example:
        >>> hash_name(b"global_step")
        6082324943468979753
    """
    number, rest = divmod(len(name), 8)
    value = _start(len(name))
    for word in struct.unpack_from(f"<{number}Q", name):
        mixed = word * _FACTOR & _MASK
        value = (value ^ ((mixed ^ mixed >> 47) * _FACTOR & _MASK)) * _FACTOR & _MASK
    if rest:
        value = (value ^ int.from_bytes(name[-rest:], "little")) * _FACTOR & _MASK
    value = (value ^ value >> 47) * _FACTOR & _MASK
    return value ^ value >> 47


def _hash_same_length(names: Sequence[bytes]) -> NDArray[np.uint64]:
    """Return what ``hash_name`` returns, of names of one length; products of arrays are cut to 64 bits anyway."""
    number, rest = divmod(len(names[0]), 8)
    width = 8 * (number + bool(rest))
    padded = b"".join(name.ljust(width, b"\0") for name in names)
    words: NDArray[Any] = np.frombuffer(padded, "<u8").reshape(len(names), -1).astype(np.uint64)
    factor, shift = np.uint64(_FACTOR), np.uint64(47)
    value = np.full(len(names), _start(len(names[0])), np.uint64)
    for column in range(number):
        mixed = words[:, column] * factor
        value = (value ^ ((mixed ^ mixed >> shift) * factor)) * factor
    if rest:
        value = (value ^ words[:, -1]) * factor
    value = (value ^ value >> shift) * factor
    return value ^ value >> shift


def _start(length: int) -> int:
    return _SEED ^ (length * _FACTOR & _MASK)
