"""The buffers of one worker, and what happens to bytes in them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from tfbundle.casting.caster import Caster
from tfbundle.casting.casters import make_caster
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import StatsTable
from tfbundle.choosing.castable import Cast
from tfbundle.format.dtypes import dtype_name
from tfbundle.storage.buffers import WINDOW_NBYTES, Bytes, aligned_buffer, at_offset

if TYPE_CHECKING:
    from tfbundle.casting.meter import DeviationMeter


class Treatment(NamedTuple):
    """How values are cast, whatever their dtypes.

    Attributes:
        on_overflow: what to do with those that do not fit.
        measure: whether errors and exponents are measured.
    """

    on_overflow: OnOverflow = "error"
    measure: bool = False


class Workspace:
    """Buffers that one worker uses over and over: memory touched for the first time costs more than the work on it.

    Get one from ``workspace``. Not thread-safe.
    """

    def __init__(self, treatment: Treatment) -> None:
        self.treatment = treatment
        self._source = aligned_buffer(WINDOW_NBYTES)
        self._target = aligned_buffer(WINDOW_NBYTES)
        self._whole: Bytes | None = None
        self._casters: dict[Cast, Caster] = {}
        self._meters: dict[Cast, DeviationMeter] = {}

    def source(self, offset: int, nbytes: int) -> Bytes:
        """Return a buffer for bytes that are read at a file offset."""
        return at_offset(self._source, offset)[:nbytes]

    def whole(self, nbytes: int) -> Bytes:
        """Return a buffer in which pieces are put together before they are cast."""
        if self._whole is None:
            self._whole = aligned_buffer(WINDOW_NBYTES)
        return self._whole[:nbytes]

    def cast(self, cast: Cast, window: Bytes, offset: int, starts: list[int]) -> tuple[Bytes, StatsTable]:
        """Cast values.

        Args:
            cast: from which dtype to which.
            window: the values' bytes.
            offset: in the file where the result will be written.
            starts: byte in the window at which each tensor starts.

        Returns:
            The result's bytes, valid until the next call, and what was done to each tensor.
        """
        output = at_offset(self._target, offset)[: cast.resize(len(window))]
        source, target = (
            part.view(f"u{nbytes}") for part, nbytes in ((window, cast.source_nbytes), (output, cast.target_nbytes))
        )
        width = cast.source_nbytes
        firsts = [start // width for start in starts]
        stats = self._caster(cast).cast(source, target, firsts)
        if self.treatment.measure:
            stats.deviations = self._meter(cast).measure(source, target, firsts)
        return output, stats

    def _caster(self, cast: Cast) -> Caster:
        if cast not in self._casters:
            names = dtype_name(cast.source), dtype_name(cast.target)
            self._casters[cast] = make_caster(*names, self.treatment.on_overflow)
        return self._casters[cast]

    def _meter(self, cast: Cast) -> DeviationMeter:
        if cast not in self._meters:
            from tfbundle.casting.meter import DeviationMeter

            self._meters[cast] = DeviationMeter(dtype_name(cast.source), dtype_name(cast.target))
        return self._meters[cast]


def swap_bytes(window: Bytes, width: int) -> None:
    """Reverse every ``width`` bytes, in place."""
    if width > 1:
        window.view(f"u{width}").byteswap(inplace=True)


_local = threading.local()


def workspace(treatment: Treatment) -> Workspace:
    """Return this thread's workspace."""
    found: Workspace | None = getattr(_local, "workspace", None)
    if found is None or found.treatment != treatment:
        found = _local.workspace = Workspace(treatment)
    return found
