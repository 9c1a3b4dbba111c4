"""Names: of shard files, and of tensors, whose keys are bytes and whose names are text.

Source: TensorFlow ``core/util/tensor_bundle/naming.cc`` (``DataFilename``, ``MetaFilename``);
``python/saved_model/constants.py``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

INDEX_SUFFIX = ".index"
META_SUFFIX = ".meta"
STATE_FILENAME = "checkpoint"
SAVED_MODEL_PREFIX = "variables/variables"
"""Of the variables in a SavedModel's directory."""
OBJECT_GRAPH_KEY = b"_CHECKPOINTABLE_OBJECT_GRAPH"

MAX_NUM_SHARDS = 100_000
"""The most data files, or files of a V1 checkpoint, that anything may speak of."""

_DATA_SUFFIX = r"\.data-([0-9]{5,})-of-([0-9]{5,})\Z"
_V1_SHARD = r"-(?:[0-9]{5,6}|\?{5})-of-([0-9]{5,6})\Z"  # more digits would be more than there may be
_OF = "-of-"  # without it there is no shard, and no need to compile an expression


def data_filename(prefix: str, shard_id: int, num_shards: int) -> str:
    """Return the path of a shard.

    Example:
        >>> data_filename("ckpt-7", 0, 2)
        'ckpt-7.data-00000-of-00002'
    """
    return f"{prefix}.data-{shard_id:05d}-of-{num_shards:05d}"


def index_filename(prefix: str) -> str:
    """Return the path of the index."""
    return prefix + INDEX_SUFFIX


def strip_data_suffix(path: str) -> str | None:
    """Return the prefix a shard's path belongs to, or None if it is no shard's path.

    Example:
        >>> strip_data_suffix("ckpt-7.data-00000-of-00002")
        'ckpt-7'
    """
    match = re.search(_DATA_SUFFIX, path) if _OF in path else None
    return path[: match.start()] if match else None


class ShardName(NamedTuple):
    """What the path of a shard says: the prefix, which shard it is, from 0, and how many there are."""

    prefix: str
    shard_id: int
    num_shards: int


def parse_data_filename(path: str) -> ShardName | None:
    """Return what a shard's path says, or None if it is no shard's path.

    Example:
        >>> parse_data_filename("ckpt-7.data-00000-of-00002")
        ShardName(prefix='ckpt-7', shard_id=0, num_shards=2)
    """
    match = re.search(_DATA_SUFFIX, path) if _OF in path else None
    if match is None:
        return None
    found = ShardName(path[: match.start()], int(match[1]), int(match[2]))
    return found if data_filename(*found) == path and found.shard_id < found.num_shards else None


def parse_data_suffix(path: str) -> int | None:
    """Return the number of shards that a shard's path tells, or None if it is no shard's path.

    Example:
        >>> parse_data_suffix("ckpt-7.data-00000-of-00002")
        2
    """
    match = re.search(_DATA_SUFFIX, path) if _OF in path else None
    return int(match[2]) if match else None


def v1_shard_filename(prefix: str, shard_id: int, num_shards: int) -> str:
    """Return the path of one file of a sharded V1 checkpoint."""
    return f"{prefix}-{shard_id:05d}-of-{num_shards:05d}"


def parse_v1_shard(path: str) -> tuple[str, int | None]:
    """Return prefix and number of shards if a path ends like a V1 shard, else the path and None.

    A ``checkpoint`` file may name all shards at once, with question marks for the digits.

    Example:
        >>> parse_v1_shard("model.ckpt-7-?????-of-00002")
        ('model.ckpt-7', 2)
    """
    match = re.search(_V1_SHARD, path) if _OF in path and strip_data_suffix(path) is None else None
    if match is None or int(match[1]) > MAX_NUM_SHARDS:
        return path, None
    return path[: match.start()], int(match[1])


def key_to_name(key: bytes) -> str:
    r"""Return a tensor's name; bytes that are no UTF-8 become lone surrogates, so that nothing is lost.

    Example:
        >>> key_to_name(b"w\xff")
        'w\udcff'
    """
    return key.decode("utf-8", "surrogateescape")


def name_to_key(name: str) -> bytes:
    """Return the index key of a tensor; the inverse of ``key_to_name``."""
    return name.encode("utf-8", "surrogateescape")
