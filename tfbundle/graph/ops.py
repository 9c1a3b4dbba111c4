"""The signatures of ops: TensorFlow's, from a table of our own, and those that a model brings along.

``ops.binpb.zlib`` is made by ``python -m tests.make_op_table``. A model lists the ops it uses without those that only
occur within functions; so its list serves for ops that the table lacks.

Source: TensorFlow ``core/framework/op_def.proto``; ``python/saved_model/save.py`` for ``stripped_op_list``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from tfbundle.pb import parse_message

_TABLE = "ops.binpb.zlib"


@cache
def known_ops() -> Mapping[str, Any]:
    """Return the OpDefs of TensorFlow by name; loaded when first needed.

    Only what tells types is there: neither names of inputs, nor other attributes.

    Example:
        >>> known_ops()["MaxPool"].attr[0].default_value.type  # float32
        1
    """
    import pkgutil
    import zlib

    data = pkgutil.get_data(__name__, _TABLE)
    table = parse_message("OpList", zlib.decompress(data or b""))
    return MappingProxyType({op.name: op for op in table.op})


def _no_function(_name: str) -> Any:
    return None


class OpTable:
    """The signatures that hold for one model.

    Args:
        own: OpDefs that the model brings along.
        function: gives the OpDef of a function of the model, None if there is none; a node may have one as its op.

    Example:
        >>> OpTable().find("Cast").output_arg[0].name
        'y'
    """

    def __init__(self, own: Iterable[Any] = (), function: Callable[[str], Any] = _no_function) -> None:
        self._own = {op.name: op for op in own}
        self._function = function

    def find(self, name: str) -> Any:
        """Return the OpDef of an op; None if nobody knows it."""
        return self._function(name) or known_ops().get(name) or self._own.get(name)
