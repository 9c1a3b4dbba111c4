"""Read, write and halve TensorFlow checkpoints without TensorFlow.

Layers, each importing only from those below it::

    cli, __main__
    conversion   audit
    bundle
    format
    sstable   casting   storage   pb
    errors

The names below are imported when they are first used, so that ``import tfbundle`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "open": ("tfbundle.bundle.reader", "open_bundle"),
    "create": ("tfbundle.bundle.writer", "create_bundle"),
    "load": ("tfbundle.bundle.reader", "load"),
    "save": ("tfbundle.bundle.writer", "save"),
}


def __getattr__(name: str) -> object:
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
