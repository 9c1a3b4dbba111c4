"""Modules that look like TensorFlow's: the names of the table, and placeholders for all others."""

from __future__ import annotations

import functools
import threading
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import tfbundle.compat
from tfbundle.compat.names import ABSENT, ALIASES, DELEGATED, read_table
from tfbundle.compat.placeholders import fail, placeholder

NAME = "tensorflow"

_NOT_OF_TENSORFLOW = ("__", "pytest")  # what Python and tools look for in every module
_LOCK = threading.RLock()
_MADE: dict[str, StandIn] = {}


class StandIn(ModuleType):
    """A module of TensorFlow, or TensorFlow itself, whose names are looked up when they are first used."""

    def __init__(self, path: str) -> None:
        name = f"{NAME}.{path}" if path else NAME
        super().__init__(name, tfbundle.compat.__doc__)
        self.__path__: list[str] = []  # a package, of which no part is on disk
        self.__file__ = tfbundle.compat.__file__
        self.__spec__ = ModuleSpec(name, None, origin=self.__file__, is_package=True)
        self._path = path
        self._names = _table().get(path, {})

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            home = self._names[name]
            value: Any = getattr(import_module(f"tfbundle.compat.{home.module}"), home.name)
        else:
            value = self._find(name)
        setattr(self, name, value)
        return value

    def _find(self, name: str) -> Any:
        if name.startswith(_NOT_OF_TENSORFLOW):
            if name == "__all__" and self._names:
                return sorted(self._names)
            if name == "__all__":
                fail(f"{self._path}.*")
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if self._path in DELEGATED:
            return getattr(import_module(f"tfbundle.compat.{DELEGATED[self._path]}"), name)
        path = f"{self._path}.{name}" if self._path else name
        if is_absent(path):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return module_at(path) if is_module(path) else placeholder(path)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self._names})

    def __repr__(self) -> str:
        return f"<module {self.__name__!r}, of which tfbundle stands in for what reads checkpoints>"


@functools.cache
def _table() -> Any:
    return read_table()


@functools.cache
def _packages() -> frozenset[str]:
    """Return the paths of all modules of the table, and of those they are in."""
    paths = {*_table(), *DELEGATED, *ALIASES}
    parts = [path.split(".") for path in paths]
    return frozenset(".".join(words[:end]) for words in parts for end in range(1, len(words) + 1))


def canonical_path(path: str) -> str:
    """Return the path at which a module is found without any alias.

    Example:
        >>> canonical_path("compat.v1.train")
        'train'
    """
    for alias in ALIASES:
        if path == alias:
            return ""
        if path.startswith(f"{alias}."):
            return canonical_path(path[len(alias) + 1 :])
    return path


def is_module(path: str) -> bool:
    """Tell whether there is a module at a path below ``tensorflow``."""
    return canonical_path(path) in _packages() or path in ALIASES


def is_absent(path: str) -> bool:
    """Tell whether TensorFlow itself has nothing of that name any more."""
    return canonical_path(path).split(".")[0] in ABSENT and not is_module(path)


def module_at(path: str) -> StandIn:
    """Return the module at a path below ``tensorflow``, the same one each time; TensorFlow itself for the empty path.

    Example:
        >>> module_at("compat.v1") is module_at("")
        True
    """
    path = canonical_path(path)
    with _LOCK:
        if path not in _MADE:
            _MADE[path] = StandIn(path)
        return _MADE[path]
