from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tfbundle.casting.mean import Mean, has_mean

NATIVE = ["float16", "float32", "float64", "complex64", "complex128"]
REAL = ["float16", "float32", "float64"]


def mean_of(arrays: list[NDArray[Any]], dtype: str = "") -> NDArray[Any]:
    mean = Mean(dtype or arrays[0].dtype.name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for array in arrays:
            mean.add(np.ascontiguousarray(array).view(np.uint8))
        return mean.finish().view(arrays[0].dtype).copy()


def numpy_mean(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Numpy's mean in float64, rounded once; real and imaginary parts apart."""
    parts = [array.view(array.real.dtype) for array in arrays]
    with np.errstate(all="ignore"):
        stack = np.stack([part.astype(np.float64) for part in parts])
        mean: NDArray[Any] = np.mean(stack, axis=0).astype(parts[0].dtype)
        return mean.view(arrays[0].dtype)


def same_numbers(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Every bit but those of NaN."""
    left, right = left.view(left.real.dtype), right.view(right.real.dtype)
    nan = np.isnan(right)
    return bool((np.isnan(left) == nan).all()) and left[~nan].tobytes() == right[~nan].tobytes()


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 19])
def test_bits_of_numpy(dtype: str, count: int) -> None:
    random = np.random.default_rng(count)
    size = np.dtype(dtype).itemsize
    patterns = [random.integers(0, 256, 30_000 * size, dtype=np.uint8).view(dtype) for _ in range(count)]
    ordinary = [random.normal(0, 3, 30_000).astype(dtype) for _ in range(count)]
    for arrays in (patterns, ordinary):
        expected = numpy_mean(arrays)
        found = mean_of(arrays)
        if size // (1 + (np.dtype(dtype).kind == "c")) == 8:  # numpy's sums may be infinite where means are not
            finite = np.isfinite(expected.view(np.float64))
            found, expected = found.view(np.float64)[finite], expected.view(np.float64)[finite]
        assert same_numbers(found, expected)


@given(st.lists(st.lists(st.floats(width=32), min_size=4, max_size=4), min_size=1, max_size=9))
def test_bits_of_numpy_for_odd_numbers(rows: list[list[float]]) -> None:
    with np.errstate(all="ignore"):
        for dtype in ("float16", "float32"):
            arrays = [np.array(row).astype(dtype) for row in rows]
            assert same_numbers(mean_of(arrays), numpy_mean(arrays))


def test_signs_of_zeros_and_things_that_are_no_numbers() -> None:
    inf, nan = np.inf, np.nan
    first = np.array([-0.0, -0.0, inf, inf, nan, 1, -inf], np.float32)
    second = np.array([-0.0, 0.0, 1, -inf, 1, nan, -inf], np.float32)
    found = mean_of([first, second])
    assert not np.signbit(found[:2]).any()  # as in numpy
    np.testing.assert_array_equal(found, [0, 0, inf, nan, nan, nan, -inf])


def test_infinite_part_leaves_the_other_part_alone() -> None:
    found = mean_of([np.array([complex(1, np.inf)]), np.array([complex(3, 1)])])
    assert (found[0].real, found[0].imag) == (2, np.inf)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 1000])
def test_largest_numbers_have_a_mean(dtype: str, count: int) -> None:
    largest = np.finfo(dtype).max
    same = [np.array([largest, -largest], dtype)] * count
    assert mean_of(same).tolist() == pytest.approx([float(largest), -float(largest)], rel=1e-13)
    assert np.isfinite(mean_of(same)).all()


def test_sum_may_pass_beyond_float64_on_the_way() -> None:
    values = [1.5e308, 1.5e308, -1.2e308, 1.0]
    arrays = [np.array([value, 1.0, np.inf, np.nan]) for value in values]
    found = mean_of(arrays)
    expected = float(sum(map(Fraction, values)) / 4)
    assert found[0] == pytest.approx(expected, rel=1e-15)
    assert found[1] == 1
    assert found[2] == np.inf
    assert np.isnan(found[3])


def test_overflow_of_one_block_is_forgotten_in_the_next() -> None:
    mean = Mean("float64")
    for values in ([1.7e308, 1.7e308], [1.0, 2.0]):
        for value in values:
            mean.add(np.array([value]).view(np.uint8))
        assert mean.finish().view(np.float64)[0] == pytest.approx(sum(Fraction(value) for value in values) / 2)


def bfloat16(pattern: int) -> Fraction:
    return Fraction(float(np.array([pattern << 16], np.uint32).view(np.float32)[0]))


def nearest_bfloat16(exact: Fraction) -> int:
    """Return the pattern of the nearest of all non-negative finite ones, ties to even, by exact arithmetic."""
    low, high = 0, 0x7F7F
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bfloat16(middle) <= exact else (low, middle)
    return min((low, high), key=lambda pattern: (abs(bfloat16(pattern) - exact), pattern & 1))


@given(st.lists(st.integers(0, 0x7F7F), min_size=1, max_size=5))
def test_bfloat16_is_rounded_once(patterns: list[int]) -> None:
    numbers = [bfloat16(pattern) for pattern in patterns]
    found = mean_of([np.array([pattern, pattern | 0x8000], np.uint16) for pattern in patterns], "bfloat16")
    wide = np.float64(0)
    for number in numbers:
        wide += np.float64(float(number))
    expected = nearest_bfloat16(Fraction(float(wide / len(numbers))))
    assert found.tolist() == [expected, expected | (0x8000 if any(patterns) else 0)]


@pytest.mark.parametrize("sign", [0, 0x8000])
def test_bfloat16_just_beyond_a_tie(sign: int) -> None:
    """257 lies between 256 and 258; float32 would round 257 + 2^-21 to 257, which then goes to even."""
    assert [float(bfloat16(pattern)) for pattern in (0x4380, 0x4381, 0x4400, 0x4401)] == [256, 258, 512, 516]
    assert bfloat16(0x3600) == Fraction(2) ** -19
    for tiny, expected in ((0, 0x4380), (0x3600, 0x4381)):
        arrays = [np.array([pattern | sign], np.uint16) for pattern in (0x4401, 0x4400, 0, tiny)]
        assert mean_of(arrays, "bfloat16").tolist() == [expected | sign]
    for tiny, expected in ((0, 0x4382), (0x3600, 0x4381)):  # 259, and a little less
        arrays = [np.array([pattern | sign], np.uint16) for pattern in (0x4401, 0x4402, 0)]
        arrays.append(np.array([tiny | (sign ^ 0x8000)], np.uint16))
        assert mean_of(arrays, "bfloat16").tolist() == [expected | sign]


def test_bfloat16_beyond_numbers() -> None:
    found = mean_of([np.array([0x7F80, 0xFF80, 0x7FFF, 0x7F81, 0x7F7F], np.uint16)] * 3, "bfloat16")
    assert found[[0, 1, 4]].tolist() == [0x7F80, 0xFF80, 0x7F7F]
    assert all(pattern & 0x7FFF == 0x7FC0 for pattern in found[[2, 3]].tolist())


def test_dtypes_with_a_mean() -> None:
    assert all(map(has_mean, [*NATIVE, "bfloat16"]))
    assert not any(map(has_mean, ["int64", "bool", "string", "float8_e5m2", "qint8", "variant"]))
