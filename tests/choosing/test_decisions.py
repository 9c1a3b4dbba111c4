from __future__ import annotations

import numpy as np

from tfbundle.choosing.decisions import Decision, Decisions

DECISIONS = [Decision("cast", "a", 19), Decision("drop", "b"), Decision("cast", "c", 14), Decision("keep", "a")] * 2


def test_decisions_in_columns_are_the_same() -> None:
    columns = Decisions.of(DECISIONS)
    assert list(columns) == list(columns[:]) == DECISIONS
    assert list(columns[2:4]) == DECISIONS[2:4]
    assert columns.are("cast").tolist() == [True, False, True, False] * 2
    assert columns.are("cast", "a").tolist() == [True, False, False, False] * 2
    assert not columns.are("cast", "no such reason").any()
    assert columns.count_reasons("cast") == {"a": 2, "c": 2}
    assert columns.count_reasons("copy") == {}


def test_no_decisions() -> None:
    assert list(Decisions.of([])) == []


def test_other_decisions_about_some() -> None:
    columns = Decisions.of(DECISIONS)
    other, third = Decision("keep", "new"), Decision("cast", "b", 2)
    changed = columns.replaced({other: [0, 7], third: [2]})
    assert list(changed) == [other, DECISIONS[1], third, *DECISIONS[3:7], other]
    assert list(columns) == DECISIONS
    assert list(columns.spread(np.array([1, 1, 3]))) == [DECISIONS[1], DECISIONS[1], DECISIONS[3]]
