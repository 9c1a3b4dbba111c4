from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.format.patterns import compile_pattern, match_names

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
        compile_pattern("re:(")


@given(st.text(min_size=1).filter(lambda text: not set(text) & set("*?[") and not text.startswith("re:")))
def test_plain_name_matches_itself_only(name: str) -> None:
    assert matches(name, name, name + "x", "x" + name) == [name]
