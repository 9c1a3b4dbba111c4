from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.deciding import decide
from tfbundle.choosing.decisions import NOT_SELECTED, OPTIMIZER_STATE, Decision
from tfbundle.choosing.select import OptimizerState, Selection
from tfbundle.errors import UnsupportedError

FLOAT32, FLOAT64, INT32, STRING, INT64, BFLOAT16, FLOAT16 = 1, 2, 3, 7, 9, 14, 19


@pytest.mark.parametrize("field", ["keep", "only", "drop", "select"])
def test_every_pattern_of_a_selection_must_match(field: str) -> None:
    patterns: dict[str, Any] = {field: ("nope",)}
    with pytest.raises(ValueError, match=r"'nope' matches none"):
        decide(["w"], np.array([FLOAT32], np.uint8), replace(Selection(), **patterns), CastPolicy(), ())


NAME = "scope/w"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@pytest.mark.parametrize(
    ("selection", "dtype", "is_state", "decision"),
    [
        (Selection(), FLOAT32, False, Decision("cast", "float32", FLOAT16)),
        (Selection(), INT64, False, Decision("copy", "int64")),
        (Selection(), STRING, False, Decision("copy", "string")),
        (Selection(), FLOAT16, False, Decision("copy", "float16")),
        (Selection(keep=("*/w",)), FLOAT32, False, Decision("keep", "--keep */w")),
        (Selection(keep=("*/w",)), INT64, False, Decision("copy", "int64")),
        (Selection(only=("*/w",)), FLOAT32, False, Decision("cast", "float32", FLOAT16)),
        (Selection(only=("other",)), FLOAT32, False, Decision("keep", "not in --only")),
        (Selection(only=("other",)), INT64, False, Decision("copy", "int64")),
        (Selection(only=("*",), keep=("re:w$",)), FLOAT32, False, Decision("keep", "--keep re:w$")),
        (Selection(drop=("*/w",)), FLOAT32, False, Decision("drop", "--drop */w")),
        (Selection(drop=("*/w",)), INT64, False, Decision("drop", "--drop */w")),
        (Selection(drop=("*/w",), keep=("*/w",)), FLOAT32, False, Decision("drop", "--drop */w")),
        (Selection(drop=("*/w",), only=("*/w",)), FLOAT32, False, Decision("drop", "--drop */w")),
        (Selection(), FLOAT32, True, Decision("keep", OPTIMIZER_STATE)),
        (Selection(), INT64, True, Decision("copy", "int64")),
        (Selection(optimizer="cast"), FLOAT32, True, Decision("cast", "float32", FLOAT16)),
        (Selection(optimizer="cast"), INT64, True, Decision("copy", "int64")),
        (Selection(optimizer="cast", keep=("*/w",)), FLOAT32, True, Decision("keep", "--keep */w")),
        (Selection(optimizer="drop"), FLOAT32, True, Decision("drop", OPTIMIZER_STATE)),
        (Selection(optimizer="drop"), INT64, True, Decision("drop", OPTIMIZER_STATE)),
        (Selection(optimizer="drop"), FLOAT32, False, Decision("cast", "float32", FLOAT16)),
        (Selection(optimizer="keep", drop=("*/w",)), FLOAT32, True, Decision("drop", "--drop */w")),
        (Selection(select=("*/w",)), FLOAT32, False, Decision("cast", "float32", FLOAT16)),
        (Selection(select=("other",)), FLOAT32, False, Decision("drop", NOT_SELECTED)),
        (Selection(select=("other",)), INT64, False, Decision("drop", NOT_SELECTED)),
        (Selection(select=("other",), keep=("*/w",)), FLOAT32, False, Decision("drop", NOT_SELECTED)),
        (Selection(select=("*/w",), drop=("*/w",)), FLOAT32, False, Decision("drop", "--drop */w")),
        (Selection(select=("*/w",), keep=("re:w$",)), FLOAT32, False, Decision("keep", "--keep re:w$")),
        (Selection(select=("*/w",)), FLOAT32, True, Decision("keep", OPTIMIZER_STATE)),
        (Selection(select=("*/w",), optimizer="drop"), FLOAT32, True, Decision("drop", OPTIMIZER_STATE)),
        (Selection(only=("batchnorm",)), FLOAT32, False, Decision("keep", "not in --only")),
        (Selection(keep=("batchnorm",)), FLOAT32, False, Decision("cast", "float32", FLOAT16)),
        (Selection(drop=("embedding",)), FLOAT32, False, Decision("cast", "float32", FLOAT16)),
    ],
)
def test_decisions(selection: Selection, dtype: int, is_state: bool, decision: Decision) -> None:
    dtypes = np.array([FLOAT32, dtype], np.uint8)
    assert decide(["other", NAME], dtypes, selection, CastPolicy(), {NAME} if is_state else ())[1] == decision


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([FLOAT32, INT64, STRING]), min_size=1),
    st.sampled_from(["keep", "cast", "drop"]),
    st.sets(st.sampled_from("abcdef")),
)
def test_every_tensor_is_decided_and_only_float32_is_cast_or_kept(
    dtypes: dict[str, int], optimizer: OptimizerState, state: set[str]
) -> None:
    numbers = np.array(list(dtypes.values()), np.uint8)
    decisions = decide(dtypes, numbers, Selection(optimizer=optimizer), CastPolicy(), state)
    for name, decision in zip(dtypes, decisions, strict=True):
        if decision.action in ("cast", "keep"):
            assert dtypes[name] == FLOAT32
        if decision.action == "copy":
            assert dtypes[name] != FLOAT32


