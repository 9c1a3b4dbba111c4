from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.integers import IntegerCaster
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import CastStats, StatsTable

NAMES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
PAIRS = list(permutations(NAMES, 2))


def cast(values: Any, target: str, how: OnOverflow = "inf", starts: Any = (0,)) -> tuple[list[int], StatsTable]:
    found = np.full(len(values), 77, target)
    bits = values.view(f"u{values.itemsize}")
    table = IntegerCaster(values.dtype.name, target, how).cast(bits, found.view(f"u{found.itemsize}"), starts)
    return found.tolist(), table


def plain(value: int, target: str, how: str) -> tuple[int, bool]:
    """Cast one number with the integers of Python, which have no end."""
    info = np.iinfo(target)
    if info.min <= value <= info.max:
        return value, False
    if how == "clamp":
        return min(max(value, info.min), info.max), True
    low = value % (1 << info.bits)
    return low - (1 << info.bits) if low > info.max else low, True


@given(st.data(), st.sampled_from(PAIRS), st.sampled_from(["inf", "clamp", "error", "keep"]))
def test_any_numbers(data: st.DataObject, pair: tuple[str, str], how: OnOverflow) -> None:
    source, target = np.iinfo(pair[0]), pair[1]
    number = st.one_of(st.integers(int(source.min), int(source.max)), st.sampled_from([0, source.min, source.max]))
    values = np.array(data.draw(st.lists(number, min_size=1)), pair[0])
    starts = sorted(data.draw(st.sets(st.integers(0, len(values) - 1))) | {0})
    found, table = cast(values, target, how, starts)
    expected = [plain(value, target, how) for value in values.tolist()]
    assert found == [value for value, _ in expected]
    parts = np.split(np.arange(len(values)), starts[1:])
    for part, stats in zip(parts, table, strict=True):
        largest = float(max(abs(values.tolist()[at]) for at in part))
        assert stats == CastStats(len(part), overflow=sum(expected[at][1] for at in part), largest=largest)


@pytest.mark.parametrize(("how", "expected"), [("inf", [-1, -128, 0, 127]), ("clamp", [127, -128, 0, 127])])
def test_what_does_not_fit(how: OnOverflow, expected: list[int]) -> None:
    found, table = cast(np.array([255, -128, 0, 127], np.int64), "int8", how)
    assert found == expected
    assert table[0] == CastStats(4, overflow=1, largest=255.0)


def test_blocks_are_one_tensor() -> None:
    values = np.arange(2 * BLOCK_ELEMENTS + 7, dtype=np.int64) - 5
    found, table = cast(values, "uint32")
    assert found[:6] == [2**32 - 5, 2**32 - 4, 2**32 - 3, 2**32 - 2, 2**32 - 1, 0]
    assert found[5:] == list(range(2 * BLOCK_ELEMENTS + 2))
    assert table[0] == CastStats(len(values), overflow=5, largest=2.0 * BLOCK_ELEMENTS + 1)


def test_nothing_to_cast() -> None:
    found, table = cast(np.empty(0, np.int16), "int32")
    assert not found
    assert list(table) == [CastStats()]
