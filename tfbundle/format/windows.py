"""Cutting a tensor into windows: boxes that follow one another in the order of its elements.

A window spans some indices of one dimension, all of the dimensions behind it and one index of each before it. So its
elements are neighbours in C order, and what a slice of a partitioned tensor has in it are neighbours within that slice,
however the tensor is partitioned. Windows in order therefore read every slice in order, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from tfbundle.format.slices import Box


def row_axis(shape: tuple[int, ...], most_elements: int) -> int:
    """Return the dimension that windows span some indices of: the first behind which no more than that many remain.

    Its indices, counted through the whole tensor, are the tensor's rows.

    Example:
        >>> row_axis((3, 4), 8), row_axis((3, 4), 3)
        (0, 1)
    """
    return next((axis for axis in range(len(shape)) if math.prod(shape[axis + 1 :]) <= most_elements), 0)


def iter_windows(shape: tuple[int, ...], most_elements: int, rows: tuple[int, int] | None = None) -> Iterator[Box]:
    """Yield the windows of a tensor, each of at most that many elements; none of a tensor without elements.

    Args:
        shape: of the tensor.
        most_elements: in a window.
        rows: number of the first row, and that after the last; all by default.

    Example:
        >>> [window.sizes for window in iter_windows((3, 4), 8)]
        [(2, 4), (1, 4)]
        >>> [window.starts for window in iter_windows((2, 4), 3)]
        [(0, 0), (0, 3), (1, 0), (1, 3)]
    """
    if not math.prod(shape):
        return
    if not shape:
        yield Box((), ())
        return
    axis = row_axis(shape, most_elements)
    inner = shape[axis + 1 :]
    step = max(1, most_elements // math.prod(inner))
    row, last = rows or (0, math.prod(shape[: axis + 1]))
    while row < last:
        outer, start = divmod(row, shape[axis])
        size = min(step, last - row, shape[axis] - start)
        before = _unravel(outer, shape[:axis])
        yield Box((*before, start, *(0 for _ in inner)), (*(1 for _ in before), size, *inner))
        row += size


def fill_part(elements: NDArray[Any], window: Box, values: NDArray[Any], part: Box) -> None:
    """Put the values of a part into the elements of the window that it lies in; both in C order, of one dimension.

    Numpy sees only those dimensions in which the window has more than one index: all that a shape has may be too many.

    Example:
        >>> import numpy as np
        >>> elements = np.zeros(4, int)
        >>> fill_part(elements, Box((0, 2), (2, 2)), np.array([5, 6]), Box((0, 3), (2, 1)))
        >>> elements.tolist()
        [0, 5, 0, 6]
    """
    kept = [axis for axis, size in enumerate(window.sizes) if size != 1]
    where = part.within(window)
    whole = elements.reshape([window.sizes[axis] for axis in kept])
    whole[tuple(where[axis] for axis in kept)] = values.reshape([part.sizes[axis] for axis in kept])


def _unravel(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of an element from its number in C order."""
    index: list[int] = []
    for size in reversed(shape):
        number, position = divmod(number, size)
        index.append(position)
    return tuple(reversed(index))


def unravel(box: Box, number: int) -> tuple[int, ...]:
    """Return the index in the tensor of a box's element, given by its number in the box.

    Example:
        >>> unravel(Box((4, 0), (2, 3)), 5)
        (5, 2)
    """
    return tuple(start + at for start, at in zip(box.starts, _unravel(number, box.sizes), strict=True))
