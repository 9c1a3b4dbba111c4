from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.wire import bytes_field, varint_field
from tfbundle import Naming, RunOptions, Selection, halve
from tfbundle.conversion.edits import NO_OBJECTS
from tfbundle.format.object_graph import decode_object_graph

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
COUNTER = f"save_counter{VALUE}"


def node(*children: tuple[str, int], key: str = "") -> bytes:
    data = b"".join(bytes_field(1, varint_field(1, at) + bytes_field(2, name.encode())) for name, at in children)
    if key:
        data += bytes_field(2, bytes_field(1, b"VARIABLE_VALUE") + bytes_field(3, key.encode()))
    return bytes_field(1, data)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Prefix of a TF2 checkpoint of two variables, and of a tensor that no object has."""
    graph = node(("m", 1), ("save_counter", 4)) + node(("a", 2), ("b", 3))
    graph += b"".join(node(key=name + VALUE) for name in ("m/a", "m/b", "save_counter"))
    tensors: dict[str, Any] = {
        GRAPH: np.array(graph, object),
        f"m/a{VALUE}": np.ones(2, np.float32),
        f"m/b{VALUE}": np.ones(1, np.float32),
        COUNTER: np.int64(1),
        "plain": np.zeros(1, np.float32),
    }
    tfbundle.save(tmp_path / "source", tensors)
    return str(tmp_path / "source")


def written(source: str, tmp_path: Path, selection: Selection, naming: Naming) -> set[str]:
    """Return the names in the result, which a dry run foresees, and check that the graph tells the truth."""
    foreseen = halve(source, tmp_path / "h", selection=selection, naming=naming, options=RunOptions(dry_run=True))
    report = halve(source, tmp_path / "h", selection=selection, naming=naming)
    assert [(t.name, t.target_name, t.reason) for t in foreseen.tensors] == [
        (t.name, t.target_name, t.reason) for t in report.tensors
    ]
    assert tfbundle.verify(tmp_path / "h").ok
    with tfbundle.open(tmp_path / "h") as bundle:
        names = set(bundle)
        assert names == {tensor.target_name for tensor in report.tensors} - {""}
        if GRAPH in names:
            listed = {key for found in decode_object_graph(bundle[GRAPH].item()) for key in found.checkpoint_keys}
            assert listed == {name for name in names if "/.ATTRIBUTES/" in name}
    return names


@pytest.mark.parametrize(
    ("selection", "naming", "expected"),
    [
        (Selection(select=("m/a",)), Naming(), {GRAPH, COUNTER, f"m/a{VALUE}"}),
        (Selection(select=("plain",)), Naming(), {"plain"}),
        (Selection(select=("plain", "save_counter")), Naming((("plain", "p"),)), {"p"}),
        (Selection(select=("save_counter",)), Naming(), {GRAPH, COUNTER}),
        (Selection(select=("m/a",), drop=("save_counter",)), Naming(), {GRAPH, f"m/a{VALUE}"}),
        (Selection(select=("m/a",), drop=(GRAPH,)), Naming(), {COUNTER, f"m/a{VALUE}"}),
        (Selection(drop=("m/*",)), Naming(), {GRAPH, COUNTER, "plain"}),
        (Selection(), Naming(map={"m/b": "x"}), {GRAPH, COUNTER, f"x{VALUE}"}),
        (Selection(drop=("m/b",)), Naming(map={"m/b": "x", "m/a": "m/b"}), {GRAPH, COUNTER, f"m/b{VALUE}"}),
        (Selection(), Naming(map={f"m/b{VALUE}": "x"}), {"x"}),
        (Selection(), Naming(map={f"m/b{VALUE}": "x", "m/a": "a"}), {GRAPH, COUNTER, "x", f"a{VALUE}"}),
        (Selection(), Naming(add_prefix="n/"), {GRAPH, COUNTER, f"n/m/a{VALUE}", f"n/m/b{VALUE}", "n/plain"}),
        (Selection(), Naming(map={COUNTER: "c", "plain": "p"}), {"c", "p"}),
        (Selection(), Naming(map={"save_counter": "c"}), {GRAPH, f"c{VALUE}"}),
    ],
)
def test_graph_and_save_counter(
    source: str, tmp_path: Path, selection: Selection, naming: Naming, expected: set[str]
) -> None:
    assert written(source, tmp_path, selection, naming) == expected


def test_reason(source: str, tmp_path: Path) -> None:
    report = halve(source, tmp_path / "h", selection=Selection(select=("plain",)))
    assert report.count_reasons("drop") == {"not in --select": 2, NO_OBJECTS: 2}


@pytest.mark.parametrize(
    ("naming", "message"),
    [
        (Naming(map={GRAPH: "g"}), "only the object graph has this name"),
        (Naming(map={"plain": GRAPH}), "only the object graph has this name"),
        (Naming(map={"plain": f"m/c{VALUE}"}), "no object of the checkpoint has the value"),
        (Naming(map={"m/a": "m/b"}, map_rest="keep"), "would both be called m/b"),
        (Naming(map={"m/a": "m", "m/b": "m/b"}), "another object of the checkpoint is there"),
    ],
)
def test_what_objects_cannot_be_called(source: str, tmp_path: Path, naming: Naming, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        halve(source, tmp_path / "h", naming=naming)
    assert not (tmp_path / "h.index").exists()
