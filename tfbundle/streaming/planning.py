"""Making a plan from an index and decisions. No payload is read or written here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.transcode import pack_index
from tfbundle.choosing.castable import can_stitch
from tfbundle.choosing.decisions import Decisions
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import ELEMENT_NBYTES, dtype_name
from tfbundle.format.entries import LITTLE
from tfbundle.format.extents import check_places, sort_by_place
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import key_to_name
from tfbundle.format.slices import check_covered, whole_box
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Edits, Plan, Rows, Slices, Targets

STEP_NBYTES = 32 << 20
"""Source bytes of one unit of work: large against its overhead, small against what progress should show."""


def plan_bundle(bundle: BundleReader, decisions: Decisions, layout: Layout, edits: Edits) -> Plan:
    """Lay out the conversion of an open bundle; a V1 checkpoint as its copy in a bundle's form will be.

    Raises:
        BundleNotFoundError: a data file is missing.
        FormatError: as ``plan_conversion``.
    """
    if bundle.is_v1:
        return plan_conversion(*pack_index(bundle.index), decisions, layout, edits)
    shard_nbytes = [shard.nbytes for shard in bundle.open_shards()]
    return plan_conversion(bundle.index, shard_nbytes, decisions, layout, edits)


def plan_conversion(
    index: BundleIndex,
    shard_nbytes: Sequence[int],
    decisions: Decisions,
    layout: Layout = Layout(),
    edits: Edits = Edits(),
    step_nbytes: int = STEP_NBYTES,
) -> Plan:
    """Lay out the conversion of a bundle; payloads are packed without gaps.

    Args:
        index: of the source.
        shard_nbytes: size of each source shard.
        decisions: what becomes of each tensor, in the order of ``index.tensor_rows``.
        layout: slices and shards of the target.
        edits: new names and new payloads.
        step_nbytes: how many source bytes a step takes, in multiples of 16.

    Raises:
        FormatError: an entry is damaged, lies outside its shard, or overlaps another; or the slices of a
            partitioned tensor do not make it up.
    """
    order = sort_by_place(index.columns)
    check_places(index, order, shard_nbytes)
    slices = _find_slices(index)
    tensor_of = _map_to_tensors(index, slices)
    wanted = decisions.dtypes[tensor_of]
    dtype = np.where(wanted > 0, wanted, index.columns.dtype)
    is_cast, is_dropped = dtype != index.columns.dtype, decisions.are("drop")[tensor_of]
    joined = {
        row: parts
        for row, parts in slices.items()
        if not is_dropped[row] and _is_joined(layout, int(dtype[row]), is_cast=bool(is_cast[row]))
    }
    for row, parts in joined.items():
        _check_joinable(index, row, parts, layout)
    edited = {index.row_number(key): payload for key, payload in edits.payloads.items()}
    written = _order_targets(order, ~is_dropped, joined)
    size = _target_sizes(index, dtype, joined, edited)
    targets, shard_sizes = _place(index, written, dtype, size, joined, layout)
    return Plan(
        index=index,
        header=replace(index.header, num_shards=len(shard_sizes), endianness=LITTLE),
        decisions=decisions,
        tensor_rows=index.tensor_rows,
        tensor_of=tensor_of,
        slices=slices,
        joined=frozenset(joined),
        edited=edited,
        edits=edits,
        targets=targets,
        shard_nbytes=shard_sizes,
        step_nbytes=step_nbytes,
    )


def _find_slices(index: BundleIndex) -> dict[int, Slices]:
    """Return the slices of every partitioned tensor, by the number of its row."""
    found = {}
    for row in np.flatnonzero(index.columns.sliced).tolist():
        rows = index.slice_rows(index.keys_in_order[row])
        found[row] = Slices(tuple(index.row_number(key) for key, _ in rows), tuple(box for _, box in rows))
    return found


def _map_to_tensors(index: BundleIndex, slices: Mapping[int, Slices]) -> NDArray[np.int32]:
    tensor_of = np.zeros(len(index), np.int32)
    tensor_of[index.tensor_rows] = np.arange(len(index.tensor_rows), dtype=np.int32)
    for row, parts in slices.items():
        tensor_of[list(parts.rows)] = tensor_of[row]
    return tensor_of


def _is_joined(layout: Layout, dtype: int, *, is_cast: bool) -> bool:
    if layout.slices == "plain":
        return bool(ELEMENT_NBYTES[dtype])
    return layout.slices == "join" and is_cast and not can_stitch(dtype_name(dtype))


def _check_joinable(index: BundleIndex, row: int, slices: Slices, layout: Layout) -> None:
    key = index.keys_in_order[row]
    try:
        check_covered(whole_box(index[key].shape), slices.boxes)
    except FormatError as error:
        advice = "; --slices keep would convert it as it is" if layout.slices == "join" else ""
        raise FormatError(error.reason + advice, "", f"tensor {key_to_name(key)!r}") from error


def _order_targets(order: Rows, kept: NDArray[np.bool_], joined: Mapping[int, Slices]) -> Rows:
    """Return the rows that are written in the order of their sources; a joined tensor takes its first slice's turn."""
    if not joined:
        return order[kept[order]]
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order))
    kept = kept.copy()
    for row, slices in joined.items():
        turn[row] = turn[list(slices.rows)].min()
        kept[list(slices.rows)] = False
    rows = np.flatnonzero(kept)
    return rows[np.argsort(turn[rows], kind="stable")]


def _target_sizes(
    index: BundleIndex, dtype: NDArray[np.uint8], joined: Iterable[int], edited: Mapping[int, bytes]
) -> NDArray[np.int64]:
    before, after = ELEMENT_NBYTES[index.columns.dtype], ELEMENT_NBYTES[dtype]
    size = np.where(before == after, index.columns.size, index.columns.size // np.maximum(before, 1) * after)
    for row in joined:
        size[row] = index[index.keys_in_order[row]].num_elements * after[row]
    for row, payload in edited.items():
        size[row] = len(payload)
    return size


def _place(
    index: BundleIndex,
    written: Rows,
    dtype: NDArray[np.uint8],
    size: NDArray[np.int64],
    joined: Mapping[int, Slices],
    layout: Layout,
) -> tuple[Targets, tuple[int, ...]]:
    """Give every row that is written a shard and an offset; return them, and the sizes of the shards."""
    current = index.columns.shard_id.copy()
    for row, slices in joined.items():
        current[row] = current[slices.rows[0]]
    shards, num_shards = layout.assign(size[written], current[written], index.header.num_shards)
    offsets, shard_nbytes = _pack(size[written], shards, num_shards)
    shard_id, offset = np.zeros(len(size), np.int32), np.zeros(len(size), np.int64)
    shard_id[written] = shards
    offset[written] = offsets
    return Targets(written, dtype, shard_id, offset, size), shard_nbytes


def _pack(
    sizes: NDArray[np.int64], shards: NDArray[np.int32], num_shards: int
) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return the offset of each payload in its shard, one after the other, and the size of each shard."""
    by_shard = np.argsort(shards, kind="stable")
    ends = np.cumsum(sizes[by_shard])
    starts = ends - sizes[by_shard]
    bounds = np.searchsorted(shards[by_shard], np.arange(num_shards + 1))
    edges = np.concatenate([[0], ends])[bounds]
    offsets = np.empty(len(sizes), np.int64)
    offsets[by_shard] = starts - edges[shards[by_shard]]
    return offsets, tuple(np.diff(edges).tolist())
