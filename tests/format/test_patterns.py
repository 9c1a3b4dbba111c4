from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.format.patterns import compile_pattern


def matches(pattern: str, *names: str) -> list[str]:
    return [name for name in names if compile_pattern(pattern).search(name)]


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
    assert matches(pattern, name) == []


def test_malformed_expression() -> None:
    with pytest.raises(ValueError, match=r"pattern 're:\(' is no regular expression"):
        compile_pattern("re:(")


@given(st.text(min_size=1).filter(lambda text: not set(text) & set("*?[") and not text.startswith("re:")))
def test_plain_name_matches_itself_only(name: str) -> None:
    assert matches(name, name, name + "x", "x" + name) == [name]
