"""What stands for everything of TensorFlow that is not stood in for: it can be named, and fails when it is used.

Scripts import far more than they need, derive classes from it and decorate functions with it, all of which works as
long as nothing of that is used. ``isinstance`` and ``issubclass`` say no of whatever is called like a class, since
there are no instances.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

from tfbundle.errors import UnsupportedError

_UNCHANGED = {
    "RegisterGradient",
    "autograph.experimental.do_not_convert",
    "keras.saving.register_keras_serializable",
    "keras.utils.register_keras_serializable",
}
"""Decorators that return what they are given."""
_WRAPPING = {"function", "custom_gradient", "recompute_grad"}
"""Decorators that return another function."""

_OPERATORS = [
    "abs",
    "add",
    "and",
    "contains",
    "delitem",
    "divmod",
    "enter",
    "exit",
    "float",
    "floordiv",
    "ge",
    "getitem",
    "gt",
    "index",
    "int",
    "invert",
    "iter",
    "le",
    "len",
    "lshift",
    "lt",
    "matmul",
    "mod",
    "mul",
    "neg",
    "next",
    "pos",
    "pow",
    "radd",
    "rand",
    "rfloordiv",
    "rlshift",
    "rmatmul",
    "rmod",
    "rmul",
    "ror",
    "round",
    "rpow",
    "rrshift",
    "rshift",
    "rsub",
    "rtruediv",
    "rxor",
    "setitem",
    "sub",
    "truediv",
    "xor",
]


class StandInError(UnsupportedError):
    """A script used something of TensorFlow that is not stood in for, or for which a package is missing.

    Attributes:
        reason: what it was, and what to do.
        path: always empty.
    """


def fail(path: str) -> NoReturn:
    """Say that something of TensorFlow is not there."""
    raise StandInError(
        f"tensorflow.{path} is not part of what tfbundle stands in for, which reads checkpoints; "
        "run this where TensorFlow is installed"
    )


class Placeholder(type):
    """The class of placeholders, which are classes, and of whatever derives from them."""

    _path: str

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{cls.__name__} has no attribute {name!r}")
        return placeholder(f"{cls._path}.{name}")

    def __call__(cls, *arguments: Any, **_options: Any) -> Any:
        """Fail, unless it is a decorator."""
        path = cls._path
        if path in _UNCHANGED or path in _WRAPPING:
            return _decorate(path, *arguments)
        fail(path)

    def __instancecheck__(cls, instance: Any) -> bool:
        if not cls._is_class():
            fail(cls._path)
        return False

    def __subclasscheck__(cls, subclass: type) -> bool:
        if not cls._is_class():
            fail(cls._path)
        return any(base is cls for base in subclass.__mro__)

    def _is_class(cls) -> bool:
        """Tell whether it is called like a class, not like a function or a constant."""
        name = cls._path.rpartition(".")[2]
        return not cls._is_bare() or (name[:1].isupper() and not name.isupper())

    def _is_bare(cls) -> bool:
        """Tell whether it is a placeholder itself, not a class that a script derived from one."""
        return cls.__dict__.get("_stands_alone", False) is True

    def __eq__(cls, other: object) -> bool:
        if cls is not other and other is not None and not cls._is_class():
            fail(cls._path)
        return cls is other

    __hash__ = type.__hash__

    def __bool__(cls) -> bool:
        if cls._is_bare():
            fail(cls._path)
        return True

    def __repr__(cls) -> str:
        return f"<tensorflow.{cls._path}, which is not there>" if cls._is_bare() else super().__repr__()

    def __str__(cls) -> str:
        if cls._is_bare():
            fail(cls._path)
        return super().__repr__()


def _refuse(cls: Placeholder, *_arguments: Any) -> NoReturn:
    fail(cls._path)


for _name in _OPERATORS:
    setattr(Placeholder, f"__{_name}__", _refuse)


@functools.cache
def placeholder(path: str) -> Placeholder:
    """Return what stands for a name, given as the path below ``tensorflow``.

    Example:
        >>> placeholder("keras").Model(10)
        Traceback (most recent call last):
        tfbundle.compat.placeholders.StandInError: tensorflow.keras.Model is not part of what tfbundle stands in ...
    """
    name = path.rpartition(".")[2]
    return Placeholder(name, (), {"_path": path, "_stands_alone": True, "__module__": "tensorflow"})


def _decorate(path: str, *arguments: Any) -> Any:
    """Return what a decorator makes of a function, or the decorator that its options make."""
    decorate = (lambda target: target) if path in _UNCHANGED else functools.partial(_wrap, path)
    if len(arguments) == 1 and callable(arguments[0]):
        return decorate(arguments[0])
    return decorate


def _wrap(path: str, function: Callable[..., Any]) -> Callable[..., NoReturn]:
    @functools.wraps(function)
    def failing(*_arguments: Any, **_options: Any) -> NoReturn:
        fail(path)

    return failing
