"""``--optimizer drop`` on real checkpoints: it drops what TensorFlow's graph says an optimizer keeps, no more, no less.

TensorFlow restores the model alone from what is left.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.corpus import Item, v2_items
from tests.support.requirements import corpus_root, tensorflow
from tests.support.tensors import same
from tfbundle import Selection, halve

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
STRIP = Selection(keep=("*",), optimizer="drop")
FTRL = ("beta", "decay", "iter", "l2_regularization_strength", "learning_rate", "learning_rate_power")
ADAGRAD = ("decay", "iter", "learning_rate")
GRAPHS: dict[str, set[str]] = {
    "real/pypi_chiron_DNA/final.ckpt-158301": set(),
    "real/pypi_musicnn_MTT/": set(),
    "real/tfx_chicago_taxi_ckpt1000/model.ckpt-1000": {
        *(f"training/Ftrl/{name}" for name in FTRL),
        *(f"training/Adagrad/{name}" for name in ADAGRAD),
    },
    "synth/v1graph_convbn_infer_and_train/model.ckpt-5": set(),
}
"""Graphs, and what their optimizers keep that no update operation takes directly, read off the list of variables."""


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def read_graph(path: str) -> Any:
    """Read a graph, without shapes noted by a TensorFlow that worked some out in another way."""
    from tensorflow.core.protobuf import meta_graph_pb2

    graph = meta_graph_pb2.MetaGraphDef.FromString(Path(path).read_bytes())
    for node in graph.graph_def.node:
        node.attr.pop("_output_shapes", None)
    return graph


def variables_of_training(graph: Any) -> set[str]:
    """Return the variables that the update operations of optimizers change, beside those that are trained."""
    found = set()
    for operation in graph.get_operations():
        if operation.type.startswith(("Apply", "SparseApply", "ResourceApply", "ResourceSparseApply")):
            trained, *others = operation.inputs
            found |= {name for name in map(variable_behind, others) if name} - {variable_behind(trained)}
    return found


def variable_behind(tensor: Any) -> str:
    """Return the name of the variable that an input is or reads, empty if it is something else."""
    while tensor.op.type in ("Identity", "ReadVariableOp", "Enter") and tensor.op.inputs:
        tensor = tensor.op.inputs[0]
    return str(tensor.op.name) if tensor.op.type in ("VariableV2", "Variable", "VarHandleOp") else ""


@pytest.mark.parametrize("path", GRAPHS)
def test_graphs(tf: Any, tmp_path: Path, path: str) -> None:
    prefix, v1 = os.path.join(corpus_root(), path), tf.compat.v1
    halve(prefix, tmp_path / "m", selection=STRIP)
    before, after = tfbundle.load(prefix), tfbundle.load(tmp_path / "m")
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.train.import_meta_graph(read_graph(f"{prefix}.meta"), clear_devices=True)
        state = variables_of_training(graph)
        assert state
        state |= GRAPHS[path]
        assert before.keys() - after.keys() == state & before.keys()
        model = [variable for variable in v1.global_variables() if variable.op.name not in state]
        v1.train.Saver(model).restore(session, str(tmp_path / "m"))
        restored = {variable.op.name: np.asarray(session.run(variable)) for variable in model}
    assert restored.keys() == after.keys()
    assert all(same(restored[name], after[name]) and same(after[name], before[name]) for name in after)


OBJECTS = [item for item in v2_items() if item.directory.startswith(("keras2_", "keras3_sm", "tf2_ckpt_manager"))]
WITH_OBJECTS = [item for item in OBJECTS if GRAPH in item.tensors]


def rebuild(tf: Any, graph: Any, values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Build objects as a checkpoint had them, but for optimizers, all values zero; return variables by key, too."""
    from tensorflow.python.trackable.autotrackable import AutoTrackable

    made: dict[int, Any] = {}
    variables: dict[str, Any] = {}

    def make(number: int) -> Any:
        if number in made:
            return made[number]
        node = graph.nodes[number]
        keys = [attribute.checkpoint_key for attribute in node.attributes if attribute.name == "VARIABLE_VALUE"]
        if keys:
            made[number] = variables[keys[0]] = tf.Variable(tf.zeros_like(values[keys[0]]))
            return made[number]
        made[number] = AutoTrackable()
        for child in node.children:
            if "optimizer" not in child.local_name:
                made[number]._track_trackable(make(child.node_id), child.local_name, overwrite=True)
        return made[number]

    return make(0), variables


@pytest.mark.parametrize("item", WITH_OBJECTS or [None], ids=lambda item: item.label if item else "no corpus")
def test_objects(tf: Any, tmp_path: Path, item: Item | None) -> None:
    """TensorFlow restores all objects but the optimizers, and finds nothing in the file that they lack."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    if item is None:
        corpus_root()
        return
    halve(item.prefix, tmp_path / "m", selection=STRIP)
    before, after = tfbundle.load(item.prefix), tfbundle.load(tmp_path / "m")
    graphs = [
        trackable_object_graph_pb2.TrackableObjectGraph.FromString(values[GRAPH].item()) for values in (before, after)
    ]
    root, variables = rebuild(tf, graphs[0], before)
    status = tf.train.Checkpoint(root=root).read(str(tmp_path / "m"))
    status.assert_existing_objects_matched()
    for key, variable in variables.items():
        assert same(np.asarray(variable.numpy()), before[key]), key
    listed = {attribute.checkpoint_key for node in graphs[1].nodes for attribute in node.attributes}
    assert listed <= after.keys()
    assert not any(node.slot_variables for node in graphs[1].nodes)
    assert not any("OPTIMIZER_SLOT" in name for name in after)
    assert variables.keys() <= after.keys()
