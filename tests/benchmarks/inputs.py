"""Makes the checkpoints that the contenders read.

Runs as ``python -m tests.benchmarks.inputs NAME PREFIX NBYTES TENSORS`` and prints what came of it as JSON. The values
are windows of one block of random numbers: random data is slow to make, and no contender compresses.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from tests.benchmarks.sizes import MIB
from tfbundle.format.dtypes import FLOAT32, DataType, data_type
from tfbundle.format.entries import HEADER_KEY, BundleEntry, BundleHeader, encode_entry, encode_header
from tfbundle.format.naming import data_filename, index_filename
from tfbundle.format.ordered_code import encode_slice_key
from tfbundle.sstable.checksum import crc32c, mask_crc32c
from tfbundle.sstable.varint import encode_varint
from tfbundle.sstable.writer import TableWriter

BLOCK_NBYTES = 16 * MIB  # at most
INT64 = data_type(9)
PARTS = 8
_STRIDE = 4099 * 4  # how far into the block the next tensor begins after the one before
_BUFFER_NBYTES = MIB


class Values:
    """An endless supply of float32 values, as bytes."""

    def __init__(self, deviation: float, seed: int, nbytes: int) -> None:
        elements = min(BLOCK_NBYTES, max(_BUFFER_NBYTES, nbytes)) // 4
        values = np.random.default_rng(seed).standard_normal(elements, dtype=np.float32)
        self._block = memoryview((values * np.float32(deviation)).astype("<f4").tobytes())
        self._position = 0

    def take(self, nbytes: int) -> Iterator[memoryview]:
        """Yield pieces of so many bytes in all, which differ from those of the last call."""
        self._position = (self._position + _STRIDE) % len(self._block)
        position = self._position
        while nbytes:
            piece = self._block[position : position + nbytes]
            yield piece
            nbytes -= len(piece)
            position = 0


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor, or a slice of one, that is yet to be written."""

    shape: tuple[int, ...]
    dtype: DataType
    values: Values


class CheckpointWriter:
    """Collects tensors, and writes them in the order of their keys, as TensorFlow does. One data file.

    Entries are put together by hand: the package's own encoder is made for keeping what it does not know, which would
    take most of the time of an input with a million tensors.
    """

    def __init__(self, nbytes: int) -> None:
        self._planned: dict[bytes, PlannedTensor] = {}
        self._partitioned: dict[bytes, bytes] = {}
        self._weights = Values(0.05, 1, nbytes)

    def add(self, key: bytes, shape: tuple[int, ...], dtype: DataType = FLOAT32, values: Values | None = None) -> None:
        """Add a tensor, by default of weights."""
        self._planned[key] = PlannedTensor(shape, dtype, values or self._weights)

    def add_partitioned(self, key: bytes, shape: tuple[int, int], axis: int) -> None:
        """Add a tensor of weights in equal slices along one axis."""
        size = shape[axis] // PARTS
        extents = [tuple((part * size, size) if at == axis else (0, -1) for at in (0, 1)) for part in range(PARTS)]
        self._partitioned[key] = encode_entry(BundleEntry(shape=shape, slices=tuple(extents)))
        part_shape = tuple(size if at == axis else dim for at, dim in enumerate(shape))
        for extent in extents:
            self.add(encode_slice_key(key, extent), part_shape)

    def write(self, prefix: str) -> dict[str, int]:
        """Write the checkpoint; return its bytes of payload and its number of rows."""
        rows = dict(self._partitioned)
        with open(data_filename(prefix, 0, 1), "wb", buffering=_BUFFER_NBYTES) as data:
            for key in sorted(self._planned):
                rows[key] = _write_tensor(data, self._planned[key])
            nbytes = data.tell()
        with open(index_filename(prefix), "wb") as index:
            table = TableWriter(index.write)
            table.add(HEADER_KEY, encode_header(BundleHeader()))
            for key in sorted(rows):
                table.add(key, rows[key])
            table.finish()
        return {"nbytes": nbytes, "entries": len(rows)}


def _write_tensor(file: BinaryIO, tensor: PlannedTensor) -> bytes:
    """Append a payload; return its entry."""
    offset = file.tell()
    nbytes = math.prod(tensor.shape) * tensor.dtype.nbytes
    crc = 0
    for piece in tensor.values.take(nbytes):
        crc = crc32c(piece, crc)
        file.write(piece)
    return encode_plain_entry(tensor.dtype.number, tensor.shape, offset, nbytes, mask_crc32c(crc))


def encode_plain_entry(dtype: int, shape: tuple[int, ...], offset: int, nbytes: int, masked_crc: int) -> bytes:
    """Return the encoded entry of a tensor in the first shard.

    Example:
        >>> encode_plain_entry(1, (2, 3), 8, 24, 7) == encode_entry(BundleEntry(1, (2, 3), 0, 8, 24, 7))
        True
    """
    dims = b"".join(map(_encode_dim, shape))
    start = b" " + encode_varint(offset) if offset else b""
    end = b"(" + encode_varint(nbytes) + b"5" + masked_crc.to_bytes(4, "little")
    return b"\x08" + encode_varint(dtype) + b"\x12" + encode_varint(len(dims)) + dims + start + end


