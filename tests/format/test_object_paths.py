from __future__ import annotations

import pytest

from tfbundle.format import object_paths
from tfbundle.format.object_graph import TrackableObject
from tfbundle.format.object_paths import VALUE_ENDING, find_keys, nearest_paths


def node(*children: tuple[str, int], key: str = "") -> TrackableObject:
    return TrackableObject(children, (key + VALUE_ENDING,) if key else (), ())


GRAPH = (
    node(("model", 1), ("optimizer", 2)),
    node(("layers", 3), ("a/b.c", 5), ("itself", 1)),
    node(("weights", 4)),
    node(("0", 5), ("root", 0)),
    node(("0", 5)),
    node(key="optimizer/weights/0"),
)


@pytest.mark.parametrize(
    "path",
    [
        "optimizer/weights/0",
        "model/layers/0",
        "model/a.Sb..c",
        "model/itself/itself/a.Sb..c",
        "model/layers/root/model/a.Sb..c",
    ],
)
def test_every_path_leads_to_the_value(path: str) -> None:
    assert find_keys(GRAPH, path) == (f"optimizer/weights/0{VALUE_ENDING}",)


@pytest.mark.parametrize("path", ["", "model", "model/", "/model", "model/layers/1", "model/a/b.c", "a.Sb..c"])
def test_other_paths_lead_nowhere_or_to_objects_without_value(path: str) -> None:
    assert find_keys(GRAPH, path) == ()


def test_no_graph() -> None:
    assert find_keys((), "a") == ()
    assert nearest_paths((), avoid=()) == {}


def test_nearest_paths() -> None:
    paths = {1: "model", 2: "optimizer", 3: "model/layers", 4: "optimizer/weights", 5: "model/a.Sb..c"}
    assert nearest_paths(GRAPH, avoid=()) == paths
    assert nearest_paths(GRAPH, avoid={1}) == {2: "optimizer", 4: "optimizer/weights", 5: "optimizer/weights/0"}
    assert nearest_paths(GRAPH, avoid={2}) == {1: "model", 3: "model/layers", 5: "model/a.Sb..c"}


def test_child_without_a_name() -> None:
    graph = (node(("", 1), ("w", 2)), node(("w", 3)), node(key="w"), node(key="inner"))
    assert nearest_paths(graph, avoid=()) == {1: "", 2: "w", 3: "/w"}
    assert find_keys(graph, "/w") == graph[3].checkpoint_keys


@pytest.mark.parametrize(
    ("length", "usual", "repetition", "expected"),
    [
        *(
            (0, 0, 0, 0),
            (1, 0, 0, 1),
            (2, 0, 0, 2),
            (4, 0, 0, 2),
            (5, 0, 0, 3),
            (9, 0, 0, 3),
            (10, 0, 0, 4),
            (99, 0, 0, 5),
        ),
        *((0, 0, 1, 3), (5, 0, 1, 4), (0, 1, 0, 3), (3, 1, 0, 3), (4, 1, 0, 4), (0, 3, 0, 5)),
    ],
)
def test_farthest_objects_of_a_long_chain_have_no_path(
    monkeypatch: pytest.MonkeyPatch, length: int, usual: int, repetition: int, expected: int
) -> None:
    """The paths have 1, 3, 5, 7 and 9 characters; the last one is that with which it is enough."""
    monkeypatch.setattr(object_paths, "MAX_PATHS_LENGTH", length)
    monkeypatch.setattr(object_paths, "_USUAL_LENGTH", usual)
    monkeypatch.setattr(object_paths, "_MAX_REPETITION", repetition)
    chain = [TrackableObject((("a", number + 1),), (), ()) for number in range(5)]
    paths = nearest_paths([*chain, TrackableObject((), (), ())], avoid=())
    assert paths == {number: "/".join("a" * number) for number in range(1, expected + 1)}
