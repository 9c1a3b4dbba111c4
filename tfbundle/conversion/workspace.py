"""The buffers of one worker, and what happens to bytes in them."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.half import HalfCaster
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import StatsTable

WINDOW_NBYTES = 1 << 20
_PAGE_NBYTES = 4096
_LINE_NBYTES = 64

Bytes = NDArray[np.uint8]


class Workspace:
    """Buffers that one worker uses over and over: memory touched for the first time costs more than the work on it.

    Get one from ``workspace``. Not thread-safe.
    """

    def __init__(self, policy: CastPolicy) -> None:
        self.policy = policy
        self._source = _aligned_buffer(WINDOW_NBYTES)
        self._target = _aligned_buffer(WINDOW_NBYTES)
        self._whole: Bytes | None = None
        self._caster = HalfCaster(policy.on_overflow)

    def source(self, offset: int, nbytes: int) -> Bytes:
        """Return a buffer for bytes that are read at a file offset."""
        return _for_offset(self._source, offset)[:nbytes]

    def whole(self, nbytes: int) -> Bytes:
        """Return a buffer in which pieces are put together before they are cast."""
        if self._whole is None:
            self._whole = _aligned_buffer(WINDOW_NBYTES)
        return self._whole[:nbytes]

    def cast(self, window: Bytes, offset: int, starts: list[int]) -> tuple[Bytes, StatsTable]:
        """Cast float32 values to float16.

        Args:
            window: the values' bytes.
            offset: in the file where the result will be written.
            starts: byte in the window at which each tensor starts.

        Returns:
            The result's bytes, valid until the next call, and what was done to each tensor.
        """
        output = _for_offset(self._target, offset)[: len(window) // 2]
        elements = [start // 4 for start in starts]
        return output, self._caster.cast(window.view(np.uint32), output.view(np.uint16), elements)


def swap_bytes(window: Bytes, width: int) -> None:
    """Reverse every ``width`` bytes, in place."""
    if width > 1:
        window.view(f"u{width}").byteswap(inplace=True)


_local = threading.local()


def workspace(policy: CastPolicy) -> Workspace:
    """Return this thread's workspace."""
    found: Workspace | None = getattr(_local, "workspace", None)
    if found is None or found.policy != policy:
        found = _local.workspace = Workspace(policy)
    return found


def _aligned_buffer(nbytes: int) -> Bytes:
    """Return a buffer that starts at a page and has a cache line to spare."""
    memory = np.empty(nbytes + _LINE_NBYTES + _PAGE_NBYTES, np.uint8)
    start = -memory.ctypes.data % _PAGE_NBYTES
    return memory[start : start + nbytes + _LINE_NBYTES]


def _for_offset(buffer: Bytes, offset: int) -> Bytes:
    """Return the buffer from the place where the kernel copies it fastest to or from a file offset.

    Some processors copy several times slower where source and destination, taken modulo the page size, lie a few
    bytes apart.
    """
    return buffer[_LINE_NBYTES:] if 0 < offset % _PAGE_NBYTES < _LINE_NBYTES else buffer
