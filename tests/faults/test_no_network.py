"""Every verb without a network and without TensorFlow: none is asked for, none is missed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.golden.make_golden import FILES
from tests.support.processes import environment, run_script
from tests.support.requirements import needs_programs, needs_root, needs_tracing
from tfbundle.cli.parser import VERBS

SCRIPT = """
import sys
sys.modules["tensorflow"] = None  # cannot be imported
import numpy as np
from tfbundle.cli import main
golden, out = sys.argv[1:]
np.save(out + "/step.npy", np.float32(5))
commands = [
    ["demo", out + "/demo"],
    ["ls", golden + "/native"],
    ["ls", "--tree", golden + "/objects"],
    ["show", out + "/demo/float32", "global_step"],
    ["verify", golden + "/shards"],
    ["verify", "--finish", out + "/demo/float32"],
    ["stats", out + "/demo/float32", "--report", out + "/report.html"],
    ["halve", golden + "/slices", out + "/half/model", "--jobs", "2"],
    ["halve", golden + "/objects", out + "/tree/", "--report", out + "/tree.html"],
    ["cast", out + "/half/model", out + "/back", "--to", "float32"],
    ["merge", golden + "/strings", golden + "/rows", out + "/merged"],
    ["average", out + "/demo/float32", out + "/demo/float32", out + "/mean"],
    ["set", out + "/mean", "beta1_power", out + "/step.npy"],
    ["export", out + "/demo/float32", out + "/all.safetensors", "--drop", "labels"],
    ["export", golden + "/slices", out + "/all.npz"],
    ["export", golden + "/objects", out + "/all/", "--names", "paths"],
    ["import", out + "/all.safetensors", out + "/imported"],
    ["import", out + "/all", out + "/again"],
    ["salvage", golden + "/names", out + "/saved"],
    ["diff", golden + "/native", golden + "/native"],
    ["completion", "bash"],
    ["run", "--hide-tensorflow", out + "/read.py", golden + "/native"],
]
with open(out + "/read.py", "w") as script:
    script.write("import sys, tensorflow as tf; sys.exit(not tf.train.list_variables(sys.argv[1]))")
for command in commands:
    try:
        status = main(command)
    except SystemExit as leaving:  # of a script that is run
        status = int(leaving.code)
    assert status == 0, (command, status)
    print("done", command[0])
names = [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras") and sys.modules[name]]
assert not [name for name in names if not sys.modules[name].__file__.endswith("tfbundle/compat/__init__.py")]
"""

NETWORK_CALL = re.compile(r"\b(socket|socketpair|connect|sendto|sendmsg|bind)\((.*)")


def test_every_verb_without_network_and_tensorflow(tmp_path: Path) -> None:
    needs_root()
    needs_tracing()
    needs_programs("unshare")
    trace, out = tmp_path / "trace", tmp_path / "out"
    out.mkdir()
    command = ["unshare", "--net", "strace", "-f", "-qq", "-e", "trace=network", "-o", str(trace), sys.executable]
    done = subprocess.run(
        [*command, "-c", SCRIPT, str(FILES), str(out)], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {line.split()[1] for line in done.stdout.splitlines() if line.startswith("done ")} == set(VERBS)
    calls = [match for line in trace.read_text().splitlines() if (match := NETWORK_CALL.search(line))]
    assert [call[0] for call in calls if "AF_UNIX" not in call[2]] == []


def test_the_trace_would_show_a_connection(tmp_path: Path) -> None:
    needs_tracing()
    trace = tmp_path / "trace"
    script = "import socket; socket.socket(socket.AF_INET).connect_ex(('127.0.0.1', 9))"
    subprocess.run(["strace", "-f", "-e", "trace=network", "-o", str(trace), sys.executable, "-c", script], check=True)
    found = NETWORK_CALL.search(trace.read_text())
    assert found
    assert "AF_UNIX" not in found[2]


EVERYTHING = """
import sys, tfbundle
for name in tfbundle.__all__:
    getattr(tfbundle, name)
print([name for name in ("tensorflow", "urllib.request", "http.client", "ssl") if name in sys.modules])
"""


def test_nothing_of_the_kind_is_imported() -> None:
    assert run_script(EVERYTHING).strip() == "[]"
