"""What a graph's saver wants, as read from the files it exports, against what that saver stores and restores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.requirements import tensorflow
from tfbundle.bundle.template import read_template
from tfbundle.choosing.like import match_template
from tfbundle.format.wanted import Wanted

pytestmark = pytest.mark.filterwarnings("ignore")
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def stored(tf: Any, prefix: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return what TensorFlow says is in a checkpoint."""
    reader = tf.train.load_checkpoint(prefix)
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    return {name: (dtypes[name].name, tuple(shape)) for name, shape in shapes.items()}


def kinds(wanted: dict[str, Wanted]) -> dict[str, tuple[str, tuple[int, ...] | None]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in wanted.items()}


def export(tf: Any, folder: Path, build: Callable[[Any], Any]) -> str:
    """Build a graph, which returns its saver, and save it with its ``.meta``; return the prefix."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    two_devices = v1.ConfigProto(device_count={"CPU": 2})
    with graph.as_default(), v1.Session(graph=graph, config=two_devices) as session:
        saver = build(v1)
        session.run(v1.global_variables_initializer())
        return str(saver.save(session, str(folder / "m")))


def of_many_dtypes(v1: Any) -> None:
    with v1.variable_scope("net"):
        for dtype in (v1.float32, v1.float64, v1.half, v1.bfloat16, v1.int32, v1.int64, v1.uint8, v1.bool):
            v1.get_variable(dtype.name, (2, 3), dtype, v1.zeros_initializer())
        v1.get_variable("string", initializer=v1.constant([b"a", b"b"]))
        v1.get_variable("complex", initializer=v1.constant([1j, 2]))
        v1.get_variable("scalar", (), v1.int64, v1.zeros_initializer())
        v1.get_variable("empty", (0, 4), v1.float32, v1.zeros_initializer())


def plain(v1: Any, **options: Any) -> Any:
    of_many_dtypes(v1)
    return v1.train.Saver(**options)


def resources(v1: Any) -> Any:
    with v1.variable_scope("outer", use_resource=True):
        of_many_dtypes(v1)
    return v1.train.Saver()


def trained(v1: Any) -> Any:
    with v1.variable_scope("net", use_resource=True):
        weights = v1.get_variable("w", (3, 4), initializer=v1.ones_initializer())
    bias = v1.get_variable("b", (4,), initializer=v1.ones_initializer(), use_resource=False)
    v1.get_variable("local", (5,), collections=[v1.GraphKeys.LOCAL_VARIABLES])
    step = v1.train.get_or_create_global_step()
    v1.train.AdamOptimizer(0.1).minimize(v1.reduce_sum(weights * bias), step)
    return v1.train.Saver()


def sharded(v1: Any) -> Any:
    for number in range(4):
        with v1.device(f"/cpu:{number % 2}"), v1.variable_scope(f"d{number}", use_resource=number > 1):
            v1.get_variable("w", (number + 1, 2), v1.half if number else v1.float32, v1.zeros_initializer())
    return v1.train.Saver(sharded=True)


def renamed_subset(v1: Any) -> Any:
    first = v1.get_variable("graph/first", (2,), initializer=v1.zeros_initializer(), use_resource=False)
    second = v1.get_variable("graph/second", (3,), v1.half, v1.zeros_initializer(), use_resource=True)
    v1.get_variable("graph/unsaved", (4,), initializer=v1.zeros_initializer())
    return v1.train.Saver({"file/a": first, "file/b": second})


def partitioned(v1: Any, *, use_resource: bool = False, **options: Any) -> Any:
    with v1.variable_scope("p", use_resource=use_resource):
        rows = v1.fixed_size_partitioner(3, 0)
        columns = v1.fixed_size_partitioner(2, 1)
        v1.get_variable("rows", (7, 4), initializer=v1.zeros_initializer(), partitioner=rows)
        v1.get_variable("columns", (7, 4), v1.half, v1.zeros_initializer(), partitioner=columns)
        v1.get_variable("one", (5,), initializer=v1.zeros_initializer(), partitioner=v1.fixed_size_partitioner(1))
        v1.get_variable("whole", (5,), initializer=v1.zeros_initializer())
    return v1.train.Saver(**options)


GRAPHS: dict[str, Callable[[Any], Any]] = {
    "plain": plain,
    "resources": resources,
    "trained": trained,
    "sharded": sharded,
    "renamed subset": renamed_subset,
    "written as V1": lambda v1: partitioned(v1, write_version=v1.train.SaverDef.V1),
    "partitioned": partitioned,
    "partitioned resources": lambda v1: partitioned(v1, use_resource=True),
    "sharded and partitioned": lambda v1: partitioned(v1, sharded=True),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_wants_what_its_saver_stores(tf: Any, tmp_path: Path, name: str) -> None:
    prefix = export(tf, tmp_path, GRAPHS[name])
    wanted = read_template(prefix + ".meta")
    assert kinds(wanted) == stored(tf, prefix)
    assert len(wanted) > 1
    assert wanted == read_template(prefix)


def test_parts_are_those_that_the_graph_restores(tf: Any, tmp_path: Path) -> None:
    wanted = read_template(export(tf, tmp_path, partitioned) + ".meta")
    assert wanted["p/rows"] == Wanted("float32", (7, 4), (((0, 3), (0, 4)), ((3, 2), (0, 4)), ((5, 2), (0, 4))))
    assert wanted["p/columns"] == Wanted("float16", (7, 4), (((0, 7), (0, 2)), ((0, 7), (2, 2))))
    assert wanted["p/one"] == Wanted("float32", (5,))


def test_saver_that_restores_any_shape(tf: Any, tmp_path: Path) -> None:
    prefix = export(tf, tmp_path, lambda v1: plain(v1, reshape=True))
    expected = {name: (dtype, None) for name, (dtype, _) in stored(tf, prefix).items()}
    assert kinds(read_template(prefix + ".meta")) == expected


@pytest.mark.parametrize("scope", [None, "again"])
@pytest.mark.parametrize("name", GRAPHS)
def test_graph_without_a_saver_wants_what_one_would_restore(tf: Any, tmp_path: Path, name: str, scope: str) -> None:
    prefix = export(tf, tmp_path, GRAPHS[name])
    v1 = tf.compat.v1
    bare, saved = tmp_path / "bare.meta", tmp_path / "saved.meta"
    with tf.Graph().as_default() as graph:
        v1.train.import_meta_graph(prefix + ".meta", import_scope=scope)
        meta = v1.train.export_meta_graph(bare, graph=graph)
        assert meta.saver_def.restore_op_name == ""
        v1.train.export_meta_graph(saved, graph=graph, saver_def=v1.train.Saver().as_saver_def())
    assert read_template(bare) == read_template(saved)
    assert len(read_template(bare)) > 1


def test_variable_of_unknown_shape(tf: Any, tmp_path: Path) -> None:
    def build(v1: Any) -> Any:
        v1.Variable([1.0, 2.0], validate_shape=False, name="open", use_resource=False)
        shape = tf.TensorShape([None])
        v1.Variable([1.0, 2.0], validate_shape=False, name="handle", use_resource=True, shape=shape)
        return v1.train.Saver()

    wanted = read_template(export(tf, tmp_path, build) + ".meta")
    assert wanted == {"handle": Wanted("float32", None), "open": Wanted("float32", None)}


def test_lookup_table(tf: Any, tmp_path: Path) -> None:
    """What is restored to no variable has a dtype and no shape."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        table = tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, -1.0, -1, -2, name="t", checkpoint=True)
        session.run(table.insert(tf.constant([3], tf.int64), [1.0]))
        prefix = v1.train.Saver().save(session, str(tmp_path / "m"))
    expected = {name: (dtype, None) for name, (dtype, _) in stored(tf, prefix).items()}
    assert len(expected) == 2
    assert kinds(read_template(prefix + ".meta")) == expected


