from __future__ import annotations

import math
import pickle
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.casting import exponents as module
from tfbundle.casting.exponents import FIRST, LAST, ExponentCounts, find_exponents, trim

Model = list[Counter[int]]

entries = st.lists(st.tuples(st.integers(0, 3), st.integers(FIRST, LAST)), max_size=30)


def shown(counter: Counter[int]) -> tuple[int, tuple[int, ...]]:
    if not counter:
        return 0, ()
    return min(counter), tuple(counter[exponent] for exponent in range(min(counter), max(counter) + 1))


def assert_same(found: ExponentCounts, model: Model) -> None:
    assert [found[row] for row in range(len(model))] == [shown(counter) for counter in model]
    assert found.total() == shown(sum(model, Counter()))


def fill(numbers: list[tuple[int, int]], num_rows: int = 4) -> tuple[ExponentCounts, Model]:
    found, model = ExponentCounts(num_rows), [Counter[int]() for _ in range(num_rows)]
    rows = np.array([row for row, _ in numbers], np.int64)
    found.count(rows, np.array([exponent for _, exponent in numbers], np.int64))
    for row, exponent in numbers:
        model[row][exponent] += 1
    return found, model


@given(st.floats(allow_nan=False, allow_infinity=False).filter(bool))
def test_exponent_is_that_of_the_largest_power_of_two_within(value: float) -> None:
    exponent = math.frexp(value)[1] - 1
    assert find_exponents(np.array([value])).tolist() == [min(max(exponent, -160), 160)]


@pytest.mark.parametrize(
    ("value", "exponent"),
    [(1.0, 0), (math.nextafter(2, 0), 0), (2.0, 1), (-0.5, -1), (2.0**-160, -160), (2.0**-161, -160), (2.0**200, 160)],
)
def test_known_exponents(value: float, exponent: int) -> None:
    assert find_exponents(np.array([value])).tolist() == [exponent]


def test_every_float32_is_told_apart() -> None:
    values = np.array([2.0**exponent for exponent in range(-149, 128)])
    assert find_exponents(values).tolist() == list(range(-149, 128))


@given(entries)
def test_counting(numbers: list[tuple[int, int]]) -> None:
    assert_same(*fill(numbers))


@given(st.lists(entries, max_size=5), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_adding(parts: list[list[tuple[int, int]]], rows: list[int]) -> None:
    found, model = fill([])
    for part in parts:
        other, other_model = fill(part)
        found.add_at(np.array(rows), other)
        for row, counter in zip(rows, other_model, strict=True):
            model[row] += counter
    assert_same(found, model)
    assert_same(pickle.loads(pickle.dumps(found)), model)


def test_consecutive_counts() -> None:
    found = ExponentCounts(3)
    found.add_counts(1, -160, np.array([1, 0, 2]))
    found.add_counts(1, 160, np.array([3]))
    found.add_counts(2, -160, np.array([4]))
    assert found[0] == (0, ())
    assert found[1] == (-160, (1, 0, 2, *[0] * 317, 3))
    assert found[2] == (-160, (4,))
    found.add_counts(0, 5, np.zeros(3, np.int64))
    assert found[0] == (0, ())


def test_many_numbers_of_few_tensors_and_few_of_many() -> None:
    rng = np.random.default_rng(3)
    for num_rows, size in ((2, 5000), (3000, 5000), (5000, 5000)):
        rows = np.sort(rng.integers(0, num_rows, size))
        numbers = list(zip(rows.tolist(), rng.integers(FIRST, LAST + 1, size).tolist(), strict=True))
        assert_same(*fill(numbers, num_rows))


def test_more_than_32_bits() -> None:
    found = ExponentCounts(1)
    for _ in range(3):
        found.add_counts(0, 7, np.array([2**40]))
    assert found[0] == (7, (3 * 2**40,))


def test_keys_of_many_rows() -> None:
    num_rows = (1 << 32) // 512 + 1
    found = ExponentCounts(num_rows)
    found.add_counts(num_rows - 1, 160, np.array([5]))
    assert found[num_rows - 1] == (160, (5,))
    assert found[num_rows - 2] == (0, ())
    almost = ExponentCounts(num_rows - 2)
    almost.add_counts(num_rows - 3, 160, np.array([5]))
    assert almost[num_rows - 3] == (160, (5,))


def test_what_is_pending_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PENDING", 100)
    found = ExponentCounts(1)
    for _ in range(1000):
        found.add_counts(0, 0, np.ones(10, np.int64))
        assert found._num_pending <= 100
    assert found[0] == (0, (1000,) * 10)


def test_a_tensor_takes_less_than_half_a_kilobyte() -> None:
    num_rows = 20000
    found = ExponentCounts(num_rows)
    for row in range(num_rows):
        found.add_counts(row, -30, np.ones(30, np.int64))
    found.total()
    stored = len(pickle.dumps(found)) + sum(sys.getsizeof(part) for part in found._pending)
    assert stored < 500 * num_rows


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([], (0, ())), ([0, 0], (0, ())), ([3], (-2, (3,))), ([0, 3, 0, 4, 0, 0], (-1, (3, 0, 4)))],
)
def test_trimming(counts: list[int], expected: tuple[int, tuple[int, ...]]) -> None:
    assert trim(np.array(counts, np.int64), -2) == expected
