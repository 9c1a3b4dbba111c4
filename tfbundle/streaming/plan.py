"""A conversion as data: which bytes of which source shard become which bytes of which target shard.

Every offset is known before a byte moves, so a dry run, progress totals and any kind of worker need no second code
path. ``planning`` makes plans, ``steps`` cuts them into units of work, ``pipeline`` does these.

A bundle's rows are its tensors and the slices of partitioned ones. A row is known by its number: its position in the
source's index, in key order. A target row has the number of the source row it comes from, copied or cast; where the
slices of a partitioned tensor are joined, that of the tensor. What is known of rows is kept in columns, an array each,
so that a million of them take neither long nor much memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.choosing.decisions import Decisions
from tfbundle.format.entries import BundleHeader
from tfbundle.format.index import BundleIndex
from tfbundle.format.slices import Box

Rows = NDArray[np.intp]


_NOTHING: Mapping[bytes, bytes] = {}


class Edits(NamedTuple):
    """What changes beside dtypes.

    Attributes:
        names: new key of each tensor that gets another one, by its old key.
        payloads: new payload of each tensor that gets another one, by its old key; neither cast nor partitioned.
    """

    names: Mapping[bytes, bytes] = _NOTHING
    payloads: Mapping[bytes, bytes] = _NOTHING


class Slices(NamedTuple):
    """The slices of a partitioned tensor.

    Attributes:
        rows: their numbers.
        boxes: their places in the tensor.
    """

    rows: tuple[int, ...]
    boxes: tuple[Box, ...]


class Targets(NamedTuple):
    """What becomes of each row, in columns; 0 for rows that are not written.

    Attributes:
        order: numbers of the rows that are written, in the order of their payloads.
        dtype: number of the element type; that of the source for rows that are not cast.
        shard_id: which target shard.
        offset: where the payload starts there, in bytes.
        size: bytes of payload.
    """

    order: Rows
    dtype: NDArray[np.uint8]
    shard_id: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)  # neither makes sense of arrays, and making them takes time
class Plan:
    """The whole conversion; picklable.

    Attributes:
        index: of the source.
        header: of the target.
        decisions: what becomes of each tensor, in the order of ``tensor_rows``.
        tensor_rows: number of each tensor's row.
        tensor_of: for each row, the tensor that it is or is a slice of: a position in ``decisions``.
        slices: of each partitioned tensor, by the number of its row.
        joined: rows of the partitioned tensors that become plain ones.
        edited: new payload of each row that does not get it from the source.
        edits: new names and new payloads, by key.
        targets: where everything goes.
        shard_nbytes: size of each target shard.
        step_nbytes: how many source bytes a unit of work takes.
    """

    index: BundleIndex
    header: BundleHeader
    decisions: Decisions
    tensor_rows: Rows
    tensor_of: NDArray[np.int32]
    slices: Mapping[int, Slices]
    joined: frozenset[int]
    edited: Mapping[int, bytes]
    edits: Edits
    targets: Targets
    shard_nbytes: tuple[int, ...]
    step_nbytes: int

    @property
    def num_rows(self) -> int:
        """Number of rows in the source."""
        return len(self.tensor_of)

    @property
    def read_rows(self) -> Rows:
        """Numbers of the rows whose payload is read."""
        order = self.targets.order
        plain = order[~np.isin(order, [*self.joined, *self.edited])] if self.joined or self.edited else order
        pieces = [row for tensor in sorted(self.joined) for row in self.slices[tensor].rows]
        return np.concatenate([plain, np.array(pieces, np.intp)])

    @property
    def is_cast(self) -> NDArray[np.bool_]:
        """Which rows get another dtype."""
        return np.not_equal(self.targets.dtype, self.index.columns.dtype)

    @property
    def source_nbytes(self) -> int:
        """Bytes that will be read."""
        return int(self.index.columns.size[self.read_rows].sum())

    def label(self, row: int) -> str:
        """Return what errors call a row."""
        return self.index.label(self.index.keys_in_order[row])
