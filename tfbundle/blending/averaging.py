"""Planning and writing a mean: which rows the bundles have in common, where they go, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfbundle.blending.blend import Blend, Difference
from tfbundle.blending.lanes import Lane, Rows
from tfbundle.blending.parted import PartedTensor
from tfbundle.blending.placement import Placement, encode_placed_rows, place_payloads
from tfbundle.bundle.reader import BundleReader
from tfbundle.casting.mean import has_mean
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import data_type, dtype_name
from tfbundle.format.extents import check_places, sort_by_place
from tfbundle.format.index import BundleIndex
from tfbundle.sstable.checksum import crc32c
from tfbundle.storage.base import StagedFile
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.progress import Progress


@dataclass(frozen=True)
class AveragePlan:
    """What goes where.

    Positions count the rows with a payload in the order in which they are written: first those that all indexes have,
    then tensors that these partition in different ways, whole.

    Attributes:
        index: the last one.
        rows: for each index, the numbers of the common rows there, by position.
        parted: keys of the tensors after them.
        sizes: bytes of each payload.
        placement: where each goes.
    """

    index: BundleIndex
    rows: tuple[Rows, ...]
    parted: tuple[bytes, ...]
    sizes: NDArray[np.int64]
    placement: Placement

    @property
    def num_averaged(self) -> int:
        """How many tensors are means."""
        numbers, counts = np.unique(self.index.columns.dtype[self.index.tensor_rows], return_counts=True)
        return sum(
            count
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
            if has_mean(dtype_name(number))
        )


def plan_average(indexes: Sequence[BundleIndex], layout: Layout) -> AveragePlan:
    """Lay out the mean of bundles that hold the same tensors, in the order and shards of the last.

    Raises:
        FormatError: an entry is damaged, or slices do not fit.
        UnsupportedError: a tensor that is not of numbers is partitioned in different ways.
    """
    last = indexes[-1]
    parted, pieces = _find_parted(indexes)
    for key in parted:
        dtype = data_type(last[key].dtype)
        if not dtype.is_memcpy:
            raise UnsupportedError(f"{last.label(key)} of dtype {dtype.name} is partitioned in different ways")
    columns = last.columns
    order = sort_by_place(columns)
    apart = columns.sliced.copy()
    apart[[last.row_number(key) for key in (*parted, *pieces) if key in last]] = True
    order = order[~apart[order]]
    keys = [last.keys_in_order[row] for row in order.tolist()]
    rows = tuple(
        order
        if index.keys_in_order == last.keys_in_order
        else np.array([index.row_number(key) for key in keys], np.intp)
        for index in indexes
    )
    wholes = [last[key].num_elements * data_type(last[key].dtype).nbytes for key in parted]
    sizes = np.concatenate([columns.size[order], np.array(wholes, np.int64)])
    current = np.concatenate([columns.shard_id[order], np.zeros(len(parted), np.int32)])
    placement = place_payloads(sizes, current, max(1, last.header.num_shards), layout)
    return AveragePlan(last, rows, parted, sizes, placement)


def _find_parted(indexes: Sequence[BundleIndex]) -> tuple[tuple[bytes, ...], set[bytes]]:
    """Return keys of tensors that are not partitioned alike everywhere, and of all their slices."""
    slices = [
        {
            index.keys_in_order[row]: frozenset(key for key, _ in index.slice_rows(index.keys_in_order[row]))
            for row in np.flatnonzero(index.columns.sliced).tolist()
        }
        for index in indexes
    ]
    keys = sorted({key for found in slices for key in found})
    parted = tuple(key for key in keys if len({found.get(key) for found in slices}) > 1)
    return parted, {piece for found in slices for key in parted for piece in found.get(key, ())}


def check_sources(bundles: Sequence[BundleReader]) -> None:
    """Refuse payloads that lie outside their data file, or in one another.

    Raises:
        FormatError: there are some.
    """
    for bundle in bundles:
        nbytes = [shard.nbytes for shard in bundle.open_shards()]
        with _blaming(bundle):
            check_places(bundle.index, sort_by_place(bundle.index.columns), nbytes)


class Averaging:
    """The work of a plan.

    Args:
        plan: what to do.
        bundles: those of its indexes, with payloads of their own.
        files: the target shards.
        progress: is told how far the work has come.

    Attributes:
        differences: of each tensor or slice that is no float and differs, by key.
    """

    def __init__(
        self, plan: AveragePlan, bundles: Sequence[BundleReader], files: Sequence[StagedFile], progress: Progress
    ) -> None:
        self._plan = plan
        self._files = files
        self._progress = progress
        self._lanes = [Lane(bundle, rows) for bundle, rows in zip(bundles, plan.rows, strict=True)]
        self._blend = Blend(self._lanes, plan.placement, files, progress)
        self._tensors = [PartedTensor(bundles, key) for key in plan.parted]
        self._crcs = [0] * len(plan.parted)
        self.differences: dict[bytes, Difference] = {}

    @property
    def nbytes(self) -> int:
        """Bytes that are read."""
        plain = sum(int(lane.size.sum()) for lane in self._lanes)
        return plain + sum(tensor.nbytes for tensor in self._tensors)

    def copy(self) -> None:
        """Write what is no mean, and learn what differs.

        Raises:
            FormatError: a payload is damaged.
        """
        self._blend.copy_rows()
        last = self._lanes[-1]
        self.differences |= {last.key(position): found for position, found in self._blend.differences.items()}
        self._write_parted(means=False)

    def average(self) -> None:
        """Write the means.

        Raises:
            FormatError: a payload is damaged, or a file changed since it was opened.
        """
        self._blend.average_rows()
        self._write_parted(means=True)
        for lane in self._lanes:
            lane.check_unchanged()

    def _write_parted(self, *, means: bool) -> None:
        for number, (key, tensor) in enumerate(zip(self._plan.parted, self._tensors, strict=True)):
            if has_mean(tensor.dtype.name) == means:
                self._write_whole(number, tensor)
                if tensor.difference is not None:
                    self.differences[key] = tensor.difference

    def _write_whole(self, number: int, tensor: PartedTensor) -> None:
        position = len(self._plan.sizes) - len(self._tensors) + number
        file = self._files[self._plan.placement.shard_id[position]]
        offset = int(self._plan.placement.offset[position])
        for values in tensor.iter_windows():
            file.write_at(offset, values.data)
            self._crcs[number] = crc32c(values.data, self._crcs[number])
            offset += len(values)
            self._progress.advance(len(values) * len(self._lanes))

    def iter_index_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and encoded entry of every row of the result, in key order."""
        plan, index = self._plan, self._plan.index
        rows = np.concatenate([plan.rows[-1], np.array([index.row_number(key) for key in plan.parted], np.intp)])
        crcs = np.concatenate([self._blend.crcs, np.array(self._crcs, np.uint32)])
        found = dict(encode_placed_rows(index, rows, plan.placement, plan.sizes, crcs))
        for row in np.flatnonzero(index.columns.sliced).tolist():  # partitioned tensors, whose slices are there
            key = index.keys_in_order[row]
            found.setdefault(key, index.rows[key])
        return iter(sorted(found.items()))


@contextmanager
def _blaming(bundle: BundleReader) -> Iterator[None]:
    try:
        yield
    except FormatError as error:
        raise error.add_path(bundle.prefix) from error
