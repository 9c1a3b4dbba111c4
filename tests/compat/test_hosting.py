"""``tfbundle run SCRIPT`` does what ``python SCRIPT`` does: the same output, errors and exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.processes import environment

RUN = [sys.executable, "-m", "tfbundle", "run"]
HIDING = [*RUN, "--hide-tensorflow"]

TELL = """
import sys
names = sorted({*globals()} - {"__annotations__"})
print(__file__, sys.argv, sys.path[0], __name__, __package__, __spec__ and __spec__.name, names)
"""
SCRIPTS = {
    "globals": TELL,
    "error": "def f():\n    raise KeyError('x')\nf()\n",
    "error with a cause": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('x') from error\n",
    "syntax error": "x = (\n",
    "exit with text": "import sys\nsys.exit('bye')\n",
    "exit status": "raise SystemExit(7)\n",
    "exit": "raise SystemExit\n",
    "output that fails": "print('\\udc80')\n",
    "thread": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()\nprint('main')\n",
    "at exit": "import atexit\natexit.register(print, 'bye')\nraise OSError(2, 'no')\n",
    "pickle": "import pickle\nclass A: pass\nprint(pickle.dumps(A()), pickle.loads(pickle.dumps(A)) is A)\n",
    "warning": "import warnings\nwarnings.warn('old', DeprecationWarning)\n",
    "hook": "import sys\nsys.excepthook = lambda kind, error, trace: print(kind, trace.tb_lineno)\n1 / 0\n",
    "process": "import os, signal, sys\n"
    "print(sys.stdout.errors, sys.stderr.errors, sys.excepthook, sys.unraisablehook, os.environ.get('X'))\n"
    "print([signal.getsignal(n) for n in (1, 2, 15)], os.environ.get('OPENBLAS_NUM_THREADS'))\n",
    "modules": "import sys\nprint({'numpy', 'google.protobuf', 'absl', 'tensorflow'} & {*sys.modules})\n",
    "encoding": "# -*- coding: latin-1 -*-\nprint('\xe4')\n",
    "input": "print(input())\n",
    "annotations": "x: int = 3\nprint(__annotations__)\n",
    "processes": "from multiprocessing import get_context\ndef f(x): return x + 1\n"
    "if __name__ == '__main__':\n    print(get_context('spawn').Pool(1).map(f, [1, 2]))\n",
    "import beside": "import helper\nprint(helper.__name__)\n",
}


def start(command: list[str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, input=b"typed\n", check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "helper.py").write_text("")
    return tmp_path


def same(folder: Path, *words: str) -> None:
    """Check that a command line does the same both ways."""
    theirs, ours = start([sys.executable, *words], folder), start([*HIDING, *words], folder)
    assert ours.stdout == theirs.stdout
    assert ours.stderr == theirs.stderr
    assert ours.returncode == theirs.returncode


@pytest.mark.parametrize("name", SCRIPTS)
def test_same_as_python(folder: Path, name: str) -> None:
    (folder / "scripts" / "script.py").write_bytes(SCRIPTS[name].encode("latin-1"))
    same(folder, "scripts/script.py")


@pytest.mark.parametrize(
    "words",
    [
        ("scripts/tell.py", "a", "--json", "-m", "--", "x", "-h"),
        ("./scripts/tell.py",),
        ("link.py",),
        ("-m", "scripts.tell", "a", "--b"),
        ("-m", "scripts", "--help"),
    ],
    ids=" ".join,
)
def test_same_arguments(folder: Path, words: tuple[str, ...]) -> None:
    (folder / "scripts" / "tell.py").write_text(TELL)
    (folder / "scripts" / "__main__.py").write_text(TELL)
    (folder / "scripts" / "__init__.py").write_text("")
    (folder / "link.py").symlink_to("scripts/tell.py")
    same(folder, *words)


def test_directory_is_run(folder: Path) -> None:
    (folder / "scripts" / "__main__.py").write_text("import helper, sys; print(sys.argv, __name__)")
    same(folder, "scripts", "x")


CONVERTER = """
import sys
import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.keras.layers import Layer

class Unused(Layer):
    @tf.function
    def call(self, x):
        return tf.matmul(x, x)

tf.disable_v2_behavior()
tf.logging.set_verbosity(tf.logging.ERROR)
if not tf.gfile.Exists(sys.argv[1] + ".index"):
    sys.exit("nothing there")
reader = tf.train.NewCheckpointReader(sys.argv[1])
names = sorted(reader.get_variable_to_shape_map())
np.savez(sys.argv[2], **{name: reader.get_tensor(name) for name in names})
try:
    reader.get_tensor("no")
except tf.errors.NotFoundError as error:
    print(error.message)
if len(sys.argv) > 3:
    tf.Session()
"""


@pytest.fixture
def converter(tmp_path: Path) -> Path:
    tfbundle.save(str(tmp_path / "model"), {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "step": 7})
    script = tmp_path / "convert.py"
    script.write_text(CONVERTER)
    return script


def test_converter(tmp_path: Path, converter: Path) -> None:
    done = start([*HIDING, "convert.py", "model", "out.npz"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Key no not found in checkpoint\n", b"")
    with np.load(tmp_path / "out.npz") as found:
        assert {name: found[name].tolist() for name in found} == {"w": [[0, 1, 2], [3, 4, 5]], "step": 7}


def test_what_is_not_there_is_one_line(tmp_path: Path, converter: Path) -> None:
    done = start([*HIDING, "convert.py", "model", "out.npz", "more"], tmp_path)
    line = CONVERTER.splitlines().index("    tf.Session()") + 1
    assert done.returncode == 5
    assert done.stderr.decode() == (
        f"tfbundle: {tmp_path}/convert.py:{line}: tensorflow.Session is not part of what tfbundle stands in for, which "
        "reads checkpoints; run this where TensorFlow is installed\n"
    )


def test_debug_shows_where_it_was_used(tmp_path: Path, converter: Path) -> None:
    done = start([*HIDING, "--debug", "convert.py", "model", "out.npz", "more"], tmp_path)
    assert done.returncode == 5
    assert b"Traceback" in done.stderr
    assert b"    tf.Session()\n" in done.stderr


def test_tensorflow_is_not_hidden_unless_told_to(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("")
    (tmp_path / "script.py").write_text("import tensorflow as tf; print(tf.int8)")
    done = start([*RUN, "script.py"], tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(b"tfbundle: TensorFlow is installed in ")
    assert b"--hide-tensorflow" in done.stderr
    assert start([*HIDING, "script.py"], tmp_path).stdout == b"<dtype: 'int8'>\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give a SCRIPT to run, or -m MODULE"),
        (("no.py",), "can't open file '{}/no.py': No such file or directory"),
        (("-m", "no_such_module"), "No module named no_such_module"),
        (("-m", "no.such.module"), "No module named no.such.module"),
    ],
    ids=str,
)
def test_what_cannot_be_started(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = start([*HIDING, *words], tmp_path)
    expected = f"tfbundle: {message.format(tmp_path)}; tfbundle run --help tells more\n"
    assert (done.returncode, done.stderr.decode()) == (2, expected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it(tmp_path: Path, number: int) -> None:
    (tmp_path / "script.py").write_text("import time\nprint('on', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [*HIDING, "script.py"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert (b"KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    assert b"hosting.py" not in errors


def test_signal_ends_the_threads_that_go_on(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nprint('on', flush=True)\n"
    )
    process = subprocess.Popen([*HIDING, "script.py"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    time.sleep(0.3)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
