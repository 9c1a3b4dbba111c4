from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfbundle
from tests.support.handmade import FLOAT32, HandmadeBundle, HandmadeTensor, flip, floats, strings
from tests.support.partitions import Piece, partitioned_bundle, partitions
from tests.support.requirements import tensorflow
from tests.support.tables import masked_crc, varint
from tests.support.wire import varint_field
from tfbundle import ChecksumError, FormatError
from tfbundle.audit import values
from tfbundle.audit.closeness import Tally, Tolerance
from tfbundle.audit.values import are_comparable, compare_values

VARIANT = 21
BIG_ENDIAN = varint_field(2, 1)


def compare(left: str, right: str, name: str = "w") -> Tally:
    with tfbundle.open(left) as here, tfbundle.open(right) as there:
        assert are_comparable(here, there, name)
        return compare_values(here, there, name, Tolerance())


@given(partitions(), st.data())
def test_plain_and_partitioned(drawn: tuple[tuple[int, ...], list[Piece]], data: st.DataObject) -> None:
    """Numpy says how many numbers differ, how far they are apart, and where."""
    shape, pieces = drawn
    left = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    right = left.copy()
    for at in data.draw(st.lists(st.integers(0, left.size - 1), max_size=3)):
        right.reshape(-1)[at] += data.draw(st.integers(1, 9))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(values, "_WINDOW_ELEMENTS", data.draw(st.integers(1, 40)))
        sides = [
            partitioned_bundle("w", left, FLOAT32, pieces, [0] * len(pieces)).write(f"{folder}/a"),
            HandmadeBundle([floats("w", right)]).write(f"{folder}/b"),
        ]
        tally = compare(*sides)
        mirrored = compare(*sides[::-1])
    apart = np.abs(left - right)
    assert tally.num_different == mirrored.num_different == np.count_nonzero(apart)
    if apart.any():
        assert tally.first == tuple(np.argwhere(apart)[0].tolist())
        assert tally.largest_absolute is not None
        assert tally.largest_absolute.value == apart.max()
        assert apart[tally.largest_absolute.where] == apart.max()


def test_big_and_little_endian(tmp_path: Path) -> None:
    numbers = np.arange(6, dtype=np.float32)
    tensors = [HandmadeTensor(b"w", FLOAT32, (6,), numbers.astype(order).tobytes()) for order in (">f4", "<f4")]
    big = HandmadeBundle(tensors[:1], header_extra=BIG_ENDIAN).write(tmp_path / "big")
    little = HandmadeBundle(tensors[1:]).write(tmp_path / "little")
    other = HandmadeBundle([floats("w", [0, 1, 2, 3, 4, 9])]).write(tmp_path / "other")
    assert compare(big, little) == Tally()
    assert compare(big, other).largest_absolute == (4.0, (5,))


@pytest.mark.parametrize("slices", ["", "4 6 0,2:0,6 4 6 2,2:0,6", "4 6 0,4:0,3 4 6 0,4:3,3"])
def test_v1(tmp_path: Path, slices: str) -> None:
    tf = tensorflow()
    numbers = np.arange(24, dtype=np.float32).reshape(4, 6)
    words = slices.split()
    specs = [" ".join(words[at : at + 3]) for at in range(0, len(words), 3)] or [""]
    pieces: list[Any] = [numbers]
    if len(specs) > 1:
        pieces = np.split(numbers, 2, axis=0 if "0,2" in slices else 1)
    tf.raw_ops.SaveSlices(
        filename=str(tmp_path / "v1"), tensor_names=["w"] * len(specs), shapes_and_slices=specs, data=pieces
    )
    changed = numbers.copy()
    changed[3, 1] += 2
    same = HandmadeBundle([floats("w", numbers)]).write(tmp_path / "same")
    other = HandmadeBundle([floats("w", changed)]).write(tmp_path / "other")
    assert compare(str(tmp_path / "v1"), same) == compare(same, str(tmp_path / "v1")) == Tally()
    assert compare(str(tmp_path / "v1"), other).largest_absolute == (2.0, (3, 1))


def test_strings(tmp_path: Path) -> None:
    lists = [b"a", b"", b"c" * 300], [b"a", b"", b"c" * 300], [b"a", b"x", b""]
    sides = [HandmadeBundle([strings("w", words)]).write(tmp_path / str(at)) for at, words in enumerate(lists)]
    assert compare(sides[0], sides[1]) == Tally()
    assert compare(sides[0], sides[2]) == Tally(num_different=2, first=(1,))


def test_strings_of_equal_payload_size(tmp_path: Path) -> None:
    lists = [b"ab", b"c"], [b"ab", b"d"], [b"a", b"bc"]
    sides = [HandmadeBundle([strings("w", words)]).write(tmp_path / str(at)) for at, words in enumerate(lists)]
    assert compare(sides[0], sides[1]) == Tally(num_different=1, first=(1,))
    assert compare(sides[0], sides[2]) == Tally(num_different=2, first=(0,))


def variants(contents: list[bytes]) -> HandmadeTensor:
    crcs, payload = b"", b""
    for content in contents:
        covered = len(content).to_bytes(8, "little") + content
        stored = masked_crc(crcs + covered)
        crcs += covered + stored
        payload += varint(len(content)) + content + stored
    return HandmadeTensor(b"w", VARIANT, (len(contents),), payload, crc=int.from_bytes(masked_crc(crcs), "little"))


def test_variants_are_compared_whole(tmp_path: Path) -> None:
    lists = [b"one", b"two"], [b"one", b"two"], [b"one", b"too"], [b"one", b"three"]
    sides = [HandmadeBundle([variants(each)]).write(tmp_path / str(at)) for at, each in enumerate(lists)]
    assert all(tfbundle.verify(side).ok for side in sides)
    assert compare(sides[0], sides[1]) == Tally()
    for side in sides[2:]:
        assert compare(sides[0], side) == Tally(num_different=2, first=(0,))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("tensor", "offset"), [(floats("w", [1, 2]), 4), (strings("w", [b"ab"]), 6), (variants([b"x"]), 3)]
)
def test_damage_on_either_side(tmp_path: Path, tensor: HandmadeTensor, offset: int, side: int) -> None:
    sides = [HandmadeBundle([tensor]).write(tmp_path / name) for name in "ab"]
    flip(f"{sides[side]}.data-00000-of-00001", offset)
    with pytest.raises(FormatError, match=r"[cC]hecksum"):
        compare(*sides)


def test_the_same_damage_on_both_sides(tmp_path: Path) -> None:
    sides = [HandmadeBundle([floats("w", [1, 2], crc=1)]).write(tmp_path / name) for name in "ab"]
    with pytest.raises(ChecksumError):
        compare(*sides)


@pytest.mark.parametrize(
    ("left", "right", "expected"), [(1, 19, True), (1, 3, True), (1, 7, False), (1, 25, False), (25, 25, True)]
)
def test_comparable(tmp_path: Path, left: int, right: int, expected: bool) -> None:
    sides = [
        HandmadeBundle([HandmadeTensor(b"w", dtype, (0,), b"")]).write(tmp_path / str(at))
        for at, dtype in enumerate((left, right))
    ]
    with tfbundle.open(sides[0]) as here, tfbundle.open(sides[1]) as there:
        assert are_comparable(here, there, "w") == expected
