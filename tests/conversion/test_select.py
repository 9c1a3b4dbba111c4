from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.conversion.select import (
    OPTIMIZER_STATE,
    Decision,
    Decisions,
    OptimizerState,
    Selection,
    decide,
    match_names,
)

FLOAT32, STRING, INT64, FLOAT16 = 1, 7, 9, 19
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def matches(pattern: str, *names: str) -> list[str]:
    return list(match_names([pattern], names))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("w", "w"),
        ("*", "w"),
        ("*", "a/b/c"),
        ("*/kernel", "a/b/kernel"),
        ("conv?/kernel", "conv1/kernel"),
        ("conv[12]/*", "conv2/bias"),
        ("conv[!3]/*", "conv2/bias"),
        ("a.b", "a.b"),
        ("re:kernel", "a/kernel_1"),
        ("re:^a/", "a/kernel"),
        ("re:kernel$", "a/kernel"),
        ("re:a|b", "xbx"),
        ("re:b$|^c", "a/b"),
        (r"re:conv\d+/", "x/conv12/kernel"),
        (r"re:(.)\1", "w/oo"),
        ("re:(?i)KERNEL", "a/kernel"),
        ("re:a.c", "xa-c"),
        ("*c", "a\nb/c"),
        ("re:c", "a\nb/c"),
        ("re:", "w"),
    ],
)
def test_pattern_matches(pattern: str, name: str) -> None:
    assert matches(pattern, name) == [name]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("w", "ww"),
        ("kernel", "a/kernel"),
        ("a/", "a/kernel"),
        ("conv?/kernel", "conv12/kernel"),
        ("conv[12]/*", "conv3/bias"),
        ("a.b", "axb"),
        ("KERNEL", "kernel"),
        ("re:^kernel", "a/kernel"),
        ("re:a$", "a/kernel"),
        ("re:^a$|^b$", "ab"),
    ],
)
def test_pattern_does_not_match(pattern: str, name: str) -> None:
    with pytest.raises(ValueError, match="matches none of the 1 tensors"):
        matches(pattern, name)


@pytest.mark.parametrize(
    "pattern", ["model/w", "*/w", "model/?", "re:/w$", "re:^model/w", f"model/w{VALUE}", "*VARIABLE_VALUE"]
)
def test_closing_of_an_object_based_key_may_be_left_out(pattern: str) -> None:
    assert matches(pattern, f"model/w{VALUE}") == [f"model/w{VALUE}"]


def test_no_other_part_may_be_left_out() -> None:
    with pytest.raises(ValueError, match="matches none"):
        matches("model/w", f"model/w/.OPTIMIZER_SLOT/optimizer/m{VALUE}", "model/w/.ATTRIBUTES/table-keys")


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


def test_malformed_expression() -> None:
    with pytest.raises(ValueError, match=r"pattern 're:\(' is no regular expression"):
        Selection(keep=("re:(",))


@pytest.mark.parametrize("field", ["keep", "only", "drop"])
def test_every_pattern_of_a_selection_must_match(field: str) -> None:
    patterns: dict[str, Any] = {field: ("nope",)}
    with pytest.raises(ValueError, match=r"'nope' matches none"):
        decide(["w"], np.array([FLOAT32], np.uint8), replace(Selection(), **patterns), ())


def test_unknown_treatment_of_optimizer_state() -> None:
    with pytest.raises(ValueError, match="optimizer is 'forget'"):
        Selection(optimizer="forget")  # type: ignore[arg-type]


@given(st.text(min_size=1).filter(lambda text: not set(text) & set("*?[") and not text.startswith("re:")))
def test_plain_name_matches_itself_only(name: str) -> None:
    assert matches(name, name, name + "x", "x" + name) == [name]


NAME = "scope/w"


@pytest.mark.parametrize(
    ("selection", "dtype", "is_state", "decision"),
    [
        (Selection(), FLOAT32, False, Decision("cast", "float32")),
        (Selection(), INT64, False, Decision("copy", "int64")),
        (Selection(), STRING, False, Decision("copy", "string")),
        (Selection(), FLOAT16, False, Decision("copy", "float16")),
        (Selection(keep=("*/w",)), FLOAT32, False, Decision("keep", "--keep */w")),
        (Selection(keep=("*/w",)), INT64, False, Decision("copy", "int64")),
        (Selection(only=("*/w",)), FLOAT32, False, Decision("cast", "float32")),
        (Selection(only=("other",)), FLOAT32, False, Decision("keep", "not in --only")),
        (Selection(only=("other",)), INT64, False, Decision("copy", "int64")),
        (Selection(only=("*",), keep=("re:w$",)), FLOAT32, False, Decision("keep", "--keep re:w$")),
        (Selection(drop=("*/w",)), FLOAT32, False, Decision("drop", "--drop */w")),
        (Selection(drop=("*/w",)), INT64, False, Decision("drop", "--drop */w")),
        (Selection(drop=("*/w",), keep=("*/w",)), FLOAT32, False, Decision("drop", "--drop */w")),
        (Selection(drop=("*/w",), only=("*/w",)), FLOAT32, False, Decision("drop", "--drop */w")),
        (Selection(), FLOAT32, True, Decision("keep", OPTIMIZER_STATE)),
        (Selection(), INT64, True, Decision("copy", "int64")),
        (Selection(optimizer="cast"), FLOAT32, True, Decision("cast", "float32")),
        (Selection(optimizer="cast"), INT64, True, Decision("copy", "int64")),
        (Selection(optimizer="cast", keep=("*/w",)), FLOAT32, True, Decision("keep", "--keep */w")),
        (Selection(optimizer="drop"), FLOAT32, True, Decision("drop", OPTIMIZER_STATE)),
        (Selection(optimizer="drop"), INT64, True, Decision("drop", OPTIMIZER_STATE)),
        (Selection(optimizer="drop"), FLOAT32, False, Decision("cast", "float32")),
        (Selection(optimizer="keep", drop=("*/w",)), FLOAT32, True, Decision("drop", "--drop */w")),
    ],
)
def test_decisions(selection: Selection, dtype: int, is_state: bool, decision: Decision) -> None:
    dtypes = np.array([FLOAT32, dtype], np.uint8)
    assert decide(["other", NAME], dtypes, selection, {NAME} if is_state else ())[1] == decision


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([FLOAT32, INT64, STRING]), min_size=1),
    st.sampled_from(["keep", "cast", "drop"]),
    st.sets(st.sampled_from("abcdef")),
)
def test_every_tensor_is_decided_and_only_float32_is_cast_or_kept(
    dtypes: dict[str, int], optimizer: OptimizerState, state: set[str]
) -> None:
    numbers = np.array(list(dtypes.values()), np.uint8)
    decisions = decide(dtypes, numbers, Selection(optimizer=optimizer), state)
    for name, decision in zip(dtypes, decisions, strict=True):
        if decision.action in ("cast", "keep"):
            assert dtypes[name] == FLOAT32
        if decision.action == "copy":
            assert dtypes[name] != FLOAT32


DECISIONS = [Decision("cast", "a"), Decision("drop", "b"), Decision("cast", "c"), Decision("keep", "a")] * 2


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
    assert list(Decisions.of([])) == list(decide([], np.zeros(0, np.uint8), Selection(), ())) == []
