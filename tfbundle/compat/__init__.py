"""A stand-in for the part of TensorFlow that reads checkpoints, for scripts that import it for nothing else.

``tf`` is used in place of ``import tensorflow as tf``; ``install`` lets that very line mean it, for the process.
Results and classes of errors are those of TensorFlow 2.21; whatever else a script uses raises ``StandInError``, which
says what that was. Nothing here is active until it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfbundle.compat import tf as tf
    from tfbundle.compat.installing import install as install
    from tfbundle.compat.installing import is_installed as is_installed
    from tfbundle.compat.installing import uninstall as uninstall
    from tfbundle.compat.placeholders import StandInError as StandInError

_HOMES = {
    "StandInError": "placeholders",
    "install": "installing",
    "is_installed": "installing",
    "uninstall": "installing",
}

__all__ = ["StandInError", "install", "is_installed", "tf", "uninstall"]


def __getattr__(name: str) -> object:
    if name == "tf":
        return import_module(f"{__name__}.tf")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
