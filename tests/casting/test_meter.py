from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.casting.deviations import assert_deviates, numbers, weights
from tests.casting.plain import FLOATS, Bits
from tests.casting.test_casters import INTEGERS, random_values, special_bits
from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.casters import make_caster
from tfbundle.casting.deviation import Deviation, DeviationTable
from tfbundle.casting.meter import DeviationMeter
from tfbundle.errors import UnsupportedError

PAIRS = list(permutations(FLOATS, 2))
INTEGER_PAIRS = list(permutations(INTEGERS, 2))
METERS = {pair: DeviationMeter(*pair) for pair in [*PAIRS, *INTEGER_PAIRS]}
pairs = pytest.mark.parametrize(("source", "target"), PAIRS)


def run(bits: Bits, pair: tuple[str, str], how: str = "inf", starts: Any = (0,)) -> tuple[Bits, DeviationTable]:
    result = np.empty(
        len(bits), f"u{FLOATS[pair[1]].bits().itemsize if pair[1] in FLOATS else np.dtype(pair[1]).itemsize}"
    )
    make_caster(*pair, how).cast(bits, result)  # type: ignore[arg-type]
    return result, METERS[pair].measure(bits, result, starts)


def check(bits: Bits, pair: tuple[str, str], how: str = "inf", starts: Any = (0,)) -> None:
    result, table = run(bits, pair, how, starts)
    assert len(table) == len(starts)
    parts = zip(np.split(bits, starts[1:]), np.split(result, starts[1:]), table, strict=True)
    for before, after, found in parts:
        assert_deviates(found, numbers(before, pair[0]), numbers(after, pair[1]))


