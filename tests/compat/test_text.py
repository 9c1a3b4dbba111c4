"""Text and bytes, as TensorFlow's own functions convert them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.requirements import tensorflow, tensorflow_module
from tfbundle.compat import text, tf

VALUES: tuple[Any, ...] = ("ä", b"a", b"\xff", bytearray(b"x"), 3, None, Path("a/b"), "", ["x"])
FUNCTIONS = ("as_bytes", "as_text", "as_str", "as_str_any", "path_to_str", "path_to_bytes")


def outcome(function: Callable[[Any], Any], value: Any) -> Any:
    try:
        return function(value)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_results(name: str) -> None:
    real = tensorflow_module("python.util.compat")
    for value in VALUES:
        assert outcome(getattr(text, name), value) == outcome(getattr(real, name), value), value


@pytest.mark.parametrize("name", ["bytes_or_text_types", "complex_types", "integral_types", "real_types"])
def test_same_types(name: str) -> None:
    assert getattr(tf.compat, name) == getattr(tensorflow().compat, name)


def test_encodings() -> None:
    assert tf.compat.as_bytes("ä", "latin-1") == b"\xe4"
    assert tf.compat.as_text(b"\xe4", encoding="latin-1") == "ä"
    with pytest.raises(LookupError):
        tf.compat.as_bytes("x", "no such encoding")
