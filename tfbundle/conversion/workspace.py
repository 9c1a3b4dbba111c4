"""The buffers of one worker, and what happens to bytes in them."""

from __future__ import annotations

import threading

import numpy as np

from tfbundle.casting.half import HalfCaster
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import StatsTable
from tfbundle.storage.buffers import WINDOW_NBYTES, Bytes, aligned_buffer, at_offset


class Workspace:
    """Buffers that one worker uses over and over: memory touched for the first time costs more than the work on it.

    Get one from ``workspace``. Not thread-safe.
    """

    def __init__(self, policy: CastPolicy) -> None:
        self.policy = policy
        self._source = aligned_buffer(WINDOW_NBYTES)
        self._target = aligned_buffer(WINDOW_NBYTES)
        self._whole: Bytes | None = None
        self._caster = HalfCaster(policy.on_overflow)

    def source(self, offset: int, nbytes: int) -> Bytes:
        """Return a buffer for bytes that are read at a file offset."""
        return at_offset(self._source, offset)[:nbytes]

    def whole(self, nbytes: int) -> Bytes:
        """Return a buffer in which pieces are put together before they are cast."""
        if self._whole is None:
            self._whole = aligned_buffer(WINDOW_NBYTES)
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
        output = at_offset(self._target, offset)[: len(window) // 2]
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
