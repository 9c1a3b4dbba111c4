"""Both casts to 16 bits, on every mixture of numbers that takes a path of its own, and on everything there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.casting.plain import (
    BFLOAT16,
    DENSITIES,
    HALF,
    RANGES,
    Bits16,
    Bits32,
    Limits,
    assert_bits_equal,
    mixture,
    plain_bfloat16,
    plain_half,
    plain_stats,
    tensorflow_cast,
)
from tests.support.requirements import tensorflow
from tfbundle.casting.bfloat16 import Bfloat16Caster
from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.half import HalfCaster
from tfbundle.casting.narrow import NarrowCaster
from tfbundle.casting.policy import OnOverflow


class Target(NamedTuple):
    caster: Callable[[OnOverflow], NarrowCaster]
    plain: Callable[[Bits32], Bits16]
    limits: Limits
    infinity: int


TARGETS = {
    "float16": Target(HalfCaster, plain_half, HALF, 0x7C00),
    "bfloat16": Target(Bfloat16Caster, plain_bfloat16, BFLOAT16, 0x7F80),
}
CASTERS = {(name, how): TARGETS[name].caster(how) for name in TARGETS for how in ("inf", "clamp")}


def check(source: Bits32, name: str, how: str, starts: list[int]) -> None:
    """Cast with a caster that has cast other numbers before, and compare results and statistics."""
    to = TARGETS[name]
    target = np.full(len(source), 0xDEAD, np.uint16)
    table = CASTERS[name, how].cast(source, target, starts)
    expected = to.plain(source)
    if how == "clamp":
        overflow = (expected & 0x7FFF == to.infinity) & np.isfinite(source.view(np.float32))
        expected -= overflow.astype(np.uint16)
    assert_bits_equal(target, expected, source)
    parts = np.split(source, starts[1:])
    assert list(table) == [plain_stats(part, to.limits) for part in parts]
    assert table.total() == plain_stats(source, to.limits)


@pytest.mark.parametrize("how", ["inf", "clamp"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("kind", RANGES)
def test_each_kind_of_number_at_each_density(kind: str, density: str, name: str, how: str) -> None:
    check(mixture(1, 5001, {kind: density}), name, how, [0])
    check(mixture(2, 5001, {kind: density}), name, how, [0, 1, 7, 2000, 2001, 5000])


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("small", DENSITIES)
@pytest.mark.parametrize("special", DENSITIES)
def test_small_numbers_among_large_ones(name: str, small: str, special: str) -> None:
    for kind in ("large", "inf", "nan"):
        for how in ("inf", "clamp"):
            shares = {kind: special, "small": small, "zero": "few", "small in bfloat16": "few"}
            check(mixture(3, 3001, shares), name, how, [0, 1500])


densities = st.dictionaries(st.sampled_from(list(RANGES)), st.sampled_from(list(DENSITIES)), max_size=4)
sizes = st.one_of(
    st.integers(1, 3000),
    st.sampled_from([BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS, BLOCK_ELEMENTS + 1, 2 * BLOCK_ELEMENTS + 3]),
)


@given(st.data(), st.sampled_from(list(CASTERS)), sizes, densities, st.integers(0, 2**32))
def test_any_mixture_in_any_segments(
    data: st.DataObject, caster: tuple[str, str], size: int, shares: dict[str, str], seed: int
) -> None:
    starts = sorted(data.draw(st.sets(st.integers(0, size - 1), max_size=20)) | {0})
    check(mixture(seed, size, shares), *caster, starts)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=70), st.sampled_from(list(CASTERS)), st.data())
def test_any_patterns(patterns: list[int], caster: tuple[str, str], data: st.DataObject) -> None:
    starts = sorted(data.draw(st.sets(st.integers(0, len(patterns) - 1))) | {0})
    check(np.array(patterns, np.uint32), *caster, starts)


@pytest.mark.parametrize("name", TARGETS)
def test_ten_thousand_tensors_in_one_block(name: str) -> None:
    source = mixture(4, 30000, {"small": "half", "tiny": "many", "zero": "many", "large": "many", "nan": "few"})
    check(source, name, "inf", list(range(0, 30000, 3)))


@pytest.mark.parametrize("name", TARGETS)
def test_starts_may_be_an_array(name: str) -> None:
    source, target = mixture(5, 100, {"small": "half"}), np.empty(100, np.uint16)
    table = TARGETS[name].caster("inf").cast(source, target, np.array([0, 50], np.intp))
    assert table.elements.tolist() == [50, 50]


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_to_cast(name: str) -> None:
    table = TARGETS[name].caster("inf").cast(np.empty(0, np.uint32), np.empty(0, np.uint16))
    assert [stats.elements for stats in table] == [0]


@pytest.mark.sweep
@pytest.mark.parametrize("name", TARGETS)
def test_every_pattern_is_what_tensorflow_makes_of_it(name: str) -> None:
    tensorflow()
    to, step = TARGETS[name], 1 << 24
    caster, target = to.caster("inf"), np.empty(1 << 24, np.uint16)
    for start in range(0, 1 << 32, step):
        source = np.arange(start, start + step, dtype=np.int64).astype(np.uint32)
        table = caster.cast(source, target)
        expected = tensorflow_cast(source, "float32", name)
        if name == "bfloat16":
            assert_bits_equal(target, plain_bfloat16(source), source)
            expected = np.where(source & 0x7FFFFFFF > 0x7F800000, target, expected)
        assert_bits_equal(target, expected, source)
        assert list(table) == [plain_stats(source, to.limits)]
