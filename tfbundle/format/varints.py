"""Runs of varints, decoded all at once: the sizes of string tensors, and the integers of V1 checkpoints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError

MAX_VARINT_NBYTES = 10
"""What 64 bits take at most."""


def decode_varint_array(data: bytes, limit: int) -> tuple[NDArray[np.uint64], int]:
    r"""Decode up to ``limit`` varints from the start of ``data``; return them and the bytes they took.

    Fewer come back where ``data`` ends first; the last, unfinished one is left.

    Raises:
        FormatError: a varint of more than 10 bytes, or above 64 bits.

    Example:
        >>> decode_varint_array(b"\x01\xac\x02\x80", 9)
        (array([  1, 300], dtype=uint64), 3)
    """
    view = np.frombuffer(data, np.uint8, min(len(data), MAX_VARINT_NBYTES * limit + 1))
    ends = np.flatnonzero(view < 0x80)[:limit] + 1
    used = int(ends[-1]) if len(ends) else 0
    starts = np.concatenate((ends[:0], [0], ends[:-1])) if len(ends) else ends
    widths = ends - starts
    unfinished = len(view) - used if len(ends) < limit else 0
    if max(int(widths.max(initial=0)), unfinished) > MAX_VARINT_NBYTES:
        raise FormatError(f"Parsed past limit: a varint of more than {MAX_VARINT_NBYTES} bytes")
    values = np.zeros(len(starts), np.uint64)
    for index in range(int(widths.max(initial=0))):
        has = widths > index
        digits = (view[starts[has] + index] & 0x7F).astype(np.uint64)
        if index == MAX_VARINT_NBYTES - 1 and (digits > 1).any():
            raise FormatError("Parsed past limit: a varint above 64 bits")
        values[has] |= digits << np.uint64(7 * index)
    return values, used


def decode_varints(data: bytes, limit: int) -> tuple[list[int], int]:
    """Decode like ``decode_varint_array``, but return Python integers."""
    values, used = decode_varint_array(data, limit)
    return values.tolist(), used
