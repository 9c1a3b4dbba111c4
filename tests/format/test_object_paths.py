from __future__ import annotations

import pytest

from tfbundle.format.object_graph import TrackableObject
from tfbundle.format.object_paths import MAX_PATHS_LENGTH, VALUE_ENDING, find_keys, nearest_paths


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


def test_a_long_chain_has_paths_as_far_as_they_take_little_room() -> None:
    count = 20_000
    chain = [node(("n", number + 1)) for number in range(count)] + [node(key="w")]
    paths = nearest_paths(chain, avoid=())
    assert paths[1000] == "/".join("n" * 1000)
    assert count not in paths
    assert sum(map(len, paths.values())) < MAX_PATHS_LENGTH + 17 * count + 2 * len(paths)


def test_very_many_objects_with_names_of_their_own_all_have_paths() -> None:
    wide = [node(*((f"layer_with_weights_{number}", number) for number in range(1, 50_000)))] + [node()] * 49_999
    assert len(nearest_paths(wide, avoid=())) == 49_999
