"""Names: of shard files, and of tensors, whose keys are bytes and whose names are text.

Source: TensorFlow ``core/util/tensor_bundle/naming.cc`` (``DataFilename``, ``MetaFilename``).
"""

from __future__ import annotations

import re

INDEX_SUFFIX = ".index"
META_SUFFIX = ".meta"
OBJECT_GRAPH_KEY = b"_CHECKPOINTABLE_OBJECT_GRAPH"

_DATA_SUFFIX = re.compile(r"\.data-(\d{5,})-of-(\d{5,})$")
_V1_SHARD = re.compile(r"-\d{5,}-of-\d{5,}$")


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
    match = _DATA_SUFFIX.search(path)
    return path[: match.start()] if match else None


def is_v1_shard_name(path: str) -> bool:
    """Tell whether a path ends like one shard of a V1 checkpoint, ``-00000-of-00001``."""
    return strip_data_suffix(path) is None and _V1_SHARD.search(path) is not None


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
