"""Safetensors files to be: one, or several with an index file that says what is where.

Payloads are ordered by the size of their elements, the largest first, so that each is aligned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tfbundle.errors import UnsupportedError
from tfbundle.exporters.forms import SAFETENSORS_DTYPES
from tfbundle.exporters.frame import Frame, Outgoing, Piece
from tfbundle.exporters.safetensors_header import StoredTensor, encode_header
from tfbundle.storage.base import Storage
from tfbundle.storage.paths import basename, dirname, join
from tfbundle.streaming.layout import Layout

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
MAX_INDEX_NBYTES = 16 << 20

_SHARD = re.compile(r"-[0-9]{5,6}-of-[0-9]{5,6}\.safetensors", re.ASCII)


def frame_safetensors(
    path: str, tensors: Sequence[Outgoing], metadata: Mapping[str, str], max_shard_nbytes: int | None = None
) -> Frame:
    """Lay out safetensors files.

    Args:
        path: of the file, or of what it would be if there were one only.
        tensors: what they are to hold.
        metadata: text that every file carries.
        max_shard_nbytes: begin another file where payloads would be larger; None for one file.

    Raises:
        UnsupportedError: a header would be larger than the library reads, or the index than an import.
    """
    order = sorted(range(len(tensors)), key=lambda at: -tensors[at].dtype.nbytes)
    sizes = np.array([tensors[at].nbytes for at in order], np.int64)
    shards, num_shards = _assign(sizes, max_shard_nbytes)
    stem = path.removesuffix(SUFFIX)
    paths = [path] if num_shards == 1 else [_shard_path(stem, number, num_shards) for number in range(num_shards)]
    stored: list[list[StoredTensor]] = [[] for _ in paths]
    file, offset = np.zeros(len(tensors), np.int32), np.zeros(len(tensors), np.int64)
    ends = [0] * num_shards
    for at, shard in zip(order, shards.tolist(), strict=True):
        tensor = tensors[at]
        file[at], offset[at] = shard, ends[shard]
        ends[shard] += tensor.nbytes
        kind = SAFETENSORS_DTYPES[tensor.dtype.name]
        stored[shard].append(StoredTensor(tensor.name, kind, tensor.shape, int(offset[at]), ends[shard]))
    pieces = [Piece(number, 0, encode_header(part, metadata)) for number, part in enumerate(stored)]
    starts = np.array([len(piece.data) for piece in pieces], np.int64)
    nbytes = [len(piece.data) + end for piece, end in zip(pieces, ends, strict=True)]
    if num_shards > 1:
        index = _encode_index(stored, paths, sum(ends))
        pieces.append(Piece(num_shards, 0, index))
        paths.append(stem + INDEX_SUFFIX)
        nbytes.append(len(index))
    return Frame(paths, nbytes, file, offset + starts[file], pieces)


def _assign(sizes: NDArray[np.int64], max_shard_nbytes: int | None) -> tuple[NDArray[np.int32], int]:
    layout = Layout(max_shard_nbytes=max_shard_nbytes)
    return layout.assign(sizes, np.zeros(len(sizes), np.int32), 1)


def _shard_path(stem: str, number: int, num_shards: int) -> str:
    return f"{stem}-{number + 1:05d}-of-{num_shards:05d}{SUFFIX}"


def _encode_index(stored: Sequence[Sequence[StoredTensor]], paths: Sequence[str], total_nbytes: int) -> bytes:
    places = {tensor.name: basename(path) for path, part in zip(paths, stored, strict=True) for tensor in part}
    index = {"metadata": {"total_size": total_nbytes}, "weight_map": dict(sorted(places.items()))}
    text = json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n"
    if len(text) > MAX_INDEX_NBYTES:
        raise UnsupportedError(
            f"the index of the files would take {len(text)} bytes, and import reads {MAX_INDEX_NBYTES} at most; "
            "without --max-shard-size there is none"
        )
    return text


def find_safetensors(path: str, storage: Storage) -> list[str]:
    """Return the files that are there of an earlier export to a path, in one file or several, the index first."""
    directory = dirname(path)
    names = [name for name in storage.list_directory(directory) if is_safetensors_of(path, name)]
    found = [join(directory, name) for name in names]
    first = [path.removesuffix(SUFFIX) + INDEX_SUFFIX, path]  # seen in a directory that may not be listed, too
    return [*filter(storage.exists, first), *(path for path in found if path not in first)]


def is_shard(name: str) -> bool:
    """Tell whether a file is, by its name, one of several.

    Example:
        >>> is_shard("m-00001-of-00002.safetensors"), is_shard("m.safetensors")
        (True, False)
    """
    return re.search(f"{_SHARD.pattern}$", name, re.ASCII) is not None


def is_safetensors_of(path: str, name: str) -> bool:
    """Tell whether an export to a path may make a file of this name beside it.

    Example:
        >>> [is_safetensors_of("m.safetensors", name) for name in ("m-00001-of-00002.safetensors", "m-1.safetensors")]
        [True, False]
    """
    base = basename(path).removesuffix(SUFFIX)
    if not name.startswith(base):
        return False
    return name[len(base) :] in (SUFFIX, INDEX_SUFFIX) or _SHARD.fullmatch(name, len(base)) is not None
