"""``tf.flags`` and ``tf.app``, as scripts of TensorFlow 1 use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import environment

SCRIPT = """
import sys
import {tensorflow} as tf

flags = tf.flags
FLAGS = flags.FLAGS
flags.DEFINE_string("name", None, "The name.")
flags.DEFINE_integer("count", default_value=3, docstring="How many.") if {old} else flags.DEFINE_integer("count", 3, "")
tf.app.flags.DEFINE_bool("on", False, "Whether.")
{early}

def main(argv):
    print(argv[1:], FLAGS.name, FLAGS.count, FLAGS.on, flags.FLAGS["count"].default)
    FLAGS.count = 9
    print(FLAGS.count)
    return 4

if __name__ == "__main__":
    {mark}
    tf.app.run()
"""


def run(folder: Path, world: str, *words: str, old: bool = False, early: str = "", mark: str = "") -> tuple[int, str]:
    text = SCRIPT.format(tensorflow="tensorflow.compat.v1", old=old, early=early, mark=mark)
    (folder / "script.py").write_text(text)
    command = [sys.executable, "-m", "tfbundle", "run", "--hide-tensorflow"] if world == "ours" else [sys.executable]
    done = subprocess.run(
        [*command, "script.py", *words],
        cwd=folder,
        env=environment(TF_CPP_MIN_LOG_LEVEL="3"),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("--name=x", "--count", "5", "rest"), {}),
        (("--on", "--no_such_flag=1"), {}),
        (("--count=7",), {"old": True}),
        ((), {"mark": "flags.mark_flag_as_required('name')"}),
        (("--count=8",), {"early": "print(FLAGS.count)"}),
    ],
    ids=str,
)
def test_same_as_tensorflow(tmp_path: Path, words: tuple[str, ...], options: dict[str, object]) -> None:
    pytest.importorskip("tensorflow")
    assert run(tmp_path, "ours", *words, **options) == run(tmp_path, "theirs", *words, **options)  # type: ignore[arg-type]


def test_missing_package_is_told(tmp_path: Path) -> None:
    code = "import sys; sys.modules['absl'] = None\nimport tensorflow as tf\ntf.flags.DEFINE_string('x', '', '')\n"
    (tmp_path / "script.py").write_text(code)
    command = [sys.executable, "-m", "tfbundle", "run", "--hide-tensorflow", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    expected = "tensorflow.flags needs the package absl-py; pip install 'tfbundle[compat]'"
    assert (done.returncode, done.stderr) == (5, f"tfbundle: {tmp_path}/script.py:3: {expected}\n")
