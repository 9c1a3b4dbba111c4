"""The committed descriptors against the proto files, and against TensorFlow's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool

import tfbundle
from tests import make_descriptors
from tests.support.requirements import tensorflow, tensorflow_module
from tfbundle.errors import FormatError
from tfbundle.pb import message_class, parse_message

TOP = Path(tfbundle.__file__).parent.parent
MODULES = {
    "BundleHeaderProto": "core.protobuf.tensor_bundle_pb2",
    "BundleEntryProto": "core.protobuf.tensor_bundle_pb2",
    "TensorShapeProto": "core.framework.tensor_shape_pb2",
    "TensorSliceProto": "core.framework.tensor_slice_pb2",
    "VersionDef": "core.framework.versions_pb2",
    "CheckpointState": "python.training.checkpoint_state_pb2",
    "TrackableObjectGraph": "core.protobuf.trackable_object_graph_pb2",
}
LEFT_OUT = {
    "TrackableObjectGraph": {".TrackableObject.registered_saver", ".TrackableObject.has_checkpoint_values"},
}
"""Fields that nothing here needs, in messages that are only read."""
PARTS_OF_GRAPHS = {
    "SavedModel": "core.protobuf.saved_model_pb2",
    "MetaGraphDef": "core.protobuf.meta_graph_pb2",
    "CollectionDef": "core.protobuf.meta_graph_pb2",
    "SaverDef": "core.protobuf.saver_pb2",
    "GraphDef": "core.framework.graph_pb2",
    "NodeDef": "core.framework.node_def_pb2",
    "FunctionDefLibrary": "core.framework.function_pb2",
    "FunctionDef": "core.framework.function_pb2",
    "OpDef": "core.framework.op_def_pb2",
    "AttrValue": "core.framework.attr_value_pb2",
    "NameAttrList": "core.framework.attr_value_pb2",
    "TensorProto": "core.framework.tensor_pb2",
    "VariableDef": "core.framework.variable_pb2",
    "SaveSliceInfoDef": "core.framework.variable_pb2",
    "GradientDef": "core.framework.function_pb2",
    "OpList": "core.framework.op_def_pb2",
    "ResourceHandleProto": "core.framework.resource_handle_pb2",
    "TensorInfo": "core.protobuf.meta_graph_pb2",
    "SignatureDef": "core.protobuf.meta_graph_pb2",
    "AssetFileDef": "core.protobuf.meta_graph_pb2",
    "SavedObjectGraph": "core.protobuf.saved_object_graph_pb2",
    "SavedObject": "core.protobuf.saved_object_graph_pb2",
    "SavedFunction": "core.protobuf.saved_object_graph_pb2",
    "SavedConcreteFunction": "core.protobuf.saved_object_graph_pb2",
    "SavedVariable": "core.protobuf.saved_object_graph_pb2",
    "FunctionSpec": "core.protobuf.saved_object_graph_pb2",
    "SaveableObject": "core.protobuf.saved_object_graph_pb2",
    "StructuredValue": "core.protobuf.struct_pb2",
    "NoneValue": "core.protobuf.struct_pb2",
    "ListValue": "core.protobuf.struct_pb2",
    "TupleValue": "core.protobuf.struct_pb2",
    "DictValue": "core.protobuf.struct_pb2",
    "PairValue": "core.protobuf.struct_pb2",
    "NamedTupleValue": "core.protobuf.struct_pb2",
    "TensorSpecProto": "core.protobuf.struct_pb2",
}
"""Messages of which only the few fields are declared that are read or rewritten."""


def fields(descriptor: Any, path: str = "") -> Iterator[tuple[Any, ...]]:
    """Yield what the wire format knows of every field, in nested messages too."""
    for field in descriptor.fields:
        kind = field.message_type.full_name if field.message_type else field.type
        repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
        yield (f"{path}.{field.name}", field.number, kind, repeated)
    for nested in descriptor.nested_types:
        yield from fields(nested, f"{path}.{nested.name}")


def test_descriptors_are_those_of_the_proto_files() -> None:
    pytest.importorskip("grpc_tools")
    # in a process of its own: the compiler and TensorFlow, each with a protobuf library inside, crash together
    compiled = run("from tests.make_descriptors import compile_descriptors as c; print(c().hex())")
    assert compiled.strip() == make_descriptors.TARGET.read_bytes().hex()


@pytest.mark.parametrize("name", MODULES)
def test_fields_are_those_of_tensorflow(name: str) -> None:
    theirs = getattr(tensorflow_module(MODULES[name]), name).DESCRIPTOR
    ours = message_class(name).DESCRIPTOR
    assert ours.full_name == theirs.full_name
    expected = [field for field in fields(theirs) if field[0] not in LEFT_OUT.get(name, set())]
    assert sorted(fields(ours)) == sorted(expected)


@pytest.mark.parametrize("name", PARTS_OF_GRAPHS)
def test_fields_of_graphs_are_among_those_of_tensorflow(name: str) -> None:
    theirs = getattr(tensorflow_module(PARTS_OF_GRAPHS[name]), name).DESCRIPTOR
    ours = message_class(name).DESCRIPTOR
    assert ours.full_name == theirs.full_name
    assert set(fields(ours)) <= set(fields(theirs))
    assert {oneof.name for oneof in ours.oneofs} <= {oneof.name for oneof in theirs.oneofs}


def test_element_types_are_those_of_tensorflow() -> None:
    theirs = tensorflow_module("core.framework.types_pb2").DataType.DESCRIPTOR
    ours = message_class("BundleEntryProto").DESCRIPTOR.fields_by_name["dtype"].enum_type
    numbers = {value.name: value.number for value in ours.values}
    assert numbers.items() <= {value.name: value.number for value in theirs.values}.items()
    assert set(range(34)) <= set(numbers.values())


def test_pool_is_private() -> None:
    message_class("BundleEntryProto")
    program = (
        "import tfbundle.pb\n"
        "from google.protobuf import descriptor_pool\n"
        "tfbundle.pb.message_class('BundleEntryProto')\n"
        "try:\n"
        "    descriptor_pool.Default().FindMessageTypeByName('tensorflow.BundleEntryProto')\n"
        "except KeyError:\n"
        "    print('private')\n"
    )
    assert run(program) == "private\n"
    assert message_class("VersionDef").DESCRIPTOR.file.pool is not descriptor_pool.Default()


def test_unknown_message() -> None:
    with pytest.raises(KeyError):
        message_class("NoSuchProto")


@pytest.mark.parametrize("data", [b"\xff", b"\x08", b"\x0a\x05ab"])
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(FormatError, match="VersionDef not parseable"):
        parse_message("VersionDef", data)


def test_group_that_nests_without_end() -> None:
    with pytest.raises(FormatError, match="VersionDef not parseable"):
        parse_message("VersionDef", b"\x23" * 10_000)


def run(program: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=TOP, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


USE_OURS = (
    "from tfbundle.pb import message_class\n"
    "assert message_class('VersionDef')(producer=1).SerializeToString() == bytes([8, 1])\n"
)
USE_THEIRS = (
    "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'\n"
    "import tensorflow as tf\n"
    "from tensorflow.core.protobuf import tensor_bundle_pb2\n"
    "assert tensor_bundle_pb2.BundleHeaderProto(num_shards=1).SerializeToString() == bytes([8, 1])\n"
)


@pytest.mark.parametrize(
    "programs", [(USE_OURS, USE_THEIRS), (USE_THEIRS, USE_OURS)], ids=["ours first", "theirs first"]
)
def test_both_packages_in_one_process(programs: tuple[str, str]) -> None:
    tensorflow()
    assert run("".join(programs) * 2 + "print('both')\n") == "both\n"


def submodules() -> list[str]:
    package = Path(tfbundle.__file__).parent
    paths = (path.relative_to(package.parent).with_suffix("") for path in sorted(package.rglob("*.py")))
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    return [name for name in names if not name.endswith("__main__")]


def test_tensorflow_is_never_imported() -> None:
    program = (
        "import importlib, sys\n"
        f"for name in {submodules()!r}:\n"
        "    importlib.import_module(name)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras')])\n"
    )
    assert run(program) == "[]\n"


def test_extras_are_not_imported_at_start() -> None:
    extras = ("ml_dtypes", "cramjam", "tqdm", "fsspec")
    program = (
        "import importlib, sys\n"
        f"for name in {submodules()!r}:\n"
        "    importlib.import_module(name)\n"
        f"print(sorted(set({extras!r}) & set(sys.modules)))\n"
    )
    assert run(program) == "[]\n"


def test_all_submodules_are_found() -> None:
    names = submodules()
    assert "tfbundle" in names
    assert "tfbundle.bundle.reader" in names
    assert all(import_module(name).__doc__ for name in names)
