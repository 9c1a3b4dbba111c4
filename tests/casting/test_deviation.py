from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.casting.deviation import Deviation, DeviationTable

sizes = st.integers(0, 2**40)
errors = st.floats(0, 1.7e308)
magnitudes = st.floats(1e-300, 1e300)
histograms = st.tuples(st.integers(-160, 100), st.lists(st.integers(1, 2**40), max_size=5))
singles = st.builds(
    lambda compared, zeros, absolute, relative, rms, histogram: Deviation(
        compared,
        zeros,
        absolute,
        relative,
        rms if compared else 0.0,
        histogram[0] if histogram[1] else 0,
        tuple(histogram[1]),
    ),
    sizes,
    sizes,
    errors,
    errors,
    magnitudes,
    histograms,
)


def fill(rows: list[Deviation]) -> DeviationTable:
    table = DeviationTable(len(rows))
    for number, row in enumerate(rows):
        for name in ("compared", "zeros", "max_absolute", "max_relative", "rms"):
            getattr(table, name)[number] = getattr(row, name)
        table.exponents.add_counts(number, row.first_exponent, np.array(row.exponents, np.int64))
    return table


def sum_of(rows: list[Deviation]) -> Deviation:
    """Add with the integers of Python, and squares relative to the largest."""
    compared = sum(row.compared for row in rows)
    bins: dict[int, int] = {}
    for row in rows:
        for exponent, count in enumerate(row.exponents, row.first_exponent):
            bins[exponent] = bins.get(exponent, 0) + count
    largest = max((row.rms for row in rows), default=0) or 1.0
    squares = math.fsum(row.compared * (row.rms / largest) ** 2 for row in rows)
    first, last = (min(bins), max(bins)) if bins else (0, -1)
    return Deviation(
        compared,
        sum(row.zeros for row in rows),
        max((row.max_absolute for row in rows), default=0.0),
        max((row.max_relative for row in rows), default=0.0),
        largest * math.sqrt(squares / max(compared, 1)),
        first,
        tuple(bins.get(exponent, 0) for exponent in range(first, last + 1)),
    )


def assert_close(found: Deviation, expected: Deviation) -> None:
    assert found.rms == pytest.approx(expected.rms, rel=1e-12, abs=0)
    assert dataclasses.replace(found, rms=0) == dataclasses.replace(expected, rms=0)


ROWS = [Deviation(1, 2, 3.0, 4.0, 5.0, -3, (1, 0, 2)), Deviation(7, 0, 0.5, 0.25, 0.125, 2, (9,)), Deviation()]


def test_starts_empty() -> None:
    table = DeviationTable(2)
    assert len(table) == 2
    assert list(table) == [Deviation(), Deviation()]
    assert table.total() == DeviationTable(0).total() == Deviation()


def test_rows_are_plain_numbers() -> None:
    table = fill(ROWS)
    assert [table[number] for number in range(3)] == list(table) == ROWS
    assert table[-2] == ROWS[-2]
    for row in (table[0], next(iter(table)), table.total()):
        assert [type(value) for value in vars(row).values()] == [int, int, float, float, float, int, tuple]
        assert {type(count) for count in row.exponents} == {int}


@pytest.mark.parametrize("row", [3, -4])
def test_no_such_row(row: int) -> None:
    with pytest.raises(IndexError):
        fill(ROWS)[row]


@given(st.lists(singles, min_size=3, max_size=3), st.lists(singles, max_size=3), st.data())
def test_adding_is_adding_row_by_row(rows: list[Deviation], others: list[Deviation], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 3 - len(others)))
    table = fill(rows)
    table.add(first, fill(others))
    for number, other in enumerate(others):
        rows[first + number] = sum_of([rows[first + number], other])
    for found, expected in zip(table, rows, strict=True):
        assert_close(found, expected)
    assert_close(table.total(), sum_of(rows))


@given(st.lists(singles, min_size=4, max_size=4), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_rows_may_be_named_more_than_once(others: list[Deviation], rows: list[int]) -> None:
    table = fill(ROWS)
    table.add_at(np.array(rows), fill(others))
    for number in range(3):
        parts = [other for other, row in zip(others, rows, strict=True) if row == number]
        assert_close(table[number], sum_of([ROWS[number], *parts]))


@pytest.mark.parametrize("rms", [5e-324, 1e-200, 1e300, 1.7e308])
def test_no_square_is_too_large_or_lost(rms: float) -> None:
    table = DeviationTable(2)
    for _ in range(5):
        table.add(0, fill([Deviation(compared=100, rms=rms), Deviation(compared=100, rms=rms)]))
    assert table[0].rms == pytest.approx(rms, rel=1e-12, abs=5e-324)
    assert table.total().rms == pytest.approx(rms, rel=1e-12, abs=5e-324)


def test_many_parts() -> None:
    table = DeviationTable(1)
    for _ in range(1000):
        table.add(0, fill([Deviation(compared=3, rms=0.1)]))
    assert table[0].rms == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("first", [-1, 2, 3])
def test_what_does_not_fit(first: int) -> None:
    table = DeviationTable(3)
    with pytest.raises(ValueError, match="2 rows"):
        table.add(first, fill(ROWS[:2]))
    assert table.total() == Deviation()


def test_pickles() -> None:
    assert list(pickle.loads(pickle.dumps(fill(ROWS)))) == ROWS
    assert pickle.loads(pickle.dumps(ROWS[0])) == ROWS[0]


def test_deviation_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROWS[0].rms = 1.0  # type: ignore[misc]
