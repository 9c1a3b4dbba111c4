from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfbundle
from tests.support.handmade import HandmadeBundle, flip, floats, integers, strings
from tfbundle import ChecksumError, FormatError
from tfbundle.blending.lanes import Lane, Window, iter_windows
from tfbundle.storage.buffers import WINDOW_NBYTES


@given(
    st.lists(st.sampled_from([8, 64, WINDOW_NBYTES - 8, WINDOW_NBYTES, 3 * WINDOW_NBYTES + 16]), min_size=1, max_size=9)
)
def test_windows_cover_every_row_once(sizes: list[int]) -> None:
    done = dict.fromkeys(range(5, 5 + len(sizes)), 0)
    for first, skip, bounds in iter_windows(5, np.array(sizes)):
        assert bounds[-1] <= WINDOW_NBYTES
        for row, (start, end) in enumerate(itertools.pairwise(bounds), first):
            assert done[row] == (skip if row == first else 0)
            done[row] += end - start
    assert list(done.values()) == sizes


TENSORS = [
    floats("a", [1, 2]),
    floats("b", [3], gap=5),
    strings("s", [b"x", b"yz"]),
    integers("n", [4]),
    floats("c", [5]),
]


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    HandmadeBundle(TENSORS).write(tmp_path / "m")
    bundle = tfbundle.open(tmp_path / "m")
    return Lane(bundle, np.array([bundle.index.row_number(key) for key in (b"c", b"b", b"a", b"s", b"n")]))


def test_rows_come_from_wherever_they_are(lane: Lane) -> None:
    found = lane.read(Window(0, 0, [0, 4, 8, 16]))
    assert found.view("<f4").tolist() == [5, 3, 1, 2]
    lane.check_numbers(np.arange(3))


def test_part_of_a_row(lane: Lane) -> None:
    assert lane.read(Window(2, 4, [0, 4])).view("<f4").tolist() == [2]
    with pytest.raises(ChecksumError, match="tensor 'a'"):  # of which the first half was not read
        lane.check_numbers(np.array([2]))


def test_strings_are_verified_and_given_in_windows(lane: Lane) -> None:
    payload = lane.check_structured(3)
    assert b"".join(map(bytes, lane.iter_structured(3, payload))) == TENSORS[2].payload


@pytest.mark.parametrize("at", [0, 3, 7])
def test_damaged_strings(lane: Lane, tmp_path: Path, at: int) -> None:
    flip(tmp_path / "m.data-00000-of-00001", 17 + at, 0x01)
    with pytest.raises(FormatError, match=r"m\.data-00000-of-00001: tensor 's'"):
        lane.check_structured(3)
