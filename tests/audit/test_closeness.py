"""Judged by ``numpy.isclose`` on float64, and by Python's own integers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tfbundle.audit.closeness import Comparison, Extreme, Tally, Tolerance, as_numbers, is_number
from tfbundle.format.dtypes import DataType, named_data_type
from tfbundle.format.slices import Box

SPECIAL = [0.0, -0.0, 1.0, -1.0, 1.001, 1e-45, 65504.0, 3.4e38, -3.4e38, math.inf, -math.inf, math.nan]
tolerances = st.sampled_from([0.0, 1e-9, 1e-3, 0.5, 2.0, 1e300])


EXACT = Tolerance()


def compare(left: NDArray[Any], right: NDArray[Any], tolerance: Tolerance = EXACT, dtypes: str = "") -> Tally:
    """Compare arrays of one dimension as one window; ``dtypes`` names both, where numpy lacks one."""
    names = dtypes.split() or (left.dtype.name, right.dtype.name)
    comparison = Comparison(named_data_type(names[0]), named_data_type(names[1]), tolerance)
    comparison.add(Box((0,), left.shape), left.view(np.uint8), right.view(np.uint8))
    return comparison.tally


@given(st.data(), tolerances, tolerances)
def test_floats_as_numpy(data: st.DataObject, rtol: float, atol: float) -> None:
    elements = st.one_of(st.sampled_from(SPECIAL), st.floats())
    names = data.draw(st.tuples(*[st.sampled_from(["float16", "float32", "float64"])] * 2))
    with np.errstate(all="ignore"):
        left, right = (np.asarray(data.draw(arrays("f8", 8, elements=elements)), name) for name in names)
        wide = left.astype(np.float64), right.astype(np.float64)
        equal = np.isclose(*wide, rtol=0, atol=0, equal_nan=True)
        within = np.abs(wide[0] - wide[1]) <= atol + rtol * np.abs(wide[1])
        close = equal | within & np.isfinite(wide[1])  # numpy.isclose, as it is since numpy 1.25
        apart = np.abs(wide[0] - wide[1])[~equal]
    tally = compare(left, right, Tolerance(rtol, atol))
    assert tally.num_different == np.count_nonzero(~close)
    assert tally.num_close == np.count_nonzero(close & ~equal)
    assert tally.first == (None if close.all() else (int(np.argmin(close)),))
    if len(apart):
        assert tally.largest_absolute is not None
        assert tally.largest_absolute.value == np.where(np.isnan(apart), np.inf, apart).max()
    else:
        assert tally.largest_absolute is tally.largest_relative is None


@given(st.data(), st.sampled_from([0.0, 0.5, 3.0]))
def test_integers_are_exact(data: st.DataObject, atol: float) -> None:
    kinds = data.draw(st.tuples(*[st.sampled_from(["int8", "uint8", "int32", "uint32", "int64", "uint64"])] * 2))

    def draw(kind: str) -> NDArray[Any]:
        low, high = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
        edges = [edge for edge in (low, low + 1, -1, 0, 1, 2**53, 2**53 + 1, high - 1, high) if low <= edge <= high]
        return data.draw(arrays(kind, 5, elements=st.one_of(st.sampled_from(edges), st.integers(low, high))))

    left, right = draw(kinds[0]), draw(kinds[1])
    apart = [abs(int(a) - int(b)) for a, b in zip(left, right, strict=True)]
    tally = compare(left, right, Tolerance(atol=atol))
    assert tally.num_different == sum(distance > atol for distance in apart)
    assert tally.num_close == sum(0 < distance <= atol for distance in apart)
    if any(apart):
        assert tally.largest_absolute is not None
        assert tally.largest_absolute.value == pytest.approx(max(apart), rel=1e-15)
        assert apart[tally.largest_absolute.where[0]] == pytest.approx(max(apart), rel=1e-15)


def test_integers_of_both_signs() -> None:
    tally = compare(np.array([-3, 3, -(2**63)], np.int64), np.array([3, -3, 2**63 - 1], np.int64))
    assert (tally.num_different, tally.largest_absolute) == (3, Extreme(2.0**64, (2,)))
    assert compare(np.array([-1], np.int64), np.array([2**64 - 1], np.uint64)).num_different == 1


def test_relative_to_the_right_number() -> None:
    left, right = np.array([10, 1], np.float32), np.array([8, 2], np.float32)
    tally = compare(left, right, Tolerance(rtol=0.25))
    assert (tally.num_close, tally.num_different) == (1, 1)
    assert tally.largest_absolute == Extreme(2.0, (0,))
    assert tally.largest_relative == Extreme(0.5, (1,))


def test_equal_numbers_of_other_bits() -> None:
    nans = np.array([0x7FC00000, 0x7FC00001, 0x80000000, 0x3F800000], np.uint32).view(np.float32)
    others = np.array([0xFFC00000, 0x7FC00001, 0x00000000, 0x3F800000], np.uint32).view(np.float32)
    assert compare(nans, others) == Tally(num_other_bits=2)
    strict = compare(nans, others, Tolerance(bits=True))
    assert (strict.num_different, strict.num_other_bits, strict.first) == (2, 2, (0,))
    assert strict.largest_absolute is None


@pytest.mark.parametrize("dtypes", ["float32 float32", "float32 float64", "float64 float32"])
def test_signalling_nans_are_no_warning(dtypes: str) -> None:
    signalling = {"float32": np.array([0x7F800001], "u4"), "float64": np.array([0x7FF0000000000001], "u8")}
    left, right = (signalling[name].view(name) for name in dtypes.split())
    assert compare(left, right).num_different == 0
    assert compare(left, np.ones(1, right.dtype)).num_different == 1


def test_infinities() -> None:
    left = np.array([np.inf, np.inf, np.inf, -np.inf], np.float32)
    right = np.array([np.inf, -np.inf, 1, np.nan], np.float32)
    tally = compare(left, right, Tolerance(rtol=1e300, atol=1e300))
    assert (tally.num_different, tally.first) == (3, (1,))
    assert tally.largest_absolute == Extreme(math.inf, (3,))  # NaN goes before infinities


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_complex(kind: str) -> None:
    left = np.array([1 + 1j, 3 + 4j, complex(math.nan, 0)], kind)
    right = np.array([1 + 1j, 0, complex(0, math.nan)], kind)
    tally = compare(left, right)
    assert (tally.num_different, tally.num_other_bits) == (1, 1)
    assert tally.largest_absolute == Extreme(5.0, (1,))
    assert compare(left[:2], np.array([1 + 1j, 3 + 4j], np.complex64)) == Tally()
    assert compare(left[:2], np.array([1 + 1j, 3 + 4j], np.complex128)) == Tally()


def test_every_bfloat16_is_the_number_it_stands_for() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = np.arange(1 << 16, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        expected = bits.view(ml_dtypes.bfloat16).astype(np.float64)
    found = as_numbers(bits.view(np.uint8), named_data_type("bfloat16"))
    assert np.array_equal(found, expected, equal_nan=True)


def test_bfloat16_and_float32() -> None:
    bits = np.array([0x3F80, 0x4000], np.uint16)
    tally = compare(bits, np.array([1, 2.5], np.float32), dtypes="bfloat16 float32")
    assert (tally.num_different, tally.largest_absolute) == (1, Extreme(0.5, (1,)))


def test_booleans_and_integers() -> None:
    assert compare(np.array([True, False]), np.array([1, 0], np.int32)) == Tally()
    assert compare(np.array([True, False]), np.array([False, False])).num_different == 1


def test_no_numbers() -> None:
    left, right = np.array([1, 2, 3], np.uint8), np.array([1, 5, 6], np.uint8)
    tally = compare(left, right, Tolerance(atol=100), "float8_e5m2 float8_e5m2")
    assert tally == Tally(num_different=2, first=(1,))


def test_windows_add_up() -> None:
    comparison = Comparison(named_data_type("float32"), named_data_type("float32"), Tolerance())
    zero = np.zeros(2, np.float32)
    for start, value in ((0, 1.0), (2, 3.0), (4, 2.0)):
        comparison.add(Box((7, start), (1, 2)), zero.view(np.uint8), np.array([0, value], np.float32).view(np.uint8))
    assert comparison.tally.num_different == 3
    assert comparison.tally.first == (7, 1)
    assert comparison.tally.largest_absolute == Extreme(3.0, (7, 3))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("float16 bfloat16 float32 float64 int8 uint64 bool complex64 qint8 quint16 qint32", True),
        ("string variant resource float8_e5m2 float8_e4m3fn float4_e2m1fn int4 uint2", False),
    ],
)
def test_what_is_a_number(names: str, expected: bool) -> None:
    dtypes: list[DataType] = [named_data_type(name) for name in names.split()]
    assert [is_number(dtype) for dtype in dtypes] == [expected] * len(dtypes)
