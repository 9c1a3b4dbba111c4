"""A frozen graph with large constants is halved in little memory, whatever their size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.graph.test_constants import constant
from tests.support.processes import environment
from tfbundle.graph.outline import encode_before
from tfbundle.pb import parse_message

MIB = 1 << 20
MOST_MIB = 100

_RUN = """
import sys, tfbundle
tfbundle.halve(sys.argv[1], sys.argv[2])
lines = open("/proc/self/status").read().splitlines()
print(next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("sizes", [(200,), (60, 60, 60)])
def test_memory(sizes: tuple[int, ...], tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=MIB // 4).astype("<f4")
    with (tmp_path / "g.pb").open("wb") as file:
        for number, mib in enumerate(sizes):
            file.write(encode_before(constant(f"c{number}", (mib, MIB // 4)), mib * MIB))
            for _ in range(mib):
                file.write(values.tobytes())
    command = [sys.executable, "-c", _RUN, str(tmp_path / "g.pb"), str(tmp_path / "half.pb")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert int(done.stdout) < MOST_MIB
    message = parse_message("GraphDef", (tmp_path / "half.pb").read_bytes())
    assert [node.op for node in message.node] == ["Const", "Cast"] * len(sizes)
    for node, mib in zip(message.node[::2], sizes, strict=True):
        found = np.frombuffer(node.attr["value"].tensor.tensor_content, "<f2").reshape(mib, -1)
        assert (found == values.astype(np.float16)).all()
