"""What a chain tells is told of the whole cast, whichever of its parts it happened in."""

from __future__ import annotations

import numpy as np
import pytest

from tfbundle.casting.bfloat16 import Bfloat16Caster
from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.chain import ChainCaster
from tfbundle.casting.half import HalfCaster
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.single import SingleCaster
from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.casting.widen import HalfWidener


def double_to_half(values: list[float], how: OnOverflow, starts: list[int]) -> tuple[list[float], StatsTable]:
    target = np.empty(len(values), np.uint16)
    caster = ChainCaster(SingleCaster("clamp"), HalfCaster(how))
    table = caster.cast(np.array(values).view(np.uint64), target, starts)
    return target.view(np.float16).tolist(), table


@pytest.mark.parametrize(("how", "most"), [("inf", np.inf), ("clamp", 65504.0)])
def test_overflow_in_either_part(how: OnOverflow, most: float) -> None:
    values = [1e300, -1e5, np.inf, 1e-300, 1e-30, 1e-6, 1.0]
    found, table = double_to_half(values, how, [0])
    assert found[:5] == [most, -most, np.inf, 0, 0]
    assert list(table) == [CastStats(7, overflow=2, underflow=2, subnormal=1, inf=1, largest=1e300)]


def test_each_tensor_by_itself() -> None:
    _, table = double_to_half([1e300, -1e5, np.inf, np.nan, 1e-300, 1e-30, 1e-6, 1.0], "inf", [0, 1, 2, 4, 6])
    assert list(table) == [
        CastStats(1, overflow=1, largest=1e300),
        CastStats(1, overflow=1, largest=1e5),
        CastStats(2, inf=1, nan=1),
        CastStats(2, underflow=2, largest=1e-30),
        CastStats(2, subnormal=1, largest=1.0),
    ]


def test_largest_is_that_of_the_source() -> None:
    """In between it would be rounded up."""
    value = 1 + 2.0**-24 + 2.0**-50
    assert double_to_half([value], "inf", [0])[1][0].largest == value


def test_more_than_a_block() -> None:
    source = np.tile(np.array([1.5, np.inf], np.float16).view(np.uint16), BLOCK_ELEMENTS)
    target = np.empty(len(source), np.uint16)
    table = ChainCaster(HalfWidener(), Bfloat16Caster()).cast(source, target, [0, BLOCK_ELEMENTS - 1])
    assert list(table) == [
        CastStats(BLOCK_ELEMENTS - 1, inf=BLOCK_ELEMENTS // 2 - 1, largest=1.5),
        CastStats(BLOCK_ELEMENTS + 1, inf=BLOCK_ELEMENTS // 2 + 1, largest=1.5),
    ]
    assert np.array_equal(target, np.tile(np.array([0x3FC0, 0x7F80], np.uint16), BLOCK_ELEMENTS))