def _encode_dim(size: int) -> bytes:
    dim = b"\x08" + encode_varint(size)
    return b"\x12" + encode_varint(len(dim)) + dim


def build_mixed(writer: CheckpointWriter, nbytes: int, tensors: int, small: Values | None = None) -> None:
    """Add one tensor of half the bytes, a hundredth of ``tensors`` of medium size, tiny ones, and a step counter.

    Args:
        writer: takes the tensors.
        nbytes: of payload in all, nearly.
        tensors: number of tiny ones.
        small: values for every other one of those of medium size.
    """
    writer.add(b"embedding/weights", (nbytes // 2 // 4 // 256, 256))
    sizes = np.random.default_rng(2).integers(4, 400, tensors).tolist()
    for number, size in enumerate(sizes):
        writer.add(b"encoder/layer_%05d/bias" % number, (size,))
    middling = max(2, tensors // 100)
    columns = max(1, (nbytes // 2 // 4 - sum(sizes)) // middling // 64)
    for number in range(middling):
        writer.add(b"decoder/layer_%03d/kernel" % number, (64, columns), values=small if number % 2 else None)
    writer.add(b"global_step", (), INT64)


def build_adam(writer: CheckpointWriter, nbytes: int, tensors: int) -> None:
    """Add the same tensors, every other one of medium size with values as small as an optimizer's second moments."""
    build_mixed(writer, nbytes, tensors, Values(1e-9, 3, nbytes))


def build_one(writer: CheckpointWriter, nbytes: int, tensors: int) -> None:
    """Add one tensor."""
    writer.add(b"weights", (tensors, nbytes // 4 // tensors))


def build_many(writer: CheckpointWriter, nbytes: int, tensors: int) -> None:
    """Add equal tensors."""
    for number in range(tensors):
        writer.add(b"layer_%05d/weights" % number, (nbytes // 4 // tensors,))


_ROLES = (
    (b"attention/self/query/kernel", 2),
    (b"attention/output/LayerNorm/gamma", 1),
    (b"intermediate/dense/bias", 1),
    (b"conv/depthwise_kernel", 3),
    (b"mixture/router/expert_scale", 0),
)


_SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (  # by rank
    ((),),
    ((4,), (16,)),
    ((2, 3), (4, 4), (1, 8)),
    ((2, 2, 2), (1, 3, 4)),
)


def tiny_name(number: int) -> bytes:
    """Return the name of one of a million tensors.

    Example:
        >>> tiny_name(1234)
        b'model/layer_0001/block_03/mixture/router/expert_scale_001234'
    """
    return b"model/layer_%04d/block_%02d/%s_%06d" % (number // 1000, number // 80 % 12, _ROLES[number % 5][0], number)


def build_million(writer: CheckpointWriter, nbytes: int, tensors: int) -> None:
    """Add tensors of at most 16 elements, every hundredth of them int64. ``nbytes`` is not used."""
    del nbytes
    for number in range(tensors):
        choices = _SHAPES[_ROLES[number % 5][1]]
        dtype = INT64 if number % 100 == 57 else FLOAT32
        writer.add(tiny_name(number), choices[number // 5 % len(choices)], dtype)


def build_rows(writer: CheckpointWriter, nbytes: int, tensors: int) -> None:
    """Add a tensor in slices of whole rows."""
    _add_square(writer, nbytes, tensors, axis=0)


def build_columns(writer: CheckpointWriter, nbytes: int, tensors: int) -> None:
    """Add a tensor in slices of whole columns."""
    _add_square(writer, nbytes, tensors, axis=1)


def _add_square(writer: CheckpointWriter, nbytes: int, tensors: int, axis: int) -> None:
    side = math.isqrt(nbytes // 4 // tensors) // PARTS * PARTS
    for number in range(tensors):
        writer.add_partitioned(b"embedding_%02d" % number, (side, side), axis)


BUILDERS: dict[str, Callable[[CheckpointWriter, int, int], None]] = {
    "mixed": build_mixed,
    "adam": build_adam,
    "one": build_one,
    "many": build_many,
    "eight": build_mixed,
    "million": build_million,
    "rows": build_rows,
    "columns": build_columns,
}


def build(name: str, prefix: str, nbytes: int, tensors: int) -> dict[str, int]:
    """Make an input; return its bytes of payload and its number of rows."""
    writer = CheckpointWriter(nbytes)
    BUILDERS[name](writer, nbytes, tensors)
    return writer.write(prefix)


if __name__ == "__main__":
    print(json.dumps(build(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
