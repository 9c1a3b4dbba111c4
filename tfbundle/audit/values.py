"""Comparing the values of one tensor in two bundles, window by window, the checksums of both verified."""

from __future__ import annotations

import numpy as np

from tfbundle.audit.closeness import Comparison, Tally, Tolerance, is_number
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.twins import same_bytes
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import STRING, data_type
from tfbundle.format.slices import whole_box
from tfbundle.format.windows import iter_windows, unravel
from tfbundle.storage.buffers import WINDOW_NBYTES, aligned_buffer

_WINDOW_ELEMENTS = WINDOW_NBYTES // 4  # numbers are widened while they are compared


def are_comparable(left: BundleReader, right: BundleReader, name: str) -> bool:
    """Tell whether the values of a tensor can be compared: its dtypes are the same, or both are of numbers."""
    here, there = left.entry(name).dtype, right.entry(name).dtype
    return here == there or (is_number(data_type(here)) and is_number(data_type(there)))


def compare_values(left: BundleReader, right: BundleReader, name: str, tolerance: Tolerance) -> Tally:
    """Compare a tensor that has the same shape in both bundles, and comparable dtypes.

    Holds a window of each; but strings that differ are held whole, and so are the slices of a V1 checkpoint that a
    window touches. Of variants, nothing is told but whether the payloads are the same.

    Raises:
        FormatError, BundleNotFoundError: as ``BundleReader.read``.
    """
    here, there = left.entry(name), right.entry(name)
    if not data_type(here.dtype).is_memcpy:
        if _have_same_payload(left, right, name):
            return Tally()
        if data_type(here.dtype) == STRING:
            return _compare_strings(left, right, name)
        return Tally(num_different=here.num_elements, first=(0,) * len(here.shape))
    widths = [data_type(entry.dtype).nbytes for entry in (here, there)]
    comparison = Comparison(data_type(here.dtype), data_type(there.dtype), tolerance)
    streams = left.stream(name), right.stream(name)
    buffers = aligned_buffer(), aligned_buffer()
    for window in iter_windows(here.shape, min(_WINDOW_ELEMENTS, WINDOW_NBYTES // max(widths))):
        pieces = [buffer[: window.num_elements * width] for buffer, width in zip(buffers, widths, strict=True)]
        for stream, piece in zip(streams, pieces, strict=True):
            stream.read_into(window, piece)
        if here.dtype != there.dtype or not same_bytes(*pieces):
            comparison.add(window, *pieces)
    for stream in streams:
        stream.finish()
    return comparison.tally


def _have_same_payload(left: BundleReader, right: BundleReader, name: str) -> bool:
    """Compare the stored bytes of strings or variants; False where these say nothing, or look damaged."""
    here, there = left.entry(name), right.entry(name)
    if left.is_v1 or right.is_v1 or here.slices or there.slices or here.size != there.size:
        return False
    if left.index.header.endianness != right.index.header.endianness:
        return False
    rows = left.open_row(name), right.open_row(name)
    buffers = aligned_buffer(), aligned_buffer()
    same = True
    try:
        for start in range(0, here.size, WINDOW_NBYTES):
            pieces = [buffer[: min(WINDOW_NBYTES, here.size - start)] for buffer in buffers]
            for row, piece in zip(rows, pieces, strict=True):
                row.read_into(piece.data)
            same = same and same_bytes(*pieces)
        for row in rows:
            row.finish()
    except FormatError:
        if data_type(here.dtype) != STRING:
            raise
        return False  # a size may be stored too small, which only reading the strings tells from damage
    return same


def _compare_strings(left: BundleReader, right: BundleReader, name: str) -> Tally:
    here, there = np.asarray(left[name], object), np.asarray(right[name], object)
    places = [at for at, (a, b) in enumerate(zip(here.reshape(-1), there.reshape(-1), strict=True)) if a != b]
    first = unravel(whole_box(here.shape), places[0]) if places else None
    return Tally(num_different=len(places), first=first)
