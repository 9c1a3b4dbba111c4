"""The table of names, against the modules of TensorFlow itself."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from tests.support.requirements import tensorflow
from tfbundle.compat.modules import module_at
from tfbundle.compat.names import ALIASES, DELEGATED, read_table

TABLE = read_table()
OF_TENSORFLOW_1 = re.compile(r"contrib\..*|pywrap_tensorflow|python\.pywrap_tensorflow|python\.training\.saver")
"""Modules that have names which were there once, and that scripts still use."""


def find(root: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        root = getattr(root, name)
    return root


def real_modules(path: str) -> list[Any]:
    """Return the modules that TensorFlow has at a path, in its interfaces of versions 1 and 2 and in its source."""
    tf = tensorflow()
    if path.startswith("python."):
        return [import_module(f"tensorflow.{path}")]
    return [module for root in (tf, tf.compat.v1) if (module := find_or_none(root, path)) is not None]


def find_or_none(root: Any, path: str) -> Any:
    try:
        return find(root, path)
    except AttributeError:
        return None


@pytest.mark.parametrize("path", TABLE)
def test_every_name_is_one_of_tensorflow(path: str) -> None:
    if OF_TENSORFLOW_1.fullmatch(path):
        return
    missing = [name for name in TABLE[path] if not any(hasattr(module, name) for module in real_modules(path))]
    assert missing == []


@pytest.mark.parametrize("path", [*TABLE, *DELEGATED])
def test_every_name_is_there(path: str) -> None:
    module = module_at(path)
    for name in TABLE.get(path, {}):
        assert getattr(module, name) is not None
        assert name in dir(module)
    for alias in ALIASES:
        assert module_at(f"{alias}.{path}" if path else alias) is module


def test_modules_of_the_table_are_reached_from_the_top() -> None:
    root = module_at("")
    for path in [*TABLE, *DELEGATED, *ALIASES]:
        assert find(root, path) is module_at(path)
    assert root.compat.v1.compat.v1 is root


def test_versions() -> None:
    tf = module_at("")
    assert tf.__version__ == tf.version.VERSION == tf.VERSION == "2.21.0"
    assert tf.version.GIT_VERSION == "tfbundle"
    assert str(tf.__file__).endswith("compat/__init__.py")
