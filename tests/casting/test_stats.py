from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.casting.stats import CastStats, StatsTable

counts = st.integers(0, 2**40)
stats = st.builds(CastStats, counts, counts, counts, counts, counts, counts, st.floats(0, 1e38))


def test_sum_adds_counts_and_keeps_the_largest() -> None:
    left = CastStats(1, 2, 3, 4, 5, 6, 7.0)
    right = CastStats(10, 20, 30, 40, 50, 60, 0.5)
    assert left + right == CastStats(11, 22, 33, 44, 55, 66, 7.0)


@given(stats)
def test_nothing_is_neutral(some: CastStats) -> None:
    assert some + CastStats() == CastStats() + some == some


@given(stats, stats, stats)
def test_order_and_grouping_do_not_matter(a: CastStats, b: CastStats, c: CastStats) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a


@given(stats)
def test_pickles(some: CastStats) -> None:
    assert pickle.loads(pickle.dumps(some)) == some


def fill(rows: list[CastStats]) -> StatsTable:
    table = StatsTable(len(rows))
    for number, row in enumerate(rows):
        for name, value in vars(row).items():
            getattr(table, name)[number] = value
    return table


ROWS = [CastStats(1, 2, 3, 4, 5, 6, 7.0), CastStats(2**40, 1, 1, 1, 1, 1, 0.5), CastStats()]
singles = st.builds(CastStats, counts, counts, counts, counts, counts, counts, st.floats(0, 1e308))


class TestTable:
    def test_starts_empty(self) -> None:
        table = StatsTable(2)
        assert len(table) == 2
        assert list(table) == [CastStats(), CastStats()]
        assert table.total() == CastStats()

    def test_rows_are_plain_numbers(self) -> None:
        table = fill(ROWS)
        assert [table[number] for number in range(3)] == list(table) == ROWS
        assert table[-1] == ROWS[-1]
        for stats in (table[0], next(iter(table)), table.total()):
            assert [type(value) for value in vars(stats).values()] == [int] * 6 + [float]

    def test_no_such_row(self) -> None:
        with pytest.raises(IndexError):
            StatsTable(1)[1]

    def test_columns(self) -> None:
        table = StatsTable(3)
        assert table.largest.dtype == np.float64
        names = ("elements", "overflow", "underflow", "subnormal", "inf", "nan")
        assert {getattr(table, name).dtype for name in names} == {np.dtype(np.int64)}

    @given(st.lists(singles, min_size=3, max_size=3), st.lists(singles, max_size=3), st.data())
    def test_adding_is_adding_row_by_row(
        self, rows: list[CastStats], others: list[CastStats], data: st.DataObject
    ) -> None:
        first = data.draw(st.integers(0, 3 - len(others)))
        table = fill(rows)
        table.add(first, fill(others))
        for number, other in enumerate(others):
            rows[first + number] += other
        assert list(table) == rows
        assert table.total() == sum(rows, CastStats())

    @pytest.mark.parametrize("first", [-1, 2, 3])
    def test_what_does_not_fit(self, first: int) -> None:
        table = StatsTable(3)
        with pytest.raises(ValueError, match="2 rows"):
            table.add(first, fill(ROWS[:2]))
        assert table.total() == CastStats()

    def test_no_rows(self) -> None:
        assert StatsTable(0).total() == CastStats()

    def test_pickles(self) -> None:
        assert list(pickle.loads(pickle.dumps(fill(ROWS)))) == ROWS
