from __future__ import annotations

from typing import Any

import pytest

from tfbundle.choosing.naming import Naming, make_rules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rename": (("re:(", "x"),)}, r"'re:\(' is no regular expression"),
        ({"rename": (("re:(w)", r"\2"),)}, r"--rename re:\(w\)=\\2: invalid group reference"),
        ({"map_rest": "forget"}, "map_rest is 'forget'"),
        ({"on_collision": "merge"}, "on_collision is 'merge'"),
        ({"map": {"a": 1}}, "takes 'a' to 1, expected text to text"),
        ({"map": {1: "a"}}, "takes 1 to 'a', expected text to text"),
        ({"map": {}}, "lists no tensor"),
        ({"map": {"a": "b"}, "add_prefix": "x/"}, "--add-prefix x/ applies to .* needs --map-rest keep"),
        ({"map": {"a": "b"}, "strip_prefix": "x/"}, "--strip-prefix x/ applies to .* needs --map-rest keep"),
        ({"map": {"a": "b"}, "rename": (("x", "y"),)}, "--rename x=y applies to .* needs --map-rest keep"),
    ],
)
def test_what_cannot_be_asked_for(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Naming(**arguments)


def test_one_prefix_or_several() -> None:
    assert Naming().prefixes == Naming(strip_prefix="").prefixes == ()
    assert Naming(strip_prefix="model/").prefixes == ("model/",)
    assert Naming(strip_prefix=("a/", "b/")).prefixes == ("a/", "b/")


@pytest.mark.parametrize(
    "naming",
    [
        Naming(rename=(("a", "b"),)),
        Naming(strip_prefix="a"),
        Naming(add_prefix="a"),
        Naming(map={"a": "a"}),
        Naming(map={}, map_rest="keep"),
    ],
)
def test_any_wish_is_a_change(naming: Naming) -> None:
    assert not naming.changes_nothing
    assert Naming().changes_nothing
    assert Naming(on_collision="replace", map_rest="keep").changes_nothing


def test_rules_in_the_order_in_which_they_apply() -> None:
    rules = make_rules(Naming(rename=(("x", "y"), ("re:[0-9]", "#")), strip_prefix=("a/", "b/")))
    assert [rule.label for rule in rules] == [
        "--strip-prefix a/", "--strip-prefix b/", "--rename x=y", "--rename re:[0-9]=#"
    ]  # fmt: skip
    assert [rule.apply("a/x1") for rule in rules] == ["x1", None, None, "a/x#"]
    assert [rule.apply("x") for rule in rules] == [None, None, "y", None]