def test_selecting_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="--select norm batchnorm selects none of the 1 tensors"):
        decide(["w"], np.array([FLOAT32], np.uint8), Selection(select=("norm", "batchnorm")), CastPolicy(), ())


def test_what_tensorflow_stores_for_itself_stays_beside_what_is_selected() -> None:
    names, selection = [GRAPH, f"a/w{VALUE}", f"b/w{VALUE}", f"save_counter{VALUE}"], Selection(select=("a/*",))
    dtypes = np.array([STRING, FLOAT32, FLOAT32, INT64], np.uint8)
    decisions = decide(names, dtypes, selection, CastPolicy(), ())
    assert [decision.action for decision in decisions] == ["copy", "cast", "drop", "copy"]
    decisions = decide(names[1:], dtypes[1:], selection, CastPolicy(), ())
    assert [decision.action for decision in decisions] == ["cast", "drop", "drop"]


def test_no_tensors() -> None:
    assert list(decide([], np.zeros(0, np.uint8), Selection(), CastPolicy(), ())) == []


BFLOAT = CastPolicy("bfloat16")
WIDEN = CastPolicy("float32")
TWO_RULES = CastPolicy(rules=(("*/w", "bfloat16"), ("*", "float64")))


@pytest.mark.parametrize(
    ("policy", "dtype", "decision"),
    [
        (BFLOAT, FLOAT32, Decision("cast", "float32", BFLOAT16)),
        (BFLOAT, BFLOAT16, Decision("copy", "bfloat16")),
        (BFLOAT, FLOAT16, Decision("copy", "float16")),
        (BFLOAT, FLOAT64, Decision("copy", "float64")),
        (CastPolicy("bfloat16", ("float16", "float64")), FLOAT16, Decision("cast", "float16", BFLOAT16)),
        (CastPolicy("bfloat16", ("float16", "float64")), FLOAT64, Decision("cast", "float64", BFLOAT16)),
        (CastPolicy("bfloat16", ("float16", "float64")), FLOAT32, Decision("copy", "float32")),
        (WIDEN, FLOAT16, Decision("cast", "float16", FLOAT32)),
        (WIDEN, BFLOAT16, Decision("cast", "bfloat16", FLOAT32)),
        (WIDEN, FLOAT64, Decision("copy", "float64")),
        (WIDEN, INT64, Decision("copy", "int64")),
        (CastPolicy("float64"), FLOAT32, Decision("cast", "float32", FLOAT64)),
        (CastPolicy("int64"), INT32, Decision("cast", "int32", INT64)),
        (CastPolicy("int64"), FLOAT32, Decision("copy", "float32")),
        (TWO_RULES, FLOAT32, Decision("cast", "--rule */w=bfloat16", BFLOAT16)),
        (CastPolicy(rules=(("*/w", "float32"),)), FLOAT32, Decision("keep", "--rule */w=float32")),
        (CastPolicy(rules=(("*/w", "int32"),)), INT64, Decision("cast", "--rule */w=int32", INT32)),
        (CastPolicy("float32", rules=(("other", "float64"),)), FLOAT16, Decision("cast", "float16", FLOAT32)),
    ],
)  # fmt: skip
def test_dtypes(policy: CastPolicy, dtype: int, decision: Decision) -> None:
    assert decide(["other", NAME], np.array([FLOAT32, dtype], np.uint8), Selection(), policy, ())[1] == decision


def test_optimizer_state_is_kept_from_casts_that_lose_something_only() -> None:
    state = np.array([FLOAT16], np.uint8)
    assert decide([NAME], state, Selection(), WIDEN, {NAME})[0] == Decision("cast", "float16", FLOAT32)
    narrow = CastPolicy("bfloat16", ("float16",))
    assert decide([NAME], state, Selection(), narrow, {NAME})[0] == Decision("keep", OPTIMIZER_STATE)


def test_rule_goes_before_keep_and_after_drop() -> None:
    dtypes, policy = np.array([FLOAT32], np.uint8), CastPolicy(rules=(("*", "float64"),))
    ruled = Decision("cast", "--rule *=float64", FLOAT64)
    assert decide([NAME], dtypes, Selection(keep=("*",)), policy, {NAME})[0] == ruled
    assert decide([NAME], dtypes, Selection(drop=("*",)), policy, ())[0] == Decision("drop", "--drop *")
    assert decide([NAME], dtypes, Selection(optimizer="drop"), policy, {NAME})[0].action == "drop"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (CastPolicy("float13"), "no cast to or from 'float13'; there are float16, "),
        (CastPolicy("bool"), "no cast to or from 'bool'"),
        (CastPolicy(sources=("string",)), "no cast to or from 'string'"),
        (CastPolicy(sources=("int32",)), "no cast from int32 to float16: only floats to floats, integers to integers"),
        (CastPolicy(rules=(("*", "half"),)), "no cast to or from 'half'"),
    ],
)
def test_no_such_cast(policy: CastPolicy, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decide([NAME], np.array([FLOAT32], np.uint8), Selection(), policy, ())


def test_rule_that_a_tensor_cannot_follow() -> None:
    policy = CastPolicy(rules=(("*", "int32"),))
    with pytest.raises(UnsupportedError, match=r"--rule \*=int32: no cast from float32 to int32, tensor 'scope/w'"):
        decide([NAME], np.array([FLOAT32], np.uint8), Selection(), policy, ())


def test_rule_that_matches_nothing() -> None:
    with pytest.raises(ValueError, match="'nope' matches none"):
        decide([NAME], np.array([FLOAT32], np.uint8), Selection(), CastPolicy(rules=(("nope", "float64"),)), ())
