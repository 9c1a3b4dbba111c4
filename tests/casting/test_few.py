from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.casting.few import find_few


@given(st.integers(1, 3000), st.data())
def test_few_are_found_and_many_are_not(size: int, data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(0, size - 1), max_size=100))
    flags = np.ones(3008, np.bool_)  # what comes after them is not looked at
    flags[:size] = False
    flags[sorted(places)] = True
    found = find_few(flags, size)
    if len(places) * 48 <= size:
        assert found is not None
        assert found.tolist() == sorted(places)
    else:
        assert found is None


@pytest.mark.parametrize("size", [1, 8, 100])
def test_none_at_all(size: int) -> None:
    found = find_few(np.zeros(104, np.bool_), size)
    assert found is not None
    assert not len(found)


def test_many_that_stand_together() -> None:
    flags = np.zeros(800, np.bool_)
    flags[80:104] = True  # few words
    assert find_few(flags, 800) is None
