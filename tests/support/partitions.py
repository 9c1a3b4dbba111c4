"""Tensors cut into slices at random, and bundles that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.handmade import HandmadeBundle, HandmadeTensor
from tests.support.wire import bytes_field, varint_field

Extents = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Piece:
    """A box of a tensor: its stored extents, and the index that selects it."""

    extents: Extents
    where: tuple[slice, ...]


@st.composite
def partitions(draw: st.DrawFn, max_rank: int = 3) -> tuple[tuple[int, ...], list[Piece]]:
    """A shape, and boxes that make it up: the tensor is cut in two, then one of the pieces, and so on."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=max_rank)))
    boxes = [tuple((0, size) for size in shape)]
    for _ in range(draw(st.integers(0, 5))):
        number = draw(st.integers(0, len(boxes) - 1))
        axis = draw(st.integers(0, len(shape) - 1))
        start, size = boxes[number][axis]
        if size < 2:
            continue
        cut = draw(st.integers(1, size - 1))
        box = boxes.pop(number)
        boxes.append((*box[:axis], (start, cut), *box[axis + 1 :]))
        boxes.append((*box[:axis], (start + cut, size - cut), *box[axis + 1 :]))
    return shape, [_piece(draw, shape, box) for box in draw(st.permutations(boxes))]


def _piece(draw: st.DrawFn, shape: tuple[int, ...], box: Extents) -> Piece:
    """Spell some of the extents that span a dimension without a length."""
    extents = tuple(
        (0, -1) if (start, size) == (0, whole) and draw(st.booleans()) else (start, size)
        for (start, size), whole in zip(box, shape, strict=True)
    )
    return Piece(extents, tuple(slice(start, start + size) for start, size in box))


def slice_key(name: bytes, extents: Extents) -> bytes:
    """Encode a slice's key, for names without 00 and ff and numbers from -1 to 63 only."""
    numbers = bytes(0x80 + number if number >= 0 else 0x7F for extent in extents for number in extent)
    return b"\0" + name + b"\0\1\1" + bytes([len(extents)]) + numbers


def partitioned_bundle(
    name: str, values: NDArray[Any], dtype: int, pieces: list[Piece], shards: list[int]
) -> HandmadeBundle:
    """Return a bundle with one partitioned tensor of numbers, its slices spread over shards."""
    key = name.encode()
    slices = b"".join(bytes_field(7, _slice_proto(piece.extents)) for piece in pieces)
    tensors = [HandmadeTensor(key, dtype, values.shape, b"", crc=0, extra=slices)]
    for piece, shard in zip(pieces, shards, strict=True):
        part = values[piece.where]
        payload = np.ascontiguousarray(part).tobytes()
        tensors.append(HandmadeTensor(slice_key(key, piece.extents), dtype, part.shape, payload, shard))
    return HandmadeBundle(tensors, max(shards, default=0) + 1)


def _slice_proto(extents: Extents) -> bytes:
    def extent(start: int, length: int) -> bytes:
        return (varint_field(1, start) if start else b"") + (varint_field(2, length) if length >= 0 else b"")

    return b"".join(bytes_field(1, extent(start, length)) for start, length in extents)
