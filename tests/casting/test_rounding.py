from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.casting.deviations import assert_deviates, numbers, weights
from tests.casting.plain import Bits, plain_values
from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.casters import make_caster
from tfbundle.casting.deviation import Deviation
from tfbundle.casting.rounding import RoundingMeter
from tfbundle.casting.widen import Bfloat16Widener, HalfWidener, WidenCaster

WIDENERS: dict[str, type[WidenCaster]] = {"float16": HalfWidener, "bfloat16": Bfloat16Widener}
METERS = {name: RoundingMeter(widener()) for name, widener in WIDENERS.items()}
targets = pytest.mark.parametrize("target", WIDENERS)


def cast(source: Bits, target: str, how: str = "inf") -> Bits:
    result = np.empty(len(source), np.uint16)
    make_caster("float32", target, how).cast(source, result)  # type: ignore[arg-type]
    return result


def measure(source: Bits, result: Bits, target: str) -> Deviation:
    table = METERS[target].measure(source, result)
    assert table is not None
    assert len(table) == 1
    return table[0]


def check(source: Bits, target: str, how: str = "inf") -> None:
    result = cast(source, target, how)
    found = measure(source, result, target)
    assert_deviates(found, numbers(source, "float32"), numbers(result, target))
    if how == "inf":  # differences are exact
        errors = np.abs(plain_values(source, "float32") - plain_values(result, target))
        assert found.max_absolute == errors.max()
        assert found.rms == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-13)


@targets
@pytest.mark.parametrize("scale", [1e-40, 1e-38, 1e-20, 1e-7, 1e-4, 1.0, 1000.0])
@pytest.mark.parametrize("size", [1, 2, 3, 5001])
def test_weights(target: str, scale: float, size: int) -> None:
    check(weights(size, size, scale), target)


@targets
def test_bfloat16_reaches_further(target: str) -> None:
    source = weights(1, 999, 1e37)
    if target == "bfloat16":
        check(source, target)
    check(source, target, "clamp")


@targets
@pytest.mark.parametrize("every", [1, 2, 100])
def test_zeros(target: str, every: int) -> None:
    source = weights(2, 1000)
    source[::every] = 0
    source[::7] &= 0x80000000
    check(source, target)


@targets
def test_subnormal_singles_among_others(target: str) -> None:
    source = np.array([0, 1, 2, 3, 0x80000001, 0x007FFFFF, 0x00400000, 0x00800000, 0x3F800001, 0x80000000], np.uint32)
    check(source, target)
    assert measure(source, cast(source, target), target).first_exponent == -149


@targets
def test_every_exponent(target: str) -> None:
    source = np.arange(1 << 13, 0x47700000, 123456, dtype=np.uint32)
    check(source, target)


@targets
def test_what_is_exact_deviates_not_at_all(target: str) -> None:
    source = np.array([1, -2, 0, 0.375, 96], np.float32).view(np.uint32)
    assert measure(source, cast(source, target), target) == Deviation(
        5, 1, first_exponent=-2, exponents=(1, 0, 1, 1, 0, 0, 0, 0, 1)
    )


@targets
@pytest.mark.parametrize("size", [65535, 65536, 65537, BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS])
def test_sizes(target: str, size: int) -> None:
    """The largest errors are in the first part, then in the last."""
    source = weights(size, size, 1e-2)
    for place in (0, size - 1):
        source[place] = np.float32(3.001).view(np.uint32)
        result = cast(source, target)
        found = measure(source, result, target)
        before, after = plain_values(source, "float32"), plain_values(result, target)
        errors = np.abs(after - before)
        nonzero = before != 0
        assert found.compared == size
        assert found.max_absolute == errors.max()
        assert found.max_relative == pytest.approx((errors[nonzero] / np.abs(before[nonzero])).max(), rel=1e-6)
        assert found.rms == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-13)
        exponents = np.frexp(before[nonzero])[1] - 1
        assert found.exponents == tuple(np.bincount(exponents - exponents.min()).tolist())
        assert found.first_exponent == exponents.min()


@targets
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 65535, 65536, 99999])
def test_infinity_and_nan_are_not_for_it(target: str, bad: float, place: int) -> None:
    source = weights(5, 100000)
    result = cast(source, target)
    result_bad = result.copy()
    result_bad[place] = cast(np.array([bad], np.float32).view(np.uint32), target)[0]
    assert METERS[target].measure(source, result_bad) is None
    source[place] = np.float32(bad).view(np.uint32)
    assert METERS[target].measure(source, result) is None
    assert METERS[target].measure(source, result_bad) is None


@given(st.lists(st.tuples(st.floats(-1e4, 1e4, width=32), st.floats(-6e4, 6e4, width=16)), min_size=1, max_size=50))
def test_results_that_no_cast_made(pairs: list[tuple[float, float]]) -> None:
    source = np.array([x for x, _ in pairs], np.float32).view(np.uint32)
    result = np.array([y for _, y in pairs], np.float16).view(np.uint16)
    with np.errstate(all="raise"):
        table = METERS["float16"].measure(source, result)
    before, after = numbers(source, "float32"), numbers(result, "float16")
    if table is None:
        assert max(abs((y - x) / x) for x, y in zip(before, after, strict=True) if x) > 3.4e38
    else:
        assert_deviates(table[0], before, after)


def test_sources_stay_as_they_were() -> None:
    source = weights(1, 1000)
    result = cast(source, "float16")
    before = source.copy(), result.copy()
    source.flags.writeable = result.flags.writeable = False
    measure(source, result, "float16")
    assert np.array_equal(source, before[0])
    assert np.array_equal(result, before[1])


def test_nothing() -> None:
    assert measure(np.empty(0, np.uint32), np.empty(0, np.uint16), "float16") == Deviation()
