from __future__ import annotations

import pytest

from tfbundle.choosing.names import SAVE_COUNTER, Found, TensorNames, known_names
from tfbundle.format.object_graph import TrackableObject

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def node(*children: tuple[str, int], key: str = "", own_name: str = "") -> TrackableObject:
    return TrackableObject(children, (key,) if key else (), (), (own_name,) if key else ())


KERAS_3 = (
    node(("model", 1), ("optimizer", 2), ("save_counter", 10)),
    node(("layers", 3), ("optimizer", 2)),
    node(("iterations", 4), ("learning_rate", 5), ("_trainable_variables", 6), ("_variables", 7)),
    node(("0", 8)),
    node(key=f"optimizer/iterations{VALUE}", own_name="adam/iteration"),
    node(key=f"optimizer/learning_rate{VALUE}", own_name="adam/learning_rate"),
    node(("0", 9)),
    node(("0", 4), ("1", 11)),
    node(("kernel", 9), ("moving_mean", 12)),
    node(key=f"optimizer/_trainable_variables/0{VALUE}", own_name="dense/kernel"),
    node(key=SAVE_COUNTER, own_name="save_counter"),
    node(key=f"optimizer/_variables/1{VALUE}", own_name="adam/dense_kernel_momentum"),
    node(key=f"model/layers/0/moving_mean{VALUE}", own_name="dense/moving_mean"),
)
KEYS = [GRAPH, *(key for found in KERAS_3 for key in found.checkpoint_keys)]
WEIGHT = f"optimizer/_trainable_variables/0{VALUE}"
NAMES = TensorNames(KEYS, KERAS_3)


def test_weights_under_the_optimizers_path_are_known_by_their_path_in_the_model() -> None:
    assert NAMES.model_paths == {WEIGHT: f"model/layers/0/kernel{VALUE}"}
    assert NAMES.forms(WEIGHT) == [
        WEIGHT, f"model/layers/0/kernel{VALUE}", "optimizer/_trainable_variables/0", "model/layers/0/kernel"
    ]  # fmt: skip


def test_own_names_are_those_of_the_model() -> None:
    assert NAMES.own_names == {
        WEIGHT: "dense/kernel",
        SAVE_COUNTER: "save_counter",
        f"model/layers/0/moving_mean{VALUE}": "dense/moving_mean",
    }


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (WEIGHT, WEIGHT),
        ("optimizer/_trainable_variables/0", WEIGHT),
        ("model/layers/0/kernel", f"model/layers/0/kernel{VALUE}"),
        (f"model/layers/0/kernel{VALUE}", f"model/layers/0/kernel{VALUE}"),
        ("model/optimizer/_trainable_variables/0", f"model/optimizer/_trainable_variables/0{VALUE}"),
        ("dense/kernel", f"model/layers/0/kernel{VALUE}"),
    ],
)
def test_found_by_any_path(text: str, place: str) -> None:
    assert NAMES.find(text) == Found(WEIGHT, place)


@pytest.mark.parametrize(
    "text",
    ["", "model", "kernel", "dense", f"dense/kernel{VALUE}", "model/layers/0/kernel/.ATTRIBUTES/X"],
)
def test_not_found(text: str) -> None:
    assert NAMES.find(text) is None


def test_own_name_of_two_variables_names_neither() -> None:
    graph = (node(("a", 1), ("b", 2)), node(key="a", own_name="w"), node(key="b", own_name="w"))
    assert TensorNames(["a", "b"], graph).find("w") is None


def test_bookkeeping() -> None:
    assert NAMES.bookkeeping == {GRAPH, SAVE_COUNTER}
    assert known_names(["a", SAVE_COUNTER]).bookkeeping == frozenset()


def test_value_that_is_not_stored_is_not_known() -> None:
    names = TensorNames([GRAPH], KERAS_3)
    assert names.find("model/layers/0/kernel") is None
    assert names.model_paths == names.own_names == {}


def test_names_without_a_graph_are_no_more_than_that() -> None:
    names = known_names(["b", f"a{VALUE}"])
    assert list(names) == ["b", f"a{VALUE}"]
    assert len(names) == 2
    assert names.find("a") == Found(f"a{VALUE}", f"a{VALUE}")
    assert known_names(names) is names
