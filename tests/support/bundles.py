"""Bundles on disk, put together from index rows and shard contents of the test's choice."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from tests.support.tables import WORKED_DATA, WORKED_TABLE, masked_crc, write_table
from tests.support.wire import bytes_field, entry_proto, varint_field


def write_worked_example(prefix: str) -> None:
    """Write the files of TensorFlow's own: ``v``, float32 [1, 2], and ``s``, int32 3."""
    write_files(prefix, WORKED_TABLE, [WORKED_DATA])


def write_bundle(
    prefix: str, rows: Mapping[bytes, bytes], shards: Sequence[bytes] = (b"",), header: bytes = b""
) -> None:
    """Write a bundle with these entries, encoded already, and these shards."""
    header = header or varint_field(1, len(shards)) + bytes_field(3, varint_field(1, 1))
    write_files(prefix, write_table([(b"", header), *sorted(rows.items())]), shards)


def write_files(prefix: str, index: bytes, shards: Sequence[bytes]) -> None:
    """Write a bundle's files as they are."""
    os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
    with open(f"{prefix}.index", "wb") as file:
        file.write(index)
    for number, data in enumerate(shards):
        with open(shard_path(prefix, number, len(shards)), "wb") as file:
            file.write(data)


def shard_path(prefix: str, number: int = 0, num_shards: int = 1) -> str:
    """Return the path of a shard."""
    return f"{prefix}.data-{number:05d}-of-{num_shards:05d}"


def entry_of(dtype: int, shape: bytes, payload: bytes, offset: int = 0, shard_id: int = 0) -> bytes:
    """Return the entry of a payload whose checksum covers just its bytes."""
    crc = int.from_bytes(masked_crc(payload), "little")
    return entry_proto(dtype, shape, len(payload), crc, offset, shard_id)
