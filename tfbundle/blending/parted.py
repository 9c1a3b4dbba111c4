"""Tensors that some bundles partition in other ways than others: read as wholes, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tfbundle.blending.blend import Difference
from tfbundle.bundle.reader import BundleReader
from tfbundle.casting.mean import Mean, has_mean
from tfbundle.format.dtypes import data_type
from tfbundle.format.naming import key_to_name
from tfbundle.format.slices import Box
from tfbundle.format.windows import iter_windows
from tfbundle.storage.buffers import WINDOW_NBYTES, Bytes, aligned_buffer


class PartedTensor:
    """One tensor of numbers of several bundles, in slices or not; read once.

    Args:
        bundles: the one that others are compared with last.
        key: of the tensor.

    Attributes:
        dtype: its element type.
        nbytes: of the whole tensor, in all bundles together.
        difference: where a bundle was found to differ from the last; None for means.

    Raises:
        FormatError: its slices leave gaps.
    """

    def __init__(self, bundles: Sequence[BundleReader], key: bytes) -> None:
        entry = bundles[-1].index[key]
        self.dtype = data_type(entry.dtype)
        self.nbytes = entry.num_elements * self.dtype.nbytes * len(bundles)
        self._shape = entry.shape
        self._streams = [bundle.stream(key_to_name(key)) for bundle in bundles]
        self.difference: Difference | None = None

    def iter_windows(self) -> Iterator[Bytes]:
        """Yield the bytes of the mean, or of the last bundle's tensor where there are no means; valid until the next.

        Raises:
            FormatError: a slice is damaged, told after the window that ends it.
        """
        buffers = aligned_buffer(), aligned_buffer()
        mean = Mean(self.dtype.name) if has_mean(self.dtype.name) else None
        done = 0
        for window in iter_windows(self._shape, WINDOW_NBYTES // self.dtype.nbytes):
            first, second = (buffer[: window.num_elements * self.dtype.nbytes] for buffer in buffers)
            if mean is None:
                self._read_alike(window, done, first, second)
                yield first
            else:
                for stream in self._streams:
                    stream.read_into(window, first)
                    mean.add(first)
                yield mean.finish()
            done += len(first)
        for stream in self._streams:
            stream.finish()

    def _read_alike(self, window: Box, start: int, values: Bytes, others: Bytes) -> None:
        """Read a window of the last bundle, and compare those of the others with it."""
        *streams, last = self._streams
        last.read_into(window, values)
        for number, stream in enumerate(streams):
            stream.read_into(window, others)
            if self.difference is None and not np.array_equal(others, values):
                self.difference = Difference(number, start + int(np.argmax(others != values)))
