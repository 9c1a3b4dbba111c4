from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.casting.plain import add_stats
from tfbundle.casting.deviation import Deviation, DeviationTable
from tfbundle.casting.stats import CastStats, StatsTable

counts = st.integers(0, 2**40)
stats = st.builds(CastStats, counts, counts, counts, counts, counts, counts, st.floats(0, 1e38))


@given(stats)
def test_pickles(some: CastStats) -> None:
    assert pickle.loads(pickle.dumps(some)) == some


def fill(rows: list[CastStats]) -> StatsTable:
    table = StatsTable(len(rows))
    for number, row in enumerate(rows):
        for name, value in vars(row).items():
            if name != "deviation":
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
            assert [type(value) for value in vars(stats).values()] == [int] * 6 + [float, type(None)]

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
            rows[first + number] = add_stats(rows[first + number], other)
        assert list(table) == rows
        assert table.total() == add_stats(CastStats(), *rows)

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

    def test_deviations_go_along(self) -> None:
        part, table = fill(ROWS[:1]), fill(ROWS)
        part.deviations = DeviationTable(1)
        part.deviations.compared[0], part.deviations.max_absolute[0] = 2, 0.5
        table.add(2, part)
        table.add_at(np.array([0]), part)
        for same in (table, pickle.loads(pickle.dumps(table))):
            found = [row.deviation for row in same]
            assert [row and (row.compared, row.max_absolute) for row in found] == [(2, 0.5), (0, 0.0), (2, 0.5)]
            assert same[1].deviation == Deviation()
            total = same.total().deviation
            assert total is not None
            assert (total.compared, total.max_absolute) == (4, 0.5)
        assert fill(ROWS).total().deviation is None
