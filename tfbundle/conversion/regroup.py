"""Choosing the data files that some rows of a bundle need, and numbering them anew."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tfbundle.bundle.reader import BundleReader
from tfbundle.errors import BundleError, FormatError
from tfbundle.format.entries import encode_entry
from tfbundle.format.extents import MAX_OVERLAP, cut_runs, sort_by_place
from tfbundle.format.index import BundleIndex
from tfbundle.storage.base import ReadableFile


def regroup(bundle: BundleReader, rows: Mapping[bytes, bytes]) -> tuple[BundleIndex, list[ReadableFile]]:
    """Return an index of some rows of a bundle, and the data files it counts, without those that are not to be had.

    Where payloads share bytes, which no plan allows, their file is listed again under another number, so that each can
    be copied for itself.

    Args:
        bundle: has the rows.
        rows: key and encoded entry of each row, in key order, all of them sound.

    Raises:
        FormatError: so many payloads share the same bytes that the result would be many times as large as the bundle.
        BundleError: a data file that the rows need cannot be opened.
    """
    index = BundleIndex(bundle.index.header, dict(rows))
    shards = index.columns.shard_id
    files = _open_files(bundle, set(shards[~index.columns.sliced].tolist()))
    layers = _find_layers(index)
    places = [(0, shard) for shard in files]
    places += sorted({(int(layer), int(shard)) for layer, shard in zip(layers, shards, strict=True) if layer})
    numbers = {place: number for number, place in enumerate(places)}
    moved = dict(rows)
    for row in np.flatnonzero(~index.columns.sliced).tolist():
        number = numbers[int(layers[row]), int(shards[row])]
        if number != shards[row]:
            key = index.keys_in_order[row]
            moved[key] = encode_entry(replace(index[key], shard_id=number))
    header = replace(index.header, num_shards=len(places))
    return BundleIndex(header, moved), [files[shard] for _, shard in places]


def _open_files(bundle: BundleReader, needed: set[int]) -> dict[int, ReadableFile]:
    """Open the data files that are needed, listed or not, and those that are there, if they can be opened."""
    files = {}
    for shard in sorted({*bundle.shards.present(), *needed}):
        with contextlib.nullcontext() if shard in needed else contextlib.suppress(BundleError):
            files[shard] = bundle.shards.open(shard)
    return files


def _find_layers(index: BundleIndex) -> NDArray[np.int64]:
    """Return a layer for each row, so that no payloads of one layer share bytes; all 0 where none do at all."""
    columns = index.columns
    layers = np.zeros(len(columns), np.int64)
    order = sort_by_place(columns)
    order = order[(columns.size > 0)[order]]
    shards, ends = columns.shard_id[order], (columns.offset + columns.size)[order]
    for start, end in cut_runs(shards[1:] != shards[:-1], len(order)):
        if (columns.offset[order[start + 1 : end]] >= ends[start : end - 1]).all():
            continue
        reached = [0] * MAX_OVERLAP
        for row in order[start:end].tolist():
            offset = int(columns.offset[row])
            layer = next((at for at, reach in enumerate(reached) if reach <= offset), None)
            if layer is None:
                raise FormatError(f"more than {MAX_OVERLAP} payloads share bytes, which no writer makes")
            layers[row] = layer
            reached[layer] = offset + int(columns.size[row])
    return layers
