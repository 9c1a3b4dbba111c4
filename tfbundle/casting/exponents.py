"""How many numbers of each order of magnitude there are in tensors, by their binary exponents.

The exponent of x is floor(log2 |x|). A tensor's numbers have few of them, twenty or thirty as a rule, so that only
those which occur are stored: as pairs of a key, which names a tensor and an exponent, and a count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST = -160
"""What is less is counted with it; no float32 is."""

LAST = 160
"""What is more is counted with it; no float32 is."""

_SPAN = 512
"""Keys of one tensor."""

_MOST_PENDING = 65536

_MOST_BINS = 16
"""For each number that is counted; if that is not enough, sorting takes less time."""

_NO_SIGN = np.uint64(0x7FFFFFFFFFFFFFFF)

Keys = NDArray[np.unsignedinteger[Any]]
Counts = NDArray[np.int64]


def find_exponents(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the exponents of finite numbers other than zero, limited to those that are told apart.

    Example:
        >>> find_exponents(np.array([1.0, -0.75, 1.5e-45, 1e300])).tolist()
        [0, -1, -149, 160]
    """
    exponents = ((values.view(np.uint64) & _NO_SIGN) >> np.uint64(52)).astype(np.int64)
    return np.clip(exponents - 1023, FIRST, LAST)


def trim(counts: Counts, first: int) -> tuple[int, tuple[int, ...]]:
    """Return consecutive counts, the first of them that of exponent ``first``, without zeros at either end.

    Example:
        >>> trim(np.array([0, 7, 0, 1, 0]), -3)
        (-2, (7, 0, 1))
    """
    places = counts.nonzero()[0]
    if not len(places):
        return 0, ()
    start, end = int(places[0]), int(places[-1]) + 1
    return first + start, tuple(counts[start:end].tolist())


class ExponentCounts:
    """Counts of many tensors, one row each; every row starts empty.

    What is added waits until it is worth the effort to put it in order.

    Args:
        num_rows: how many.

    Example:
        >>> exponents = ExponentCounts(3)
        >>> exponents.count(np.array([1, 1, 2]), np.array([-7, -7, 0]))
        >>> exponents[1], exponents[0]
        ((-7, (2,)), (0, ()))
    """

    def __init__(self, num_rows: int) -> None:
        self._dtype = np.dtype(np.uint32 if num_rows * _SPAN < 1 << 32 else np.uint64)
        self._keys: Keys = np.empty(0, self._dtype)
        self._counts: Counts = np.empty(0, np.int64)
        self._pending: list[tuple[Keys, Counts]] = []
        self._num_pending = 0

    def __getstate__(self) -> tuple[Any, ...]:
        self._settle()
        return self._keys, self._counts

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._keys, self._counts = state
        self._dtype = self._keys.dtype
        self._pending, self._num_pending = [], 0

    def __getitem__(self, row: int) -> tuple[int, tuple[int, ...]]:
        """Return a row's first exponent and its counts from there to its last; 0 and nothing if it is empty."""
        self._settle()
        start, end = self._keys.searchsorted(np.array([row * _SPAN, (row + 1) * _SPAN], self._dtype))
        return _spread(self._keys[start:end] - self._dtype.type(row * _SPAN), self._counts[start:end])

    def total(self) -> tuple[int, tuple[int, ...]]:
        """Return the sum of all rows."""
        self._settle()
        return _spread(self._keys % self._dtype.type(_SPAN), self._counts)

    def count(self, rows: NDArray[np.integer[Any]] | int, exponents: NDArray[np.int64]) -> None:
        """Count numbers.

        Args:
            rows: the tensor of each, or of all.
            exponents: of each, from ``FIRST`` to ``LAST``.
        """
        if not len(exponents):
            return
        low = int(exponents.min())
        width = int(exponents.max()) - low + 1
        numbers = rows * width + (exponents - low)
        if int(numbers.max()) < _MOST_BINS * len(numbers):
            counts = np.bincount(numbers)
            found = counts.nonzero()[0]
            counts = counts[found]
        else:  # tensors of few elements each
            found, counts = np.unique(numbers, return_counts=True)
        self._append(found // width * _SPAN + found % width + (low - FIRST), counts)

    def add_counts(self, row: int, first: int, counts: Counts) -> None:
        """Add consecutive counts to a row, the first of them that of exponent ``first``."""
        places = counts.nonzero()[0]
        self._append(row * _SPAN + first - FIRST + places, counts[places])

    def add_at(self, rows: NDArray[np.integer[Any]], other: ExponentCounts) -> None:
        """Add each row of another to a row of this; the same row may be named more than once."""
        other._settle()
        from_rows, columns = np.divmod(other._keys.astype(np.int64), _SPAN)
        self._append(rows[from_rows] * _SPAN + columns, other._counts)

    def _append(self, keys: NDArray[np.integer[Any]], counts: NDArray[np.integer[Any]]) -> None:
        if len(keys):
            self._pending.append((keys.astype(self._dtype), counts.astype(np.int64)))
            self._num_pending += len(keys)
        if self._num_pending > max(_MOST_PENDING, len(self._keys) // 4):
            self._settle()

    def _settle(self) -> None:
        """Put what is pending in order: each key once, ascending."""
        if not self._pending:
            return
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._pending)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._pending)])
        self._pending, self._num_pending = [], 0
        order = keys.argsort(kind="stable")
        keys = keys[order]
        firsts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
        self._keys = keys[firsts]
        self._counts = np.add.reduceat(counts[order], firsts)


def _spread(columns: Keys, counts: Counts) -> tuple[int, tuple[int, ...]]:
    """Return counts of columns, of which some may be named more than once, side by side."""
    bins = np.zeros(_SPAN, np.int64)
    np.add.at(bins, columns.astype(np.intp), counts)
    return trim(bins, FIRST)