@pairs
@pytest.mark.parametrize("how", ["inf", "clamp"])
def test_special_values(source: str, target: str, how: str) -> None:
    special = special_bits(source)
    bits = special[:: len(special) // 3000 + 1]
    check(bits, (source, target), how)
    check(bits, (source, target), how, [0, 1, 5, 1000])


@pairs
def test_random_bits(source: str, target: str) -> None:
    bits = random_values(source, 3000)
    check(bits, (source, target), "inf", list(range(0, 3000, 7)))
    finite = bits[np.isfinite(numbers(bits, source))]
    check(finite, (source, target), "clamp", [0, 200])


@given(st.data(), st.sampled_from(PAIRS), st.sampled_from(["inf", "clamp"]))
def test_any_segments(data: st.DataObject, pair: tuple[str, str], how: str) -> None:
    bits = FLOATS[pair[0]].bits
    patterns = st.one_of(
        st.sampled_from(special_bits(pair[0]).tolist()), st.integers(0, int(np.iinfo(bits).max)), st.just(0)
    )
    source = np.array(data.draw(st.lists(patterns, min_size=1, max_size=30)), bits)
    starts = sorted(data.draw(st.sets(st.integers(0, len(source) - 1))) | {0})
    check(source, pair, how, starts)


@pytest.mark.parametrize("pair", [(a, b) for a, b in PAIRS if b == "float64" or (b == "float32" and a != "float64")])
def test_widening_loses_nothing(pair: tuple[str, str]) -> None:
    _, table = run(special_bits(pair[0]), pair)
    assert (table[0].max_absolute, table[0].max_relative, table[0].rms) == (0, 0, 0)
    assert table[0].compared > 0


@given(st.data(), st.sampled_from(INTEGER_PAIRS), st.sampled_from(["inf", "clamp"]))
def test_integers(data: st.DataObject, pair: tuple[str, str], how: str) -> None:
    info = np.iinfo(pair[0])
    number = st.one_of(
        st.integers(int(info.min), int(info.max)),
        st.sampled_from([0, info.min, info.max]),
        st.integers(0, info.bits - 2).map(lambda bit: 1 << bit),
        st.integers(1, info.bits - 1).map(lambda bit: (1 << bit) - 1),
    )
    values = np.array(data.draw(st.lists(number, min_size=1, max_size=20)), pair[0])
    bits = values.view(f"u{values.itemsize}")
    result, table = run(bits, pair, how)
    before, after = values.tolist(), result.view(pair[1]).tolist()
    near = [abs(x - y) < 2**10 and abs(x) > 2**52 for x, y in zip(before, after, strict=True) if x != y]
    if not any(near):  # float64 tells these apart
        assert_deviates(table[0], before, after)
    assert (table[0].max_absolute == 0) >= (before == after)


@pytest.mark.parametrize("bit", [53, 54, 62, 63, 64])
def test_integers_are_not_rounded_up_to_the_next_exponent(bit: int) -> None:
    bits = np.array([(1 << bit) - 1, 1 << bit - 1], np.uint64)
    assert run(bits, ("uint64", "int64"))[1][0].exponents == (2,)
    assert run(bits, ("uint64", "int64"))[1][0].first_exponent == bit - 1


def test_relative_error_beyond_float32() -> None:
    """No cast makes that of it."""
    source, result = np.array([1], np.uint32), np.array([0x7800], np.uint16)
    assert METERS["float32", "float16"].measure(source, result)[0].max_relative == 2.0**15 / 2.0**-149 - 1


def test_ten_thousand_tensors() -> None:
    source = weights(1, BLOCK_ELEMENTS, 0.05)
    source[::50] = 0
    source[77] = 0x7F800000
    starts = np.arange(0, len(source), 26)
    result, table = run(source, ("float32", "float16"), "inf", starts)
    for row in (0, 1, 2, 5000, len(starts) - 1):
        part = slice(26 * row, 26 * row + 26)
        assert_deviates(table[row], numbers(source[part], "float32"), numbers(result[part], "float16"))
    assert table.compared.sum() == len(source) - 1
    assert_same_total(table, METERS["float32", "float16"].measure(source, result))


SIZES = [
    1,
    4095,
    4096,
    4097,
    3,
    20000,
    32768,
    5,
    4000,
    4000,
    4000,
    BLOCK_ELEMENTS + 1,
    2,
    1,
    4096,
    2 * BLOCK_ELEMENTS,
    7,
]


def assert_same_total(table: DeviationTable, other: DeviationTable) -> None:
    found, expected = table.total(), other.total()
    assert found.rms == pytest.approx(expected.rms, rel=1e-12)
    assert found.max_relative == pytest.approx(expected.max_relative, rel=1e-6)
    for name in ("compared", "zeros", "max_absolute", "first_exponent", "exponents"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("pair", [("float32", "float16"), ("float32", "bfloat16"), ("float64", "float32")])
@pytest.mark.parametrize("last", [3, 100000])
def test_tensors_of_all_sizes_beside_each_other(pair: tuple[str, str], last: int) -> None:
    sizes = [*SIZES, last]
    source = weights(3, sum(sizes))
    source[::97] = 0
    if pair[0] == "float64":
        source = (source.view(np.float32).astype(np.float64) * np.pi).view(np.uint64)
    starts = np.cumsum([0, *sizes[:-1]])
    result, table = run(source, pair, "inf", starts)
    assert table.compared.tolist() == sizes
    for row, (start, size) in enumerate(zip(starts.tolist(), sizes, strict=True)):
        part = slice(start, start + size)
        if size < 100:
            assert_deviates(table[row], numbers(source[part], pair[0]), numbers(result[part], pair[1]))
        alone = METERS[pair].measure(source[part], result[part])
        assert alone[0].exponents == table[row].exponents
        assert alone[0].rms == pytest.approx(table[row].rms, rel=1e-12)
        assert alone[0].max_absolute == table[row].max_absolute
    assert_same_total(table, METERS[pair].measure(source, result))


@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e30])
def test_one_infinity_in_a_large_tensor(bad: float) -> None:
    source = weights(4, 100000)
    source[54321] = np.float32(bad).view(np.uint32)
    result, table = run(source, ("float32", "float16"))
    others = np.arange(100000) != 54321
    alone = METERS["float32", "float16"].measure(source[others], result[others])
    found, expected = table[0], alone[0]
    assert found.compared == 99999
    assert found.rms == pytest.approx(expected.rms, rel=1e-12)
    assert found.max_absolute == expected.max_absolute
    assert sum(found.exponents) == sum(expected.exponents) + (bad == 1e30)


@pytest.mark.parametrize("scale", [2.0**-1040, 1e-300, 1e-160, 1e160, 1e300])
def test_no_square_of_a_float64_is_too_large_or_lost(scale: float) -> None:
    source = (np.random.default_rng(1).uniform(0.1, 1, 40) * scale).view(np.uint64)
    result, table = run(source, ("float64", "float16"), "clamp")
    before = numbers(source, "float64")
    assert_deviates(table[0], before, numbers(result, "float16"), rel=1e-12)
    assert table[0].rms > 0.1 * scale


@pairs
def test_caller_may_be_strict(source: str, target: str) -> None:
    bits = special_bits(source)
    bits.flags.writeable = False
    result, _ = run(bits, (source, target))
    with np.errstate(all="raise"):
        METERS[source, target].measure(bits, result)
        METERS[source, target].measure(bits, result, [0, 3])


@pairs
def test_nothing(source: str, target: str) -> None:
    assert list(run(np.empty(0, FLOATS[source].bits), (source, target))[1]) == [Deviation()]


@pytest.mark.parametrize(("source", "target"), [("float32", "float32"), ("float32", "int32"), ("string", "float16")])
def test_no_such_cast(source: str, target: str) -> None:
    with pytest.raises(UnsupportedError, match=f"cannot measure a cast of {source} to {target}"):
        DeviationMeter(source, target)
