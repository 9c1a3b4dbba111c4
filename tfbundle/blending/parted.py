"""Tensors that some bundles partition in other ways than others: read as wholes, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.payloads import WRONG_CHECKSUM
from tfbundle.bundle.reader import BundleReader
from tfbundle.casting.mean import Mean, has_mean
from tfbundle.errors import ChecksumError, FormatError, UnsupportedError
from tfbundle.format.dtypes import data_type
from tfbundle.format.entries import BundleEntry
from tfbundle.format.naming import index_filename, key_to_name
from tfbundle.format.slices import Box, check_covered, whole_box
from tfbundle.format.windows import iter_windows
from tfbundle.sstable.checksum import crc32c, mask_crc32c, unmask_crc32c
from tfbundle.storage.buffers import WINDOW_NBYTES, Bytes


class PartedTensor:
    """One tensor of one bundle, in slices or not.

    Args:
        bundle: with payloads of its own: no V1 checkpoint.
        key: of the tensor.

    Attributes:
        entry: its index entry.
        nbytes: of the whole tensor.

    Raises:
        FormatError: its slices leave gaps.
        UnsupportedError: it is not of numbers.
    """

    def __init__(self, bundle: BundleReader, key: bytes) -> None:
        self.entry: BundleEntry = bundle.index[key]
        self._bundle = bundle
        self._dtype = data_type(self.entry.dtype)
        if not self._dtype.is_memcpy:
            raise UnsupportedError(
                f"tensor {key_to_name(key)!r} of dtype {self._dtype.name} is partitioned in different ways",
                bundle.prefix,
            )
        whole = whole_box(self.entry.shape)
        rows = bundle.index.slice_rows(key) if self.entry.slices else [(key, whole)]
        try:
            check_covered(whole, (box for _, box in rows))
        except FormatError as error:
            raise error.add_path(index_filename(bundle.prefix), bundle.index.label(key)) from error
        self._slices = {row: bundle.index[row] for row, _ in rows}
        self._crcs: dict[bytes, int] = {}
        self._boxes = [box for _, box in rows]
        self.nbytes = self.entry.num_elements * self._dtype.nbytes

    def iter_windows(self) -> Iterator[Bytes]:
        """Yield the tensor's bytes in C order, native byte order, in windows of the same sizes for all bundles.

        Raises:
            ChecksumError: a slice does not match its checksum, told after the last window.
        """
        self._crcs = dict.fromkeys(self._slices, 0)
        for window in iter_windows(self.entry.shape, WINDOW_NBYTES // self._dtype.nbytes):
            elements = np.empty(window.sizes, self._dtype.storage)
            for key, box in zip(self._slices, self._boxes, strict=True):
                shared = window.intersect(box)
                if shared is not None:
                    elements[shared.within(window)] = self._read(key, box, shared)
            yield elements.reshape(-1).view(np.uint8)
        self._check()

    def _read(self, key: bytes, box: Box, part: Box) -> NDArray[Any]:
        """Read a part of a slice whose elements are neighbours there."""
        entry = self._slices[key]
        values = np.empty(part.sizes, self._dtype.storage)
        data = values.reshape(-1).view(np.uint8).data
        first = sum(
            (start - origin) * stride
            for start, origin, stride in zip(part.starts, box.starts, _strides(box.sizes), strict=True)
        )
        self._bundle.shards.open(entry.shard_id).read_into(entry.offset + first * self._dtype.nbytes, data)
        self._crcs[key] = crc32c(data, self._crcs[key])
        if self._bundle.index.header.byteorder == "big" and self._dtype.swap > 1:
            values.reshape(-1).view(f"u{self._dtype.swap}").byteswap(inplace=True)
        return values

    def _check(self) -> None:
        for key, entry in self._slices.items():
            if mask_crc32c(self._crcs[key]) != entry.crc32c:
                path, label = self._bundle.shards.path(entry.shard_id), self._bundle.index.label(key)
                stored = unmask_crc32c(entry.crc32c)
                raise ChecksumError(WRONG_CHECKSUM, path, label, entry.offset, stored, self._crcs[key])


def _strides(sizes: tuple[int, ...]) -> list[int]:
    """Return how many elements further the next index of each dimension is, in C order."""
    return [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]


def iter_blended(tensors: Sequence[PartedTensor]) -> Iterator[tuple[Bytes, int | None]]:
    """Yield the windows of the mean of one tensor of several bundles, or of the last one where there are no means.

    Yields:
        The bytes, and the number of the first bundle that does not agree with the last, None for means.
    """
    dtype = data_type(tensors[-1].entry.dtype).name
    mean = Mean(dtype) if has_mean(dtype) else None
    for windows in zip(*(tensor.iter_windows() for tensor in tensors), strict=True):
        if mean is None:
            unlike = (number for number, window in enumerate(windows) if not np.array_equal(window, windows[-1]))
            yield windows[-1], next(unlike, None)
            continue
        for window in windows:
            mean.add(window)
        yield mean.finish(), None
