"""What every graph of the corpus wants, against the checkpoint beside it, as TensorFlow read that."""

from __future__ import annotations

import os
import re

import pytest

from tests.support.corpus import Item, iter_items
from tests.support.requirements import corpus_root, find_corpus
from tfbundle.bundle.template import read_template
from tfbundle.format.wanted import Wanted

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
OPEN_SHAPES = {
    "serving_session_bundle_v1": {"a", "b"},  # scalars of the old ``Variable``, which may have had any shape
    "tfdeploy_keras-multiple-2.0.0-alpha0": {  # strings that are restored to no variable
        f"{place}/.ATTRIBUTES/OBJECT_CONFIG_JSON" for place in ("", "layer-0", "layer-1", "layer-2", "layer-3")
    },
}
WITHOUT_SAVER = {"tfx_transform_fn"}


def graph_of(item: Item) -> str | None:
    """Return the graph that restores a checkpoint."""
    model = os.path.normpath(os.path.join(os.path.dirname(item.prefix), os.pardir, "saved_model.pb"))
    prefix = re.sub(r"-\?{5}-of-[0-9]{5}$", "", item.prefix)  # as shards of a V1 checkpoint are named
    return next(filter(os.path.exists, (prefix + ".meta", model)), None)


def pairs() -> list[tuple[str, Item]]:
    root = find_corpus()
    found = ((graph_of(item), item) for item in iter_items(root)) if root else ()
    return [(graph, item) for graph, item in found if graph]


def test_every_graph_of_the_corpus_has_its_checkpoint() -> None:
    root = corpus_root()
    names = (path for path in root.rglob("*") if path.name.endswith(".meta") or path.name == "saved_model.pb")
    graphs = {os.path.realpath(path) for path in names}
    assert {os.path.realpath(graph) for graph, _ in pairs()} == graphs
    assert len(graphs) >= 50


@pytest.mark.parametrize(("graph", "item"), pairs(), ids=lambda value: getattr(value, "label", ""))
def test_graph_wants_what_its_checkpoint_holds(graph: str, item: Item) -> None:
    wanted = read_template(graph)
    if item.directory in WITHOUT_SAVER:
        assert wanted == {}
        return
    kinds = {name: (tensor.dtype, tensor.shape) for name, tensor in wanted.items()}
    expected: dict[str, tuple[str, tuple[int, ...] | None]] = {
        name: (tensor.dtype, tensor.shape) for name, tensor in item.tensors.items()
    }
    for name in {OBJECT_GRAPH} | OPEN_SHAPES.get(item.directory, set()):
        if name in expected:
            expected[name] = (expected[name][0], None)
    assert kinds == expected
    stored = {name: tensor.slices for name, tensor in read_template(item.prefix).items()}
    assert {name: tensor.slices for name, tensor in wanted.items()} == stored


def test_checkpoints_as_templates() -> None:
    root = corpus_root()
    for item in iter_items(root):
        wanted = read_template(item.prefix)
        assert {name: tensor[:2] for name, tensor in wanted.items()} == {
            name: (tensor.dtype, tensor.shape) for name, tensor in item.tensors.items()
        }, item.label
        assert all(isinstance(tensor, Wanted) for tensor in wanted.values())
