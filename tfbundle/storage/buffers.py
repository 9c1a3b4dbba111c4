"""Memory for bytes on their way from and to files, placed where the kernel copies it fastest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOW_NBYTES = 1 << 20
"""How much is read at a time: it stays in the cache while it is worked on."""

_PAGE_NBYTES = 4096
_LINE_NBYTES = 64

Bytes = NDArray[np.uint8]


def aligned_buffer(nbytes: int = WINDOW_NBYTES) -> Bytes:
    """Return a buffer that starts at a page and has a cache line to spare for ``at_offset``."""
    memory = np.empty(nbytes + _LINE_NBYTES + _PAGE_NBYTES, np.uint8)
    start = -memory.ctypes.data % _PAGE_NBYTES
    return memory[start : start + nbytes + _LINE_NBYTES]


def at_offset(buffer: Bytes, offset: int) -> Bytes:
    """Return an aligned buffer from the place where the kernel copies it fastest to or from a file offset.

    Some processors copy several times slower where source and destination, taken modulo the page size, lie a few
    bytes apart.
    """
    return buffer[_LINE_NBYTES:] if 0 < offset % _PAGE_NBYTES < _LINE_NBYTES else buffer
