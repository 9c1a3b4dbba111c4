from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfbundle
from tests.support.handmade import HandmadeBundle, HandmadeTensor, floats, integers, strings
from tests.support.wire import varint_field
from tfbundle.bundle import twins
from tfbundle.bundle.twins import find_twins, have_same_checksums, same_bytes
from tfbundle.format.naming import name_to_key

VALUES = np.random.default_rng(5).normal(size=(20, 7)).astype(np.float32)
SMALL = [floats(f"w{number:02d}", row) for number, row in enumerate(VALUES)]


def found(left: str, right: str, names: Sequence[str], *, quick: bool = False) -> list[str]:
    """Return the names that are told alike."""
    with tfbundle.open(left) as here, tfbundle.open(right) as there:
        rows = [np.array([side.index.row_number(name_to_key(name)) for name in names], int) for side in (here, there)]
        flags = (have_same_checksums if quick else find_twins)(here, there, *rows)
    return [name for name, flag in zip(names, flags.tolist(), strict=True) if flag]


NAMES = [tensor.name.decode() for tensor in SMALL]


def test_other_order_and_other_shards(tmp_path: Path) -> None:
    left = HandmadeBundle(SMALL).write(tmp_path / "a")
    order = (*range(12, 20), *range(12))
    moved = [floats(f"w{number:02d}", VALUES[number], shard=number % 2, gap=number) for number in order]
    right = HandmadeBundle(moved, 2).write(tmp_path / "b")
    assert found(left, right, NAMES) == NAMES
    assert found(left, right, NAMES[::-3]) == NAMES[::-3]


@given(st.data())
def test_a_changed_byte_is_noticed_whatever_the_window(data: st.DataObject) -> None:
    """One side is another bundle with right checksums, or a damaged one."""
    number, at = data.draw(st.integers(0, 19)), data.draw(st.integers(0, 27))
    payload = bytearray(SMALL[number].payload)
    payload[at] ^= 1 << data.draw(st.integers(0, 7))
    crc = SMALL[number].stored_crc if data.draw(st.booleans()) else None
    other = [*SMALL]
    other[number] = HandmadeTensor(SMALL[number].name, 1, (7,), bytes(payload), crc=crc)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        sides = HandmadeBundle(SMALL).write(f"{folder}/a"), HandmadeBundle(other).write(f"{folder}/b")
        window = data.draw(st.sampled_from([1, 4, 28, 100, 1 << 20]))
        monkeypatch.setattr(twins, "WINDOW_NBYTES", window)
        alike = found(sides[0], sides[1], NAMES)
        assert NAMES[number] not in alike
        hit = -1 if crc is None else (number * 28 + at) // window  # the rows there are left to others
        windows = [range(start // window, (start + 27) // window + 1) for start in range(0, 20 * 28, 28)]
        missing = {NAMES[number], *(name for name, reached in zip(NAMES, windows, strict=True) if hit in reached)}
        assert set(alike) == set(NAMES) - missing
        assert found(sides[1], sides[0], NAMES) == alike


def test_the_same_damage_on_both_sides_is_no_twin(tmp_path: Path) -> None:
    bundle = HandmadeBundle([floats("bad", [1, 2], crc=7), floats("good", [1, 2])])
    sides = bundle.write(tmp_path / "a"), bundle.write(tmp_path / "b")
    assert found(sides[0], sides[1], ["bad", "good"]) == ["good"]
    assert found(sides[0], sides[1], ["bad", "good"], quick=True) == ["bad", "good"]


def test_what_is_left_to_others(tmp_path: Path) -> None:
    tensors = [strings("s", [b"a"]), floats("empty", []), floats("odd", [1], extra=b"\x4a\x01x"), integers("i", [1])]
    sides = [HandmadeBundle(tensors).write(tmp_path / name) for name in "ab"]
    names = ["s", "empty", "odd", "i"]
    assert found(sides[0], sides[1], names) == ["i"]
    assert found(sides[0], sides[1], names, quick=True) == ["s", "empty", "i"]


def test_same_bytes_of_another_dtype_or_byte_order(tmp_path: Path) -> None:
    zeros = HandmadeBundle([floats("w", [0, 0])])
    left = zeros.write(tmp_path / "a")
    others = HandmadeBundle([integers("w", [0])]), HandmadeBundle(zeros.tensors, header_extra=varint_field(2, 1))
    for number, other in enumerate(others):
        right = other.write(tmp_path / f"b{number}")
        assert found(left, right, ["w"]) == found(left, right, ["w"], quick=True) == []


def test_missing_data_file(tmp_path: Path) -> None:
    sides = [HandmadeBundle(SMALL).write(tmp_path / name) for name in "ab"]
    (tmp_path / "b.data-00000-of-00001").unlink()
    assert found(sides[0], sides[1], NAMES) == []
    assert found(sides[0], sides[1], NAMES, quick=True) == NAMES


@given(st.binary(max_size=40), st.data())
def test_same_bytes(left: bytes, data: st.DataObject) -> None:
    right = bytearray(left)
    assert same_bytes(np.frombuffer(left, np.uint8), np.frombuffer(right, np.uint8))
    if left:
        right[data.draw(st.integers(0, len(left) - 1))] ^= 1
        assert not same_bytes(np.frombuffer(left, np.uint8), np.frombuffer(right, np.uint8))
