"""Telling whether boxes share elements, in little more than linear time.

Boxes that were cut out of a tensor can be parted again: along some dimension there is an index at which no box is cut
in two. So a group of boxes is parted as often as that goes, and what is left is compared each with each. Only a file
made for it has many boxes that no cut parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import FormatError
from tfbundle.format.slices import Box, format_box

MAX_COMPARISONS = 1 << 28
"""How many numbers are compared before slices are refused, about a second's work."""

_FEW = 16  # so many are compared each with each at once
_SORTING = 16  # what it takes to sort a number, in comparisons

_Group = NDArray[np.intp]
_Numbers = NDArray[np.int64]


def check_disjoint(boxes: Iterable[Box]) -> None:
    """Refuse boxes of one rank that share elements.

    Raises:
        FormatError: ``Overlapping slices``; or so many that fit together in no way that a writer would cut them.

    Example:
        >>> check_disjoint([Box((0, 0), (2, 2)), Box((1, 1), (2, 2))])
        Traceback (most recent call last):
        tfbundle.errors.FormatError: Overlapping slices: existing slice = 0,2:0,2, new slice = 1,2:1,2
    """
    filled = [box for box in boxes if box.num_elements]
    if len(filled) <= _FEW:
        _compare_few(filled)
        return
    starts = np.array([box.starts for box in filled], np.int64).reshape(len(filled), -1)
    ends = np.array([box.ends for box in filled], np.int64).reshape(len(filled), -1)
    waiting = [np.arange(len(filled))]
    work = 0
    while waiting:
        group = waiting.pop()
        if len(group) <= _FEW:
            _compare_few([filled[number] for number in group.tolist()])
            continue
        parts = _part(starts[group], ends[group])
        waiting += [group[part] for part in parts]
        work += starts[group].size * (_SORTING if parts else len(group))
        if not parts or work > MAX_COMPARISONS:
            pairs = _iter_touching(starts[group], ends[group], work <= MAX_COMPARISONS)
            for first, second in pairs:
                raise _overlap(filled[int(group[first])], filled[int(group[second])])
        if work > MAX_COMPARISONS:
            raise FormatError(f"{len(filled)} slices that no cuts through the tensor part; too many to compare")


def _compare_few(boxes: list[Box]) -> None:
    for number, box in enumerate(boxes):
        for other in boxes[:number]:
            if box.intersect(other) is not None:
                raise _overlap(other, box)


def _part(starts: _Numbers, ends: _Numbers) -> list[_Group]:
    """Part boxes along the first dimension that has a cut; return no parts where none has."""
    for axis in range(starts.shape[1]):
        order = np.argsort(starts[:, axis], kind="stable")
        reach = np.maximum.accumulate(ends[order, axis])
        cuts = np.flatnonzero(starts[order[1:], axis] >= reach[:-1]) + 1
        if len(cuts):
            return np.split(order, cuts)
    return []


def _iter_touching(starts: _Numbers, ends: _Numbers, thorough: bool) -> Iterator[tuple[int, int]]:
    """Yield the numbers of boxes that share elements; unless ``thorough``, only of those with neighbouring starts."""
    order = np.lexsort((np.arange(len(starts)), *starts.T))
    before, after = order[:-1], order[1:]
    touching = ((starts[after] < ends[before]) & (ends[after] > starts[before])).all(axis=1)
    for at in np.flatnonzero(touching).tolist():
        yield int(before[at]), int(after[at])
    for number in range(1, len(starts) if thorough else 0):
        touching = ((starts[number] < ends[:number]) & (ends[number] > starts[:number])).all(axis=1)
        for other in np.flatnonzero(touching).tolist():
            yield other, number


def _overlap(existing: Box, new: Box) -> FormatError:
    return FormatError(f"Overlapping slices: existing slice = {format_box(existing)}, new slice = {format_box(new)}")
