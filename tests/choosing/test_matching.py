from __future__ import annotations

import pytest

from tfbundle.choosing.matching import match_in_any, match_names
from tfbundle.choosing.names import TensorNames
from tfbundle.format.object_graph import TrackableObject

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def test_words_and_the_tensors_that_are_called_so() -> None:
    names = ["norm", "layer_norm/gamma", "norm/w"]
    assert match_names(["norm"], names) == {"layer_norm/gamma": "norm"}
    assert match_names([r"re:\Anorm\Z"], names) == {"norm": r"re:\Anorm\Z"}
    assert match_names(["norm*"], names) == {"norm": "norm*", "norm/w": "norm*"}
    assert match_names(["embedding", "batchnorm"], names) == {}


OBJECTS = (
    TrackableObject((("model", 1), ("extra", 4)), (), ()),
    TrackableObject((("a", 2), ("b", 3)), (), ()),
    TrackableObject((), (f"extra/0{VALUE}",), (), ("dense/kernel",)),
    TrackableObject((), (f"model/b{VALUE}",), (), ("dense/bias",)),
    TrackableObject((("0", 2),), (), ()),
)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("model/*", ["model/b"]),  # keys go before everything else
        ("model/a", ["extra/0"]),
        ("dense/kernel", ["extra/0"]),
        ("dense/*", ["extra/0", "model/b"]),
        ("re:^dense/b", ["model/b"]),
    ],
)
def test_patterns_that_match_no_key_are_paths_or_match_own_names(pattern: str, found: list[str]) -> None:
    names = TensorNames([f"extra/0{VALUE}", f"model/b{VALUE}"], OBJECTS)
    assert sorted(match_names([pattern], names)) == [name + VALUE for name in found]


@pytest.mark.parametrize(
    "pattern", ["model/w", "*/w", "model/?", "re:/w$", "re:^model/w", f"model/w{VALUE}", "*VARIABLE_VALUE"]
)
def test_closing_of_an_object_based_key_may_be_left_out(pattern: str) -> None:
    assert list(match_names([pattern], [f"model/w{VALUE}"])) == [f"model/w{VALUE}"]


def test_no_other_part_may_be_left_out() -> None:
    with pytest.raises(ValueError, match="matches none"):
        match_names(["model/w"], [f"model/w/.OPTIMIZER_SLOT/optimizer/m{VALUE}", "model/w/.ATTRIBUTES/table-keys"])


def test_each_name_has_the_first_pattern_that_matches() -> None:
    found = match_names(["a*", "*b", "re:."], ["ab", "b", "c"])
    assert found == {"ab": "a*", "b": "*b", "c": "re:."}


def test_unmatched_pattern_names_the_closest() -> None:
    names = ["dense/kernel", "dense/bias", "global_step"]
    with pytest.raises(ValueError, match=r"'dense/kernal' matches none of the 3 tensors; close names: dense/kernel"):
        match_names(["dense/kernal"], names)


def test_unmatched_pattern_among_matching_ones() -> None:
    with pytest.raises(ValueError, match=r"'nope' matches none of the 1 tensors$"):
        match_names(["w", "nope"], ["w"])


def test_patterns_need_to_match_on_one_side_only() -> None:
    sides = [TensorNames([f"extra/0{VALUE}"], OBJECTS), TensorNames(["dense/kernel", "step"])]
    assert list(match_in_any(["dense/kernel"], sides)) == [f"extra/0{VALUE}", "dense/kernel"]
    assert match_in_any(["step", "norm"], sides) == {"step": "step"}
    with pytest.raises(ValueError, match=r"'stop' matches none of the 3 tensors; close names: step"):
        match_in_any(["*", "stop"], sides)
