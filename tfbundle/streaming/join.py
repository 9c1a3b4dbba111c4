"""Joining the slices of a partitioned tensor while they stream: which stretch of each slice goes where.

In each window of ``format.windows``, what a slice contributes is one contiguous stretch of that slice, and windows in
order read every slice in order. So nothing larger than a window is ever held, and the checksums of the slices can be
followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from tfbundle.choosing.castable import Cast
from tfbundle.format import windows
from tfbundle.format.slices import Box
from tfbundle.storage.buffers import WINDOW_NBYTES

WINDOW_ELEMENTS = WINDOW_NBYTES // 16
"""Elements that are put together at a time: as many as fit, whatever their dtype."""


class JoinSource(NamedTuple):
    """One slice.

    Attributes:
        source: number of its row.
        shard_id: the source shard that holds it.
        offset: where its payload starts there, in bytes.
        box: its place in the tensor.
    """

    source: int
    shard_id: int
    offset: int
    box: Box


class Join(NamedTuple):
    """One unit of work: some rows of a tensor that is joined, and cast unless its dtype stays.

    Attributes:
        row: number of the tensor's row.
        target_shard: the shard it is written to.
        target_offset: where the tensor's payload starts there, in bytes.
        shape: of the tensor.
        rows: number of the first row, and that after the last.
        sources: the slices that reach into them.
        cast: from which dtype to which.
        swap: how many bytes are reversed together, 1 where the byte order is right already.
    """

    row: int
    target_shard: int
    target_offset: int
    shape: tuple[int, ...]
    rows: tuple[int, int]
    sources: tuple[JoinSource, ...]
    cast: Cast
    swap: int

    @property
    def nbytes(self) -> int:
        """Source bytes."""
        return (self.rows[1] - self.rows[0]) * self.row_nbytes

    @property
    def row_nbytes(self) -> int:
        """Source bytes of a row."""
        return row_elements(self.shape) * self.cast.source_nbytes


class Stretch(NamedTuple):
    """What one slice contributes to a window.

    Attributes:
        source: position in ``Join.sources``.
        offset: first element, counted within the slice.
        box: its place in the tensor.
    """

    source: int
    offset: int
    box: Box


def row_elements(shape: tuple[int, ...]) -> int:
    """Return the number of elements of a row."""
    return math.prod(shape[windows.row_axis(shape, WINDOW_ELEMENTS) + 1 :])


def plan_row_ranges(shape: tuple[int, ...], num_elements: int) -> Iterator[tuple[int, int]]:
    """Cut all rows of a tensor into ranges of about that many elements.

    Example:
        >>> list(plan_row_ranges((5, 3), 6))
        [(0, 2), (2, 4), (4, 5)]
    """
    num_rows = math.prod(shape[: windows.row_axis(shape, WINDOW_ELEMENTS) + 1])
    step = max(1, num_elements // max(1, row_elements(shape)))
    if math.prod(shape):
        for first in range(0, num_rows, step):
            yield first, min(first + step, num_rows)


def reaches(box: Box, rows: tuple[int, int], shape: tuple[int, ...]) -> bool:
    """Tell whether a box can have elements in a range of rows, going by the first dimension alone."""
    rows_per_index = math.prod(shape[1 : windows.row_axis(shape, WINDOW_ELEMENTS) + 1])
    first, last = rows[0] // rows_per_index, -(-rows[1] // rows_per_index)
    return box.num_elements > 0 and box.starts[0] < last and box.ends[0] > first


def iter_windows(join: Join) -> Iterator[tuple[Box, list[Stretch]]]:
    """Yield the windows of a unit of work in order: the box each fills, and what every slice contributes.

    Example:
        >>> halves = (JoinSource(0, 0, 0, Box((0, 0), (2, 1))), JoinSource(1, 0, 8, Box((0, 1), (2, 1))))
        >>> join = Join(0, 0, 0, (2, 2), (0, 2), halves, Cast(1, 19), 1)
        >>> [(box, len(stretches)) for box, stretches in iter_windows(join)]
        [(Box(starts=(0, 0), sizes=(2, 2)), 2)]
    """
    for box in windows.iter_windows(join.shape, WINDOW_ELEMENTS, join.rows):
        shared = ((number, box.intersect(source.box)) for number, source in enumerate(join.sources))
        yield (
            box,
            [
                Stretch(number, _flat_offset(part, join.sources[number].box), part)
                for number, part in shared
                if part is not None
            ],
        )


def _flat_offset(part: Box, outer: Box) -> int:
    """Return where, in C order, the first element of a box stands in the box around it."""
    offset = 0
    for start, origin, size in zip(part.starts, outer.starts, outer.sizes, strict=True):
        offset = offset * size + start - origin
    return offset
