"""Boxes of partitioned tensors: where a slice lies in its tensor, and whether slices make up what is wanted.

Source: TensorFlow ``core/framework/tensor_slice.cc``, ``core/util/tensor_slice_set.cc``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tfbundle.errors import FormatError
from tfbundle.format.entries import Slice
from tfbundle.format.ordered_code import FULL_LENGTH

_DIMENSION = re.compile(r"[0-9]{1,19}", re.ASCII)
_EXTENT = re.compile(r"-|([0-9]{1,19}),([0-9]{1,19})", re.ASCII)


class Box(NamedTuple):
    """A box within a tensor: first index and number of elements along each dimension."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        """Product of the sizes."""
        return math.prod(self.sizes)

    def intersect(self, other: Box) -> Box | None:
        """Return what two boxes share, None if that is nothing.

        Example:
            >>> Box((0, 0), (2, 4)).intersect(Box((1, 2), (3, 9)))
            Box(starts=(1, 2), sizes=(1, 2))
        """
        starts = tuple(map(max, self.starts, other.starts))
        ends = tuple(map(min, self.ends, other.ends))
        sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
        return Box(starts, sizes) if all(size > 0 for size in sizes) else None

    @property
    def ends(self) -> tuple[int, ...]:
        """Index after the last along each dimension."""
        return tuple(start + size for start, size in zip(self.starts, self.sizes, strict=True))

    def within(self, outer: Box) -> tuple[slice, ...]:
        """Return the index that selects this box in an array that holds ``outer``."""
        return tuple(
            slice(start - origin, start - origin + size)
            for start, size, origin in zip(self.starts, self.sizes, outer.starts, strict=True)
        )


def whole_box(shape: Sequence[int]) -> Box:
    """Return the box that is all of a tensor."""
    return Box((0,) * len(shape), tuple(shape))


def resolve_slice(extents: Slice, shape: tuple[int, ...]) -> Box:
    """Return the box that stored extents mean in a tensor of that shape.

    Raises:
        FormatError: another rank than the tensor, or an extent that leaves it.

    Example:
        >>> resolve_slice(((0, 2), (0, -1)), (4, 3))
        Box(starts=(0, 0), sizes=(2, 3))
    """
    if len(extents) != len(shape):
        raise FormatError(f"Mismatching ranks: shape = {list(shape)}, slice = {format_slice(extents)}")
    sizes = tuple(dim if length == FULL_LENGTH else length for (_, length), dim in zip(extents, shape, strict=True))
    starts = tuple(start for start, _ in extents)
    for number, (start, size, dim) in enumerate(zip(starts, sizes, shape, strict=True)):
        if start < 0 or size < 0 or start + size > dim:
            raise FormatError(
                f"Extent in dimension {number} out of bounds: shape = {list(shape)}, slice = {format_slice(extents)}"
            )
    return Box(starts, sizes)


def format_slice(extents: Slice) -> str:
    """Return extents as TensorFlow prints them.

    Example:
        >>> format_slice(((0, 2), (0, -1)))
        '0,2:-'
    """
    return ":".join("-" if length == FULL_LENGTH else f"{start},{length}" for start, length in extents)


def parse_shape_and_slice(text: str) -> tuple[tuple[int, ...], Slice]:
    """Parse what a graph says of a part that it saves or restores: the tensor's shape, and the part's extents.

    Raises:
        FormatError: another form, or a part that is not within the tensor.

    Source: TensorFlow ``core/util/saved_tensor_slice_util.cc`` (``ParseShapeAndSlice``), ``TensorSlice::Parse``.

    Example:
        >>> parse_shape_and_slice("4 3 0,2:-")
        ((4, 3), ((0, 2), (0, -1)))
    """
    *dimensions, last = text.split(" ")
    if not dimensions:
        raise FormatError(f"Need least two elements in shape_and_slice specification: {text}")
    if not all(map(_DIMENSION.fullmatch, dimensions)):
        raise FormatError(f"Non numerical dimension in shape_and_slice: {text}")
    shape = tuple(map(int, dimensions))
    extents = tuple(_parse_extent(item, text) for item in last.split(":") if item)
    resolve_slice(extents, shape)
    return shape, extents


def _parse_extent(item: str, text: str) -> tuple[int, int]:
    match = _EXTENT.fullmatch(item)
    if match is None:
        raise FormatError(f"Expected a pair of numbers or '-' but got '{item}': string = {text}")
    start, length = (0, FULL_LENGTH) if item == "-" else (int(match[1]), int(match[2]))
    if not length:
        raise FormatError(
            f"Expected non-negative start and positive length but got start = {start}, length = 0: string = {text}"
        )
    return start, length


def check_covered(wanted: Box, boxes: Iterable[Box]) -> None:
    """Refuse a wanted box that disjoint boxes do not make up.

    Raises:
        FormatError: ``Does not have sufficient slices``.
    """
    shared = (wanted.intersect(box) for box in boxes)
    covered = sum(box.num_elements for box in shared if box is not None)
    if covered != wanted.num_elements:
        raise FormatError(
            f"Does not have sufficient slices for partitioned tensor to restore in slice_spec: {format_box(wanted)}: "
            f"{covered} of {wanted.num_elements} elements are stored"
        )


def format_box(box: Box) -> str:
    """Return a box as TensorFlow prints extents.

    Example:
        >>> format_box(Box((0, 2), (2, 3)))
        '0,2:2,3'
    """
    return format_slice(tuple(zip(box.starts, box.sizes, strict=True)))
