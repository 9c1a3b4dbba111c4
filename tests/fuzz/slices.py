"""Slices: their keys, their boxes, what they make up, and the windows in which tensors are put together."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.fuzz.mutation import mutate_bytes
from tests.fuzz.target import Target, check_message
from tests.support.partitions import slice_key
from tfbundle.bundle.stream import TensorStream
from tfbundle.errors import BundleError
from tfbundle.format.disjoint import check_disjoint
from tfbundle.format.dtypes import FLOAT32
from tfbundle.format.naming import key_to_name
from tfbundle.format.ordered_code import decode_slice_name, encode_signed, encode_slice_key, rename_slice_key
from tfbundle.format.slices import (
    Box,
    check_covered,
    format_slice,
    parse_shape_and_slice,
    resolve_slice,
    whole_box,
)
from tfbundle.format.windows import fill_part, iter_windows, row_axis, unravel

Extents = tuple[tuple[int, int], ...]

_MOST_NAME_NBYTES = 40


class _Source:
    """Takes numbers and names from bytes; zeros follow them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, nbytes: int) -> bytes:
        piece = self._data[self._position : self._position + nbytes]
        self._position += nbytes
        return piece.ljust(nbytes, b"\0")

    def number(self, most: int) -> int:
        return self.take(1)[0] % (most + 1)

    def signed(self) -> int:
        return int.from_bytes(self.take(self.number(8)), "big", signed=True)


def check(data: bytes) -> None:
    """Take the bytes for a key, for the text of a slice, and for a choice of boxes."""
    _check_key(data)
    _check_text(data)
    _check_numbers(_Source(data))
    _check_boxes(_Source(data))


def _check_key(data: bytes) -> None:
    name = decode_slice_name(data)
    if name is not None:
        assert rename_slice_key(data, name) == data, "the same name makes another key"
        other = rename_slice_key(data, b"\0\xffx")
        assert decode_slice_name(other) == b"\0\xffx"
        assert rename_slice_key(other, name) == data


def _check_text(data: bytes) -> None:
    try:
        shape, extents = parse_shape_and_slice(key_to_name(data))
    except BundleError as error:
        check_message(error)
        return
    box = resolve_slice(extents, shape)
    text = " ".join([*map(str, shape), format_slice(extents)])
    assert parse_shape_and_slice(text) == (shape, extents), "written again it says something else"
    assert whole_box(shape).intersect(box) in (box, None)


def _check_numbers(source: _Source) -> None:
    """Compare the order of keys with the order of what they say, and numbers with a decoder of our own."""
    keys = []
    for _ in range(2):
        name = source.take(source.number(_MOST_NAME_NBYTES))
        extents = tuple((source.signed(), source.signed()) for _ in range(source.number(3)))
        key = encode_slice_key(name, extents)
        assert decode_slice_name(key) == name, "the name is lost"
        for number in (number for extent in extents for number in extent):
            assert _decode_signed(encode_signed(number)) == number, f"{number} is encoded as another number"
        if extents and all(-1 <= number <= 63 for extent in extents for number in extent) and not {0, 0xFF} & set(name):
            assert key == slice_key(name, extents)
        keys.append(((name, len(extents), extents), key))
    (one, left), (other, right) = keys
    assert (one < other, one == other) == (left < right, left == right), "keys sort otherwise than what they say"


def _decode_signed(data: bytes) -> int:
    """Decode a number: as many ones, in the first two bytes, as there are bytes, and then its own bits.

    For a negative number all bits are turned around.
    """
    is_negative = not data[0] & 0x80
    bits = "".join(f"{byte ^ (0xFF if is_negative else 0):08b}" for byte in data)
    assert bits.startswith("1" * len(data) + "0")
    magnitude = int(bits[len(data) + 1 :] or "0", 2)
    return ~magnitude if is_negative else magnitude


def _check_boxes(source: _Source) -> None:
    """Compare what is said of boxes with a picture of them."""
    shape = tuple(source.number(6) for _ in range(source.number(3)))
    elements = np.zeros(shape, int)
    parts: list[tuple[Extents, Box]] = []
    for _ in range(source.number(6)):
        extents = tuple((source.number(7) - 1, source.number(8) - 2) for _ in shape)
        box = _check_resolved(extents, shape)
        if box is not None:
            parts.append((extents, box))
            elements[box.within(whole_box(shape))] += 1
    boxes = [box for _, box in parts]
    disjoint = _passes(check_disjoint, boxes)
    assert disjoint == (elements.max(initial=0) <= 1), "check_disjoint is wrong"
    for one in boxes[:3]:
        for other in boxes[:3]:
            _check_intersection(one, other, shape)
    if disjoint:
        for wanted in [whole_box(shape), *boxes]:
            covered = bool((elements[wanted.within(whole_box(shape))] > 0).all())
            assert _passes(lambda found, wanted=wanted: check_covered(wanted, found), boxes) == covered
    _check_windows(shape, boxes, source.number(20) + 1, complete=disjoint and bool(elements.all()))


