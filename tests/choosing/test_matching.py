from __future__ import annotations

import pytest

from tfbundle.choosing.matching import match_names
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
