"""What all casts have in common: whole arrays of bit patterns, block by block, with statistics for each tensor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.segments import Bits, Segments
from tfbundle.casting.stats import StatsTable

BLOCK_ELEMENTS = 262144
"""Large enough to make the cost of a call vanish, small enough for the cache; 1 MiB of float32."""


class Caster(ABC):
    """Casts from one dtype to another in blocks, with scratch memory of its own (a few MiB).

    Not thread-safe: one instance for each thread.
    """

    def cast(self, source: Bits, target: Bits, starts: Sequence[int] | NDArray[np.intp] = (0,)) -> StatsTable:
        """Cast every element of ``source`` into ``target``.

        Args:
            source: bit patterns of the values: unsigned integers, one dimension, C order, native byte order.
            target: receives the bit patterns of the results; same length, no memory in common.
            starts: where in ``source`` each tensor starts, ascending from 0, none empty; by default one tensor.

        Returns:
            What happened, one row for each of the tensors.

        Example:
            >>> from tfbundle.casting.half import HalfCaster
            >>> target = np.empty(2, np.uint16)
            >>> HalfCaster().cast(np.array([1, 7e4], np.float32).view(np.uint32), target)[0].overflow
            1
            >>> target.view(np.float16)
            array([ 1., inf], dtype=float16)
        """
        firsts = np.asarray(starts, np.intp)
        table = StatsTable(len(firsts))
        table.elements[:-1] = firsts[1:] - firsts[:-1]
        table.elements[-1] = len(source) - firsts[-1]
        for start in range(0, len(source), BLOCK_ELEMENTS):
            end = min(start + BLOCK_ELEMENTS, len(source))
            rows = slice(int(firsts.searchsorted(start, "right")) - 1, int(firsts.searchsorted(end, "left")))
            segments = Segments(table, rows, np.maximum(firsts[rows] - start, 0))
            self._cast_block(source[start:end], target[start:end], segments)
        return table

    @abstractmethod
    def _cast_block(self, source: Bits, target: Bits, segments: Segments) -> None:
        """Cast at most ``BLOCK_ELEMENTS`` elements."""
