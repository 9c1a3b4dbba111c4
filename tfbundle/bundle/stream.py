"""Reading a tensor of numbers from first to last in windows, slices put together, checksums verified on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tfbundle.format.dtypes import DataType
from tfbundle.format.slices import Box, check_covered, whole_box
from tfbundle.format.windows import fill_part
from tfbundle.storage.buffers import Bytes


class Row(Protocol):
    """The bytes of one row, read from first to last."""

    swap: bool

    def read_into(self, piece: memoryview) -> None:
        """Fill a buffer with the next bytes."""

    def finish(self) -> None:
        """Judge the row once all of its bytes were read."""


class Rows(Protocol):
    """Opens rows by key."""

    def open_row(self, key: bytes) -> Row:
        """Start to read a row."""


class _Part(NamedTuple):
    key: bytes
    box: Box


class TensorStream:
    """The elements of a tensor of numbers, window by window. Made by ``BundleReader.stream``. Not thread-safe.

    Holds no more than a window, but for V1 checkpoints: those of its slices that a window touches are held whole.
    """

    def __init__(
        self, rows: Rows, dtype: DataType, shape: tuple[int, ...], slices: Sequence[tuple[bytes, Box]]
    ) -> None:
        self._rows = rows
        self._dtype = dtype
        self._is_whole = [box for _, box in slices] == [whole_box(shape)]
        check_covered(whole_box(shape), (box for _, box in slices))
        self._waiting = sorted((_Part(*part) for part in slices), key=lambda part: part.box.starts[:1], reverse=True)
        self._open: dict[bytes, tuple[_Part, Row]] = {}

    def read_into(self, window: Box, out: Bytes) -> None:
        """Read the window that follows the last one.

        Args:
            window: as ``iter_windows`` gives it.
            out: receives the elements in C order and native byte order; as many bytes as these take.

        Raises:
            FormatError: a slice that ends before this window is damaged.
        """
        self._turn_to(window)
        swap = False
        elements = out.view(f"V{self._dtype.nbytes}")
        for part, row in self._open.values():
            shared = window if self._is_whole else window.intersect(part.box)
            if shared is None:
                continue
            swap = row.swap
            if shared == window:
                row.read_into(out.data)
            else:
                piece = np.empty(shared.num_elements * self._dtype.nbytes, np.uint8)
                row.read_into(piece.data)
                fill_part(elements, window, piece.view(elements.dtype), shared)
        if swap and self._dtype.swap > 1:
            numbers: NDArray[Any] = out.view(f"u{self._dtype.swap}")
            numbers.byteswap(inplace=True)

    def finish(self) -> None:
        """Judge what was not judged yet; to be called after the last window.

        Raises:
            FormatError: the tensor, or a slice of it, does not match its checksum.
        """
        for _, row in self._open.values():
            row.finish()
        for part in self._waiting:  # without elements
            self._rows.open_row(part.key).finish()

    def _turn_to(self, window: Box) -> None:
        """Open the rows that a window may reach, and judge and drop those that lie before it."""
        start, end = window.starts[:1], window.ends[:1]
        while self._waiting and (not end or self._waiting[-1].box.starts[:1] < end):
            part = self._waiting.pop()
            self._open[part.key] = part, self._rows.open_row(part.key)
        for key in [key for key, (part, _) in self._open.items() if start and part.box.ends[:1] <= start]:
            _, row = self._open.pop(key)
            row.finish()
