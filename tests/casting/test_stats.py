from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from tfbundle.casting.stats import CastStats

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
