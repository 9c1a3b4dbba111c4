"""Bundles made by hand, byte by byte, and what ``halve`` must make of them; neither uses the package's own writer.

Only the crc32c function and the table writer are shared with the package; both have tests against bytes that
TensorFlow wrote.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.support.tables import masked_crc, varint, write_table
from tests.support.wire import bytes_field, entry_proto, shape_proto, varint_field

FLOAT32, FLOAT64, INT32, STRING, INT64, FLOAT16 = 1, 2, 3, 7, 9, 19
WIDTHS = {FLOAT32: 4, FLOAT64: 8, INT32: 4, INT64: 8, FLOAT16: 2}

Cast = Callable[[NDArray[np.float32]], NDArray[np.float16]]


@dataclass(frozen=True)
class HandmadeTensor:
    """One tensor of a bundle.

    Attributes:
        name: its key.
        dtype: number of its element type.
        shape: size of each dimension.
        payload: its bytes.
        shard: which data file.
        gap: how many bytes nobody owns lie before it.
        crc: masked checksum in the entry; that of the payload where None.
        extra: encoded fields that close its entry.
    """

    name: bytes
    dtype: int
    shape: tuple[int, ...]
    payload: bytes
    shard: int = 0
    gap: int = 0
    crc: int | None = None
    extra: bytes = b""

    @property
    def stored_crc(self) -> int:
        """The masked checksum in its entry."""
        return int.from_bytes(masked_crc(self.payload), "little") if self.crc is None else self.crc

    def placed(self, offset: int) -> bytes:
        """Return its entry with a given offset."""
        shape = shape_proto(*self.shape)
        return entry_proto(self.dtype, shape, len(self.payload), self.stored_crc, offset, self.shard) + self.extra


def floats(name: str | bytes, values: ArrayLike, **place: Any) -> HandmadeTensor:
    """Return a float32 tensor; NaN payloads and signs are kept."""
    array = np.asarray(values, np.float32)
    return HandmadeTensor(_key(name), FLOAT32, array.shape, array.astype("<f4").tobytes(), **place)


def integers(name: str | bytes, values: ArrayLike, **place: Any) -> HandmadeTensor:
    """Return an int64 tensor."""
    array = np.asarray(values, np.int64)
    return HandmadeTensor(_key(name), INT64, array.shape, array.astype("<i8").tobytes(), **place)


def strings(name: str | bytes, values: Sequence[bytes], **place: Any) -> HandmadeTensor:
    """Return a string tensor of one dimension."""
    sizes = b"".join(struct.pack("<I", len(value)) for value in values)
    contents = masked_crc(sizes) + b"".join(values)
    crc = int.from_bytes(masked_crc(sizes + contents), "little")
    payload = b"".join(varint(len(value)) for value in values) + contents
    return HandmadeTensor(_key(name), STRING, (len(values),), payload, **{"crc": crc, **place})


def string_scalar(name: str | bytes, value: bytes) -> HandmadeTensor:
    """Return a string tensor without dimensions."""
    return replace(strings(name, [value]), shape=())


def _key(name: str | bytes) -> bytes:
    return name.encode() if isinstance(name, str) else name


@dataclass(frozen=True)
class HandmadeBundle:
    """A bundle: its tensors in the order in which their payloads lie in the data files.

    Attributes:
        tensors: in that order.
        num_shards: number of data files; those that no tensor is in are empty.
        header_extra: encoded fields that close the header.
    """

    tensors: Sequence[HandmadeTensor]
    num_shards: int = 1
    header_extra: bytes = b""
    offsets: dict[bytes, int] = field(default_factory=dict, compare=False)

    @property
    def header(self) -> bytes:
        """The encoded header."""
        return varint_field(1, self.num_shards) + bytes_field(3, varint_field(1, 1)) + self.header_extra

    def files(self) -> dict[str, bytes]:
        """Return the contents of every file by what follows the prefix in its name."""
        shards = [b""] * self.num_shards
        rows = [(b"", self.header)]
        for tensor in self.tensors:
            shards[tensor.shard] += b"\xee" * tensor.gap
            self.offsets[tensor.name] = len(shards[tensor.shard])
            rows.append((tensor.name, tensor.placed(len(shards[tensor.shard]))))
            shards[tensor.shard] += tensor.payload
        found = {f".data-{number:05d}-of-{self.num_shards:05d}": contents for number, contents in enumerate(shards)}
        return {**found, ".index": write_table(sorted(rows))}

    def write(self, prefix: str | Path) -> str:
        """Write every file, and return the prefix."""
        prefix = os.fspath(prefix)
        os.makedirs(os.path.dirname(prefix), exist_ok=True)
        for suffix, contents in self.files().items():
            Path(prefix + suffix).write_bytes(contents)
        return prefix

    def halved(self, cast: Collection[str] | None = None, drop: Collection[str] = (), how: Cast | None = None) -> Any:
        """Return the bundle that ``halve`` must make of this one.

        Args:
            cast: names of the tensors to cast; every float32 one by default.
            drop: names of those to leave out.
            how: the cast; numpy's by default.
        """
        how = how or numpy_cast

        def convert(tensor: HandmadeTensor) -> HandmadeTensor:
            chosen = tensor.dtype == FLOAT32 if cast is None else tensor.name.decode() in cast
            if not chosen:
                return replace(tensor, gap=0)
            halves = how(np.frombuffer(tensor.payload, "<f4"))
            return replace(tensor, gap=0, dtype=FLOAT16, payload=halves.astype("<f2").tobytes(), crc=None)

        kept = [convert(tensor) for tensor in self.tensors if tensor.name.decode() not in drop]
        return HandmadeBundle(kept, self.num_shards, self.header_extra)


def numpy_cast(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Cast as numpy does: nearest even, finite overflow to infinity."""
    with np.errstate(all="ignore"):
        return values.astype(np.float16)


def numpy_clamp(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Cast with finite overflow turned into the largest number."""
    finite = np.isfinite(values)
    return numpy_cast(np.where(finite, np.clip(values, -65504, 65504), values).astype(np.float32))


def files_of(directory: str | Path) -> dict[str, bytes]:
    """Return the contents of every file below a directory, by relative path."""
    root = Path(directory)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def all_below(directory: str | Path) -> list[str]:
    """Return everything below a directory, directories included."""
    root = Path(directory)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def bundle_files(prefix: str | Path) -> dict[str, bytes]:
    """Return the contents of a bundle's files by what follows the prefix in their names."""
    path = Path(prefix)
    return {
        file.name.removeprefix(path.name): file.read_bytes()
        for file in path.parent.iterdir()
        if file.name.startswith((path.name + ".index", path.name + ".data-"))
    }


def flip(path: str | Path, offset: int, mask: int = 0x10) -> None:
    """Change one byte of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def num_elements(shape: tuple[int, ...]) -> int:
    """Return the product of the dimensions."""
    return math.prod(shape)
