from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from tfbundle.format.object_moves import ObjectPath, plan_moves

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple)


def test_nothing_moves_where_nothing_must() -> None:
    assert plan_moves({}) == plan_moves({("a", "b"): ("a", "b")}) == []


def test_object_moves_with_all_below_it_or_they_move_for_themselves() -> None:
    both: dict[ObjectPath, ObjectPath] = {("a", "v"): ("x", "v"), ("a", "w"): ("x", "w")}
    assert plan_moves(both) == [(("a",), ("x",))]
    one_stays: dict[ObjectPath, ObjectPath] = {**both, ("a", "u"): ("a", "u")}
    assert sorted(plan_moves(one_stays)) == sorted(both.items())
    one_comes: dict[ObjectPath, ObjectPath] = {**both, ("b", "u"): ("x", "u")}
    assert sorted(plan_moves(one_comes)) == sorted(one_comes.items())


def moved(path: ObjectPath, moves: dict[ObjectPath, ObjectPath]) -> ObjectPath:
    """Return where a path leads to after moves that are all made at once: the one of the nearest object that moves."""
    for length in range(len(path), 0, -1):
        if path[:length] in moves:
            return (*moves[path[:length]], *path[length:])
    return path


@given(st.dictionaries(paths, paths, max_size=8))
def test_everything_gets_where_it_should(wanted: dict[ObjectPath, ObjectPath]) -> None:
    moves = plan_moves(wanted)
    assert len(dict(moves)) == len(moves) <= len(wanted)
    assert {old: moved(old, dict(moves)) for old in wanted} == wanted


@given(paths, paths, st.lists(paths, min_size=1, max_size=6, unique=True))
def test_one_move_is_enough_for_an_object_and_all_below_it(
    old: ObjectPath, new: ObjectPath, rest: list[ObjectPath]
) -> None:
    moves = plan_moves({(*old, *path): (*new, *path) for path in rest})
    assert len(moves) == (old != new)


def test_path_of_very_many_names_costs_its_length() -> None:
    deep = ("a",) * 5_000
    tracemalloc.start()
    moves = plan_moves({(*deep, "w"): ("x", *deep, "w"), ("b", *deep, "w"): ("b", *deep, "w")})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert moves == [(("a",), ("x", "a"))]
    assert peak < 20_000_000
