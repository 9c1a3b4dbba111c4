"""Reading the same rows of several bundles side by side, each from where they lie there.

A row is known by its position, which is the same in all lanes. Payloads of numbers are read in windows over
neighbouring positions, so that ten thousand small tensors cost little more than a large one; payloads of strings and
variants one by one. All come in little-endian order, and every checksum is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.payloads import WRONG_CHECKSUM
from tfbundle.bundle.reader import BundleReader
from tfbundle.errors import ChecksumError, FormatError
from tfbundle.format.dtypes import SWAP_NBYTES, data_type
from tfbundle.format.extents import cut_runs, iter_row_windows
from tfbundle.format.payload_checksum import StringChecksum, add_row_crcs, payload_checksum
from tfbundle.sstable.checksum import mask_crc32c, mask_crc32c_array, unmask_crc32c
from tfbundle.storage.buffers import WINDOW_NBYTES, Bytes, aligned_buffer

Rows = NDArray[np.intp]


class Window(NamedTuple):
    """A stretch of neighbouring rows of numbers of one dtype.

    Attributes:
        first: position of the first row in it.
        skip: how many bytes of that row come before.
        bounds: where its rows begin, in bytes from the start of the window, and where the last ends.
    """

    first: int
    skip: int
    bounds: list[int]


def iter_windows(first: int, sizes: NDArray[np.int64]) -> Iterator[Window]:
    """Cut rows from a position on, given their sizes, none of them 0, into windows.

    Example:
        >>> [tuple(window) for window in iter_windows(7, np.array([8, 1 << 20]))]
        [(7, 0, [0, 8, 1048576]), (8, 1048568, [0, 8])]
    """
    starts = np.cumsum(sizes) - sizes
    for start, at, bounds in iter_row_windows(sizes, WINDOW_NBYTES):
        yield Window(first + at, start - int(starts[at]), bounds)


class Lane:
    """One of the bundles.

    Args:
        bundle: with payloads of its own: no V1 checkpoint.
        rows: the number that the row at each position has there.

    Attributes:
        bundle: the same.
        dtype: number of each row's element type.
        size: bytes of each row's payload.
        shard_id: which data file each row is in.
    """

    def __init__(self, bundle: BundleReader, rows: Rows) -> None:
        columns = bundle.index.columns
        self.bundle = bundle
        self.dtype = columns.dtype[rows]
        self.size = columns.size[rows]
        self.shard_id = columns.shard_id[rows]
        self._rows = rows
        self._offset = columns.offset[rows]
        self._stored = columns.crc32c[rows]
        self._crcs = [0] * len(rows)
        self._files = bundle.open_shards()
        self._byteorder = bundle.index.header.byteorder
        self._buffer = aligned_buffer()

    def expect(self, wanted: NDArray[np.bool_]) -> None:
        """Prepare for reading some rows, told by position."""
        for shard in np.unique(self.shard_id[wanted]).tolist():
            here = wanted & (self.shard_id == shard)
            self._files[shard].expect(zip(self._offset[here], self.size[here], strict=True))

    def read(self, window: Window) -> Bytes:
        """Read a window of numbers; what is returned is valid until the next call."""
        positions = slice(window.first, window.first + len(window.bounds) - 1)
        offsets, shards = self._offset[positions].copy(), self.shard_id[positions]
        offsets[0] += window.skip
        far = offsets[:-1] + np.diff(window.bounds)[:-1] != offsets[1:]
        values = self._buffer[: window.bounds[-1]]
        for start, end in cut_runs(far | (shards[1:] != shards[:-1]), len(offsets)):
            part = values[window.bounds[start] : window.bounds[end]]
            self._files[shards[start]].read_into(int(offsets[start]), part.data)
        add_row_crcs(values.data, window.bounds, window.first, self._crcs)
        swap = int(SWAP_NBYTES[self.dtype[window.first]])
        if self._byteorder == "big" and swap > 1:
            values.view(f"u{swap}").byteswap(inplace=True)
        return values

    def check_numbers(self, positions: Rows) -> None:
        """Compare the checksums of rows, read whole, with those in the index.

        Raises:
            ChecksumError: one does not match.
        """
        computed = np.array([self._crcs[position] for position in positions.tolist()], np.uint32)
        for at in np.flatnonzero(mask_crc32c_array(computed) != self._stored[positions]).tolist():
            raise self._wrong_checksum(int(positions[at]), int(computed[at]))

    def check_structured(self, position: int) -> StructuredPayload:
        """Read a payload of strings or variants for the first time, and verify it.

        Raises:
            FormatError: it is malformed, or does not match its checksum.
        """
        entry = self.bundle.index[self.key(position)]
        try:
            checksum = payload_checksum(data_type(entry.dtype), entry.num_elements, self._byteorder)
            for window in self._iter_stored(position):
                checksum.update(window)
            crc = checksum.finish()
        except FormatError as error:
            raise error.add_path(self._path(position), self.label(position)) from error
        if mask_crc32c(crc) != self._stored[position]:
            raise self._wrong_checksum(position, crc)
        if self._byteorder == "big" and isinstance(checksum, StringChecksum):
            return StructuredPayload(
                checksum.little_endian_crc, checksum.sizes_nbytes, checksum.little_endian_sizes_crc
            )
        return StructuredPayload(crc)

    def iter_structured(self, position: int, payload: StructuredPayload) -> Iterator[memoryview]:
        """Yield the windows of a payload that was verified, in little-endian form; each is valid until the next."""
        start = 0
        for window in self._iter_stored(position):
            for at, byte in enumerate(payload.patch, payload.patch_offset - start):
                if 0 <= at < len(window):
                    window[at] = byte
            yield window
            start += len(window)

    def _iter_stored(self, position: int) -> Iterator[memoryview]:
        file, offset = self._files[self.shard_id[position]], int(self._offset[position])
        for start in range(0, int(self.size[position]), WINDOW_NBYTES):
            window = self._buffer[: min(WINDOW_NBYTES, int(self.size[position]) - start)].data
            file.read_into(offset + start, window)
            yield window

    def check_unchanged(self) -> None:
        """Raise FormatError if a data file was changed since it was opened."""
        for file in self._files:
            file.check_unchanged()

    def key(self, position: int) -> bytes:
        """Return the key of a row."""
        return self.bundle.index.keys_in_order[int(self._rows[position])]

    def label(self, position: int) -> str:
        """Return what errors call a row."""
        return self.bundle.index.label(self.key(position))

    def _path(self, position: int) -> str:
        path: str = self._files[self.shard_id[position]].path
        return path

    def _wrong_checksum(self, position: int, computed: int) -> ChecksumError:
        stored, offset = unmask_crc32c(int(self._stored[position])), int(self._offset[position])
        return ChecksumError(WRONG_CHECKSUM, self._path(position), self.label(position), offset, stored, computed)


class StructuredPayload(NamedTuple):
    """What the little-endian form of a payload of strings or variants has in place of what is stored.

    Attributes:
        crc: its crc32c, unmasked.
        patch_offset: where other bytes stand, from the start of the payload.
        patch: these bytes; none where the payload is little-endian already.
    """

    crc: int
    patch_offset: int = 0
    patch: bytes = b""
