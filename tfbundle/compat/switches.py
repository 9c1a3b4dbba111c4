"""Switches that scripts turn before they read anything, and that have nothing to act on here.

There are no graphs, no devices and no operations, so that turning them changes no result.
"""

from __future__ import annotations

import contextlib
from typing import Any

_EAGER = [True]


def do_nothing(*_args: Any, **_options: Any) -> None:
    """Take a setting of something that is not there."""


def list_nothing(*_args: Any, **_options: Any) -> list[Any]:
    """Return the devices, of which there are none."""
    return []


def device(device_name: Any) -> contextlib.AbstractContextManager[None]:
    """Return a context in which operations would be put on a device."""
    del device_name
    return contextlib.nullcontext()


def executing_eagerly() -> bool:
    """Return whether operations would be carried out at once, as the last call of a switch said."""
    return _EAGER[0]


def enable_eager_execution(*_args: Any, **_options: Any) -> None:
    """Let ``executing_eagerly`` be true, which it is from the start."""
    _EAGER[0] = True


def disable_eager_execution() -> None:
    """Let ``executing_eagerly`` be false."""
    _EAGER[0] = False


def is_gpu_available(*_args: Any, **_options: Any) -> bool:
    """Return False."""
    return False
