"""Graphs are converted in the memory that conversions take, and the size of their files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.graph.test_constants import constant
from tests.support.graphs import FLOAT, call, function, node, saver_graph, value
from tests.support.processes import environment
from tfbundle.graph.outline import encode_before
from tfbundle.graph.wire import head
from tfbundle.pb import message_class, parse_message

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MIB = 1 << 20
MOST_MIB = 100

_RUN = """
import sys, tfbundle
tfbundle.halve(sys.argv[1], sys.argv[2])
lines = open("/proc/self/status").read().splitlines()
print(next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM")))
"""


def halve(source: Path, target: Path) -> int:
    """Halve something in a process of its own; return the MiB that took."""
    command = [sys.executable, "-c", _RUN, str(source), str(target)]
    return int(subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("sizes", [(200,), (60, 60, 60)])
def test_constants_of_a_frozen_graph_stay_in_the_file(sizes: tuple[int, ...], tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=MIB // 4).astype("<f4")
    with (tmp_path / "g.pb").open("wb") as file:
        for number, mib in enumerate(sizes):
            before = encode_before(constant(f"c{number}", (mib, MIB // 4)), mib * MIB)
            file.write(head(1, len(before) + mib * MIB) + before)
            for _ in range(mib):
                file.write(values.tobytes())
    assert halve(tmp_path / "g.pb", tmp_path / "half.pb") < MOST_MIB
    message = parse_message("GraphDef", (tmp_path / "half.pb").read_bytes())
    assert [each.op for each in message.node] == ["Const", "Cast"] * len(sizes)
    for each, mib in zip(message.node[::2], sizes, strict=True):
        found = np.frombuffer(each.attr["value"].tensor.tensor_content, "<f2").reshape(mib, -1)
        assert (found == values.astype(np.float16)).all()


def negations(count: int, source: str, output: str) -> list[Any]:
    """Return nodes that negate a value again and again, described as TensorFlow does it."""
    nodes = []
    for number in range(count):
        name = f"tower_{number:06}/negative"
        nodes.append(node(name, "Neg", source, T=value(type=FLOAT), _class=value(list={"s": [b"loc:@weights"]})))
        source = name + output
    return nodes


def many_nodes() -> Any:
    """Return a graph of 100,000 nodes, as training has it."""
    return saver_graph("w", extra=negations(100_000, "w/read", ""))


def many_functions() -> Any:
    """Return a graph with 1,000 functions of 100 nodes, as SavedModels of recurrent networks have them."""
    message = saver_graph("w", extra=[call(f"call_{number}", f"f{number}") for number in range(1000)])
    for number in range(1000):
        made = function(f"f{number}", ["x"], negations(100, "x", ":y:0"))
        made.signature.input_arg[0].type = FLOAT
        message.graph_def.library.function.append(made)
    return message


@pytest.mark.parametrize("make", [many_nodes, many_functions])
@pytest.mark.parametrize("form", ["meta", "SavedModel"])
def test_nodes_take_no_more_than_their_file(make: Callable[[], Any], form: str, tmp_path: Path) -> None:
    message = make()
    model = message_class("SavedModel")(meta_graphs=[message])
    values = np.linspace(0, 1, 4, dtype=np.float32)
    if form == "meta":
        tfbundle.save(tmp_path / "model", {"w": values})
        source, graph, half = tmp_path / "model", tmp_path / "model.meta", tmp_path / "half.meta"
        graph.write_bytes(message.SerializeToString())
    else:
        source, graph, half = tmp_path / "sm", tmp_path / "sm" / "saved_model.pb", tmp_path / "half" / "saved_model.pb"
        (source / "variables").mkdir(parents=True)
        tfbundle.save(source / "variables" / "variables", {"w": values})
        graph.write_bytes(model.SerializeToString())
    assert graph.stat().st_size > 8 * MIB
    assert halve(source, tmp_path / "half") < MOST_MIB + graph.stat().st_size // MIB
    assert tfbundle.load(tmp_path / "half")["w"].dtype == np.float16
    kind = "MetaGraphDef" if form == "meta" else "SavedModel"
    written = parse_message(kind, half.read_bytes())
    (found,) = [written] if form == "meta" else written.meta_graphs
    assert found.graph_def.library == message.graph_def.library
    assert len(found.graph_def.node) == len(message.graph_def.node) + 2