def test_old_operations(tf: Any, tmp_path: Path) -> None:
    """``Restore`` and ``RestoreSlice``, a node for each tensor, as savers made them before 2016."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        name = tf.constant("file")
        whole = v1.get_variable("w", (2, 3), v1.half, use_resource=False)
        part = v1.get_variable("part", (2, 3), use_resource=False)
        restores = [
            v1.assign(whole, tf.raw_ops.Restore(file_pattern=name, tensor_name="x", dt=tf.half)),
            v1.assign(
                part,
                tf.raw_ops.RestoreSlice(file_pattern=name, tensor_name="y", shape_and_slice="4 3 2,2:-", dt=tf.float32),
            ),
        ]
        operation = tf.group(*restores, name="restore")
        saver = v1.train.SaverDef(restore_op_name=operation.name, version=v1.train.SaverDef.V1)
        meta = v1.train.export_meta_graph(graph=graph, saver_def=saver)
    path = tmp_path / "old.meta"
    path.write_bytes(meta.SerializeToString())
    assert read_template(path) == {
        "x": Wanted("float16", (2, 3)),
        "y": Wanted("float32", (4, 3), (((2, 2), (0, -1)),)),
    }


def test_constants_that_are_kept_as_bytes(tf: Any, tmp_path: Path) -> None:
    """TensorFlow reads names from the packed form of constants too."""
    prefix = export(tf, tmp_path, plain)
    expected = read_template(prefix + ".meta")
    meta = tf.compat.v1.MetaGraphDef.FromString(Path(prefix + ".meta").read_bytes())
    changed = 0
    for node in meta.graph_def.node:
        tensor = node.attr["value"].tensor
        if node.op == "Const" and node.name.startswith("save/RestoreV2/"):
            (count,) = (dim.size for dim in tensor.tensor_shape.dim)
            values = [*tensor.string_val, *[tensor.string_val[-1]] * (count - len(tensor.string_val))]
            assert all(len(value) < 128 for value in values)
            tensor.tensor_content = bytes(map(len, values)) + b"".join(values)
            del tensor.string_val[:]
            changed += 1
    assert changed == 2
    Path(prefix + ".meta").write_bytes(meta.SerializeToString())
    assert read_template(prefix + ".meta") == expected
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        v1.train.import_meta_graph(prefix + ".meta").restore(session, prefix)


def test_float16_graph_from_a_float32_checkpoint(tf: Any, tmp_path: Path) -> None:
    """The use of it all: what is written for the graph is what its saver restores."""

    def inference(v1: Any) -> Any:
        with v1.variable_scope("net", use_resource=True):
            v1.get_variable("w", (3, 4), v1.half)
        v1.get_variable("b", (4,), v1.bfloat16, use_resource=False)
        return v1.train.Saver()

    (tmp_path / "full").mkdir()
    (tmp_path / "half").mkdir()
    full, half = export(tf, tmp_path / "full", trained), export(tf, tmp_path / "half", inference)
    match = match_template(stored(tf, full), read_template(half + ".meta"))
    match.check(full, half)
    assert match.targets == {"b": "bfloat16", "net/w": "float16"}
    values = {name: tf.cast(tfbundle.load(full)[name], dtype).numpy() for name, dtype in match.targets.items()}
    tfbundle.save(tmp_path / "like", values)
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        v1.train.import_meta_graph(half + ".meta").restore(session, str(tmp_path / "like"))


def test_saved_model(tf: Any, tmp_path: Path) -> None:
    module = tf.Module()
    module.w = tf.Variable(tf.ones((2, 3), tf.float16), name="same")
    module.v = [tf.Variable(np.int64(3), name="same"), tf.Variable([b"a"], name="text")]
    module.any = tf.Variable([1.0], shape=tf.TensorShape(None))
    tf.saved_model.save(module, str(tmp_path / "sm"))
    wanted = read_template(tmp_path / "sm" / "saved_model.pb")
    assert kinds(wanted) == {
        OBJECT_GRAPH: ("string", None),
        "any/.ATTRIBUTES/VARIABLE_VALUE": ("float32", None),
        "v/0/.ATTRIBUTES/VARIABLE_VALUE": ("int64", ()),
        "v/1/.ATTRIBUTES/VARIABLE_VALUE": ("string", (1,)),
        "w/.ATTRIBUTES/VARIABLE_VALUE": ("float16", (2, 3)),
    }
    assert stored(tf, str(tmp_path / "sm" / "variables" / "variables")).keys() == wanted.keys()
