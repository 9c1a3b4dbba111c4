"""``tf.flags`` and ``tf.app``: the options of a script's command line, by the package ``absl-py`` as in TensorFlow.

Source: TensorFlow ``python/platform/flags.py``, ``python/platform/app.py``.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tfbundle.compat.placeholders import StandInError

_RENAMED = {"flag_name": "name", "default_value": "default", "docstring": "help"}


def _absl(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"absl.{module}")
    except ImportError:
        text = f"tensorflow.{module} needs the package absl-py; pip install 'tfbundle[compat]'"
        raise StandInError(text) from None


class _Flags:
    """The values of all flags, parsed from the command line when the first is read."""

    def __getattr__(self, name: str) -> Any:
        values = _absl("flags").FLAGS
        if not (name.startswith("_") or values.is_parsed() or hasattr(type(values), name)):
            values(sys.argv)
        return getattr(values, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_absl("flags").FLAGS, name, value)

    def __getitem__(self, name: str) -> Any:
        return _absl("flags").FLAGS[name]

    def __iter__(self) -> Any:
        return iter(_absl("flags").FLAGS)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return _absl("flags").FLAGS(*arguments, **options)


def _define(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that defines a flag also take the names that its parameters once had."""

    @functools.wraps(function)
    def define(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **{_RENAMED.get(name, name): value for name, value in options.items()})

    return define


def run(main: Callable[[Sequence[str]], Any] | None = None, argv: Sequence[str] | None = None) -> None:
    """Parse the command line and leave the process with what a main function returns.

    Flags that are not defined are left to it.
    """

    def parse(given: Sequence[str] | None) -> Any:
        return _absl("flags").FLAGS(sys.argv if given is None else given, known_only=True)

    _absl("app").run(main=main or sys.modules["__main__"].main, argv=argv, flags_parser=parse)


@functools.cache
def _flags() -> _Flags:
    return _Flags()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "FLAGS":
        return _flags()
    value = getattr(_absl("flags"), name)
    return _define(value) if name.startswith("DEFINE_") else value
