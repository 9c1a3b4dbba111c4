from __future__ import annotations

from itertools import pairwise

from tfbundle.graph.classes import Classes


def test_classes_grow_together() -> None:
    classes = Classes()
    classes.unite(["a", "b"])
    classes.unite(["c", "d"])
    assert classes.partial({"a", "b", "x"}) == set()
    assert classes.partial({"a", "x"}) == {"a"}
    classes.unite(["b", "c"])
    assert classes.partial({"a", "b"}) == {"a", "b"}
    assert classes.partial({"a", "b", "c", "d"}) == set()


def test_long_chains_take_no_time() -> None:
    classes = Classes()
    names = [str(number) for number in range(50_000)]
    for pair in pairwise(names):
        classes.unite(pair)
    assert classes.partial(set(names)) == set()
    assert len(classes.partial(set(names[1:]))) == len(names) - 1
