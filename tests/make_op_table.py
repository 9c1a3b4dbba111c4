"""Take the signatures of all ops that the installed TensorFlow knows, for ``tfbundle.graph.ops``.

Run ``python -m tests.make_op_table`` from the top of the repository; needs the ``test`` extra.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from tests.support.requirements import tensorflow_module

TOP = Path(__file__).resolve().parent.parent
TARGET = TOP / "tfbundle" / "graph" / "ops.binpb.zlib"


def registered_ops() -> dict[str, Any]:
    """Return TensorFlow's own OpDefs by name."""
    api = tensorflow_module("python.client.pywrap_tf_session")
    listed = tensorflow_module("core.framework.op_def_pb2").OpList()
    listed.ParseFromString(api.TF_GetBuffer(api.TF_GetAllOpList()))
    return {op.name: op for op in listed.op}


def make_op_table() -> bytes:
    """Return an OpList with what tells the types of inputs and outputs, serialized."""
    from tfbundle.pb import message_class

    table = message_class("OpList")()
    for _, op in sorted(registered_ops().items()):
        _add(table.op.add(name=op.name), op)
    return bytes(table.SerializeToString(deterministic=True))


def _add(ours: Any, theirs: Any) -> None:
    """Add an op; names of inputs, and attributes that tell no type, are not needed."""
    ours.input_arg.extend(_copy(argument, "") for argument in theirs.input_arg)
    ours.output_arg.extend(_copy(argument, argument.name) for argument in theirs.output_arg)
    used = {name for each in (*theirs.input_arg, *theirs.output_arg) for name in _attributes(each)}
    for attribute in theirs.attr:
        if attribute.name in used:
            added = ours.attr.add(name=attribute.name, type=attribute.type)
            if attribute.HasField("default_value"):
                added.default_value.ParseFromString(attribute.default_value.SerializeToString())


def _copy(argument: Any, name: str) -> Any:
    from tfbundle.pb import message_class

    return message_class("OpDef").ArgDef(
        name=name,
        type=argument.type,
        type_attr=argument.type_attr,
        number_attr=argument.number_attr,
        type_list_attr=argument.type_list_attr,
        is_ref=argument.is_ref,
    )


def _attributes(argument: Any) -> tuple[str, ...]:
    return argument.type_attr, argument.number_attr, argument.type_list_attr


if __name__ == "__main__":
    TARGET.write_bytes(zlib.compress(make_op_table(), 9))
