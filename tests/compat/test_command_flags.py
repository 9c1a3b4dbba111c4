"""``tf.flags`` and ``tf.app``, as scripts of TensorFlow 1 use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.processes import environment
from tests.support.requirements import tensorflow

SCRIPT = """
import sys
import tensorflow.compat.v1 as tf

flags = tf.flags
FLAGS = flags.FLAGS
flags.DEFINE_string("name", None, "The name.")
{define}
tf.app.flags.DEFINE_bool("on", False, "Whether.")
{early}

def main(argv):
    print(argv[1:], FLAGS.name, FLAGS.count, FLAGS.on, flags.FLAGS["count"].default, "name" in list(FLAGS))
    FLAGS.count = 9
    print(FLAGS.count)
    return 4

if __name__ == "__main__":
    {mark}
    tf.app.run()
"""
DEFINE = 'flags.DEFINE_integer("count", 3, "How many.")'
OLD = 'flags.DEFINE_integer("count", default_value=3, docstring="How many.")'
CASES = {
    "values": (SCRIPT.format(define=DEFINE, early="", mark="pass"), ["--name=x", "--count", "5", "rest"]),
    "unknown": (SCRIPT.format(define=DEFINE, early="", mark="pass"), ["--on", "--no_such_flag=1"]),
    "old names": (SCRIPT.format(define=OLD, early="", mark="pass"), ["--count=7"]),
    "required": (SCRIPT.format(define=DEFINE, early="", mark="flags.mark_flag_as_required('name')"), []),
    "read early": (SCRIPT.format(define=DEFINE, early="print(FLAGS.count)", mark="pass"), ["--count=8"]),
}

SERVE = """
import json, os, runpy, sys
if {ours}:
    from tfbundle.compat import install
    install(hide_tensorflow=True)
import tensorflow.compat.v1
statuses = []
for name, words in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        for descriptor in (1, 2):
            os.dup2(os.open(f"{{name}}.out{{descriptor}}", os.O_CREAT | os.O_WRONLY), descriptor)
        sys.argv = [f"{{name}}.py", *words]
        status = 0
        try:
            runpy.run_path(f"{{name}}.py", run_name="__main__")
        except SystemExit as leaving:
            status = leaving.code
        sys.stdout.flush()
        os._exit(status)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(statuses))
"""


def run_all(folder: Path, *, ours: bool) -> dict[str, tuple[int, str]]:
    """Run every script; return its exit status and what it printed."""
    folder.mkdir()
    for name, (text, _) in CASES.items():
        (folder / f"{name}.py").write_text(text)
    words = json.dumps([(name, words) for name, (_, words) in CASES.items()])
    command = [sys.executable, "-c", SERVE.format(ours=ours), words]
    variables = environment(TF_CPP_MIN_LOG_LEVEL="3")
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    statuses = json.loads(done.stdout.splitlines()[-1])
    return {name: (status, (folder / f"{name}.out1").read_text()) for name, status in zip(CASES, statuses, strict=True)}


def test_same_as_tensorflow(tmp_path: Path) -> None:
    tensorflow()
    found = run_all(tmp_path / "ours", ours=True)
    assert found == run_all(tmp_path / "theirs", ours=False)
    assert found["values"] == (4, "['rest'] x 5 False 3 True\n9\n")
    assert found["required"][0] == 1


def test_missing_package_is_told(tmp_path: Path) -> None:
    code = "import sys; sys.modules['absl'] = None\nimport tensorflow as tf\ntf.flags.DEFINE_string('x', '', '')\n"
    (tmp_path / "script.py").write_text(code)
    command = [sys.executable, "-m", "tfbundle", "run", "--hide-tensorflow", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    expected = "tensorflow.flags needs the package absl-py; pip install 'tfbundle[compat]'"
    assert (done.returncode, done.stderr) == (5, f"tfbundle: {tmp_path}/script.py:3: {expected}\n")