def _check_resolved(extents: Extents, shape: tuple[int, ...]) -> Box | None:
    inside = all(
        start >= 0 and start + (length if length != -1 else size) <= size and length >= -1
        for (start, length), size in zip(extents, shape, strict=True)
    )
    try:
        box = resolve_slice(extents, shape)
    except BundleError:
        assert not inside, "a slice within the tensor is refused"
        return None
    assert inside, "a slice outside is taken"
    return box


def _passes(check: object, boxes: list[Box]) -> bool:
    try:
        check(boxes)  # type: ignore[operator]
    except BundleError:
        return False
    return True


def _picture(box: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    picture = np.zeros(shape, bool)
    picture[box.within(whole_box(shape))] = True
    return picture


def _check_intersection(one: Box, other: Box, shape: tuple[int, ...]) -> None:
    shared = one.intersect(other)
    both = _picture(one, shape) & _picture(other, shape)
    expected = both if shared is None else _picture(shared, shape)
    assert (both == expected).all(), "two boxes share something else"
    assert both.any() == (shared is not None), "two boxes share something, or nothing"


class _Rows:
    """Gives the values of slices, as they would be read from files."""

    def __init__(self, values: dict[bytes, NDArray[np.float32]]) -> None:
        self._values = values

    def open_row(self, key: bytes) -> _Row:
        return _Row(self._values[key])


class _Row:
    swap = False

    def __init__(self, values: NDArray[np.float32]) -> None:
        self._rest = values.tobytes()

    def read_into(self, piece: memoryview) -> None:
        assert len(piece) <= len(self._rest), "more is read than there is"
        piece[:] = self._rest[: len(piece)]
        self._rest = self._rest[len(piece) :]

    def finish(self) -> None:
        assert not self._rest, "not all of a slice is read"


def _check_windows(shape: tuple[int, ...], boxes: list[Box], most: int, *, complete: bool) -> None:
    """Put a tensor together window by window."""
    values = np.arange(math.prod(shape), dtype=np.float32)
    whole = values.reshape(shape)
    windows = list(iter_windows(shape, most))
    order = [index for window in windows for index in np.ndindex(window.sizes)]
    assert len(order) == values.size, "windows leave something out"
    slices = [(bytes([number]), box) for number, box in enumerate(boxes)] if complete and shape else []
    slices = slices or [(b"", whole_box(shape))]
    rows = _Rows({key: whole[box.within(whole_box(shape))] for key, box in slices})
    stream = TensorStream(rows, FLOAT32, shape, slices)
    done = 0
    for window in windows:
        assert window.num_elements <= most or window.num_elements == math.prod(shape[row_axis(shape, most) + 1 :])
        out = np.zeros(window.num_elements * 4, np.uint8)
        stream.read_into(window, out)
        assert (out.view(np.float32) == values[done : done + window.num_elements]).all(), "other values in a window"
        assert unravel(window, 0) == window.starts
        done += window.num_elements
        again = np.zeros(window.num_elements)
        for part in filter(None, map(window.intersect, boxes)):
            fill_part(again, window, np.ones(part.num_elements), part)
        covered = sum(_picture(box, shape) for box in boxes)
        expected = np.zeros(shape, bool) | (covered > 0)
        assert (again.reshape(window.sizes) > 0).tolist() == expected[window.within(whole_box(shape))].tolist()
    stream.finish()


def seeds() -> Iterator[bytes]:
    """Yield keys, texts, and choices of boxes."""
    yield encode_slice_key(b"w", ((0, 2), (0, -1)))
    yield encode_slice_key(b"a\0b\xff\0\xff", ((0, 2**40), (-(2**63), 2**63 - 1)))
    yield b"4 3 0,2:-"
    yield b"9223372036854775807 2 -:0,1"
    yield b"10 0,10"
    yield bytes([3, 97, 0, 255, 1, 8, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 0xFF, 3, 97, 0, 255, 1, 1, 63, 1, 64])
    yield bytes([2, 4, 6, 2, 1, 6, 1, 1, 1, 4, 1, 5, 2, 5, 7])  # [4, 6] in two slices along the second dimension
    yield bytes([2, 4, 6, 2, 1, 4, 1, 8, 3, 4, 1, 8, 3])
    yield bytes([1, 5, 3, 1, 4, 3, 3, 5, 3, 2])
    yield bytes([3, 2, 3, 4, 2, 1, 4, 1, 5, 1, 6, 2, 3, 1, 5, 1, 6, 4])


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change some bytes."""
    if rng.random() < 0.3:
        out = bytearray(data or b"\0")
        out[rng.randrange(len(out))] = rng.randint(0, 9)
        return bytes(out)
    return mutate_bytes(data, rng)


TARGET = Target("slices", check, seeds, mutate, 256)
