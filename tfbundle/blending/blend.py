"""Making one payload of the same row of several bundles: the mean of floats, else the last one's.

With a single bundle this is a verified copy of some of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.blending.lanes import Lane, Window, iter_windows
from tfbundle.blending.placement import Placement
from tfbundle.casting.mean import Mean, has_mean
from tfbundle.format.dtypes import ELEMENT_NBYTES, dtype_name
from tfbundle.format.extents import cut_runs
from tfbundle.format.payload_checksum import add_row_crcs
from tfbundle.storage.base import StagedFile
from tfbundle.storage.buffers import Bytes
from tfbundle.streaming.progress import Progress

_MEANS = np.array([has_mean(dtype_name(number)) for number in range(256)])


class Difference(NamedTuple):
    """Where a row that is not averaged differs between two lanes.

    Attributes:
        lane: number of the lane that does not agree with the last.
        offset: first byte that differs, from the start of the payload; None for strings and variants.
    """

    lane: int
    offset: int | None = None


class Blend:
    """Writes rows that all lanes have.

    Args:
        lanes: the bundles, the one that others are compared with last.
        placement: of the rows.
        files: the target shards.
        progress: is told of every byte that is read, strings twice.

    Attributes:
        crcs: checksum of each payload that was written, unmasked.
        differences: the first of each row in which the last lane does not stand for all.
    """

    def __init__(
        self, lanes: Sequence[Lane], placement: Placement, files: Sequence[StagedFile], progress: Progress
    ) -> None:
        self._lanes = lanes
        self._last = lanes[-1]
        self._placement = placement
        self._files = files
        self._progress = progress
        size, dtype = self._last.size, self._last.dtype
        self._is_number = ELEMENT_NBYTES[dtype] > 0
        self._is_mean = _MEANS[dtype] & (len(lanes) > 1)
        self._size = size
        self._crcs = [0] * len(size)
        self.differences: dict[int, Difference] = {}

    @property
    def crcs(self) -> NDArray[np.uint32]:
        """Checksum of each payload that was written, unmasked."""
        return np.array(self._crcs, np.uint32)

    @property
    def num_means(self) -> int:
        """How many rows are averaged."""
        return int(np.count_nonzero(self._is_mean))

    def copy_rows(self) -> None:
        """Write the rows that are not averaged.

        Raises:
            FormatError: a payload is damaged.
        """
        for lane in self._lanes:
            lane.expect(~self._is_mean)
        for start, end in self._iter_runs(self._is_number & ~self._is_mean):
            for window in iter_windows(start, self._size[start:end]):
                self._write(window, self._read_alike(window))
        for position in np.flatnonzero(~self._is_number).tolist():
            self._copy_structured(position)
        self._check(self._is_number & ~self._is_mean)

    def average_rows(self) -> None:
        """Write the means.

        Raises:
            FormatError: a payload is damaged.
        """
        for lane in self._lanes:
            lane.expect(self._is_mean)
        for start, end in self._iter_runs(self._is_mean):
            mean = Mean(dtype_name(int(self._last.dtype[start])))
            for window in iter_windows(start, self._size[start:end]):
                for lane in self._lanes:
                    mean.add(lane.read(window))
                self._write(window, mean.finish())
        self._check(self._is_mean)

    def _iter_runs(self, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """Yield first and last position, exclusive, of neighbours of one dtype in one shard."""
        positions = np.flatnonzero(wanted & (self._size > 0))
        cut = np.diff(positions) > 1
        for column in (self._last.dtype, self._placement.shard_id):
            cut |= column[positions[1:]] != column[positions[:-1]]
        for start, end in cut_runs(cut, len(positions)):
            yield int(positions[start]), int(positions[end - 1]) + 1

    def _read_alike(self, window: Window) -> Bytes:
        """Return a window of the last lane after comparing the others with it."""
        values = self._last.read(window)
        for number, lane in enumerate(self._lanes[:-1]):
            others = lane.read(window)
            if not np.array_equal(others, values):
                self._note_differences(window, number, np.flatnonzero(others != values))
        return values

    def _note_differences(self, window: Window, lane: int, places: NDArray[np.intp]) -> None:
        rows, first = np.unique(np.searchsorted(window.bounds, places, "right") - 1, return_index=True)
        for row, place in zip(rows.tolist(), places[first].tolist(), strict=True):
            offset = place - window.bounds[row] + (0 if row else window.skip)
            self.differences.setdefault(window.first + row, Difference(lane, offset))

    def _write(self, window: Window, values: Bytes) -> None:
        add_row_crcs(values.data, window.bounds, window.first, self._crcs)
        offset = int(self._placement.offset[window.first]) + window.skip
        self._files[self._placement.shard_id[window.first]].write_at(offset, values.data)
        self._progress.advance(len(values) * len(self._lanes))

    def _copy_structured(self, position: int) -> None:
        """Write a payload of strings or variants of the last lane."""
        payloads = [lane.check_structured(position) for lane in self._lanes]
        for number in range(len(self._lanes) - 1):
            windows = [self._lanes[lane].iter_structured(position, payloads[lane]) for lane in (number, -1)]
            if any(left != right for left, right in zip_longest(*windows)):
                self.differences.setdefault(position, Difference(number))
        file, start = self._files[self._placement.shard_id[position]], int(self._placement.offset[position])
        for window in self._last.iter_structured(position, payloads[-1]):
            file.write_at(start, window)
            start += len(window)
        self._crcs[position] = payloads[-1].crc
        self._progress.advance(sum(int(lane.size[position]) for lane in self._lanes))

    def _check(self, wanted: NDArray[np.bool_]) -> None:
        positions = np.flatnonzero(wanted)
        for lane in self._lanes:
            lane.check_numbers(positions)
