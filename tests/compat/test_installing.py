"""``import tensorflow`` means the stand-in when that was asked for; each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.processes import environment
from tests.support.requirements import tensorflow


def run(code: str, cwd: Path | None = None, **changes: str | None) -> tuple[str, str]:
    """Run code; return what it printed, and the last line of what went to standard error."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=cwd, env=environment(**changes), capture_output=True, text=True, check=False)
    return done.stdout.strip(), (done.stderr.strip().splitlines() or [""])[-1]


@pytest.fixture
def stand_in() -> str:
    return "import sys; from tfbundle.compat import install, is_installed, uninstall; install(hide_tensorflow=True)\n"


IMPORTS = {
    "import tensorflow as tf": "tf.float32",
    "import tensorflow.compat.v1 as tf": "tf.float32",
    "import tensorflow.compat.v2 as tf": "tf.float32",
    "from tensorflow.compat import v1 as tf": "tf.train.NewCheckpointReader.__name__",
    "from tensorflow import train": "train.list_variables.__name__",
    "import tensorflow.train": "tensorflow.train.list_variables.__name__",
    "from tensorflow.compat.v1.train import NewCheckpointReader": "NewCheckpointReader.__name__",
    "from tensorflow.python import pywrap_tensorflow": "pywrap_tensorflow.NewCheckpointReader.__name__",
    "from tensorflow.python.training import checkpoint_utils as cp": "cp.load_variable.__name__",
    "from tensorflow.python.training import py_checkpoint_reader": "py_checkpoint_reader.NewCheckpointReader.__name__",
    "from tensorflow.python.framework.errors_impl import NotFoundError": "NotFoundError.__name__",
    "from tensorflow.python.platform import gfile": "gfile.GFile.__name__",
    "from tensorflow.python.lib.io import file_io": "file_io.FileIO.__name__",
    "from tensorflow.contrib.framework.python.framework import checkpoint_utils": "checkpoint_utils.load_variable",
    "from tensorflow.keras import layers": "repr(layers)",
    "from tensorflow.keras.layers import Dense, Conv2D": "repr(Dense)",
    "import tensorflow.keras.backend as K": "repr(K.clear_session)",
    "from tensorflow.train import *": "list_variables.__name__",
    "from tensorflow.python.nowhere.deep import thing": "repr(thing)",
}


def test_every_way_to_import(stand_in: str) -> None:
    code = stand_in
    for statement, use in IMPORTS.items():
        code += f"{statement}\nassert {use}\n"
    code += "from importlib.util import find_spec\nprint(find_spec('tensorflow').name, sorted(sys.modules)[-1] > '')\n"
    code += "import tensorflow, tensorflow.compat.v1 as v1; print(v1 is tensorflow, tensorflow.__spec__.name)"
    assert run(code) == ("tensorflow True\nTrue tensorflow", "")


@pytest.mark.parametrize("statement", ["import tensorflow.contrib.slim", "from tensorflow.models import x"])
def test_what_tensorflow_has_no_more(stand_in: str, statement: str) -> None:
    _, error = run(stand_in + statement)
    assert error.startswith("ModuleNotFoundError: No module named 'tensorflow.")


def test_everything_of_a_module_that_is_not_there(stand_in: str) -> None:
    _, error = run(f"{stand_in}from tensorflow.keras.layers import *")
    assert "tensorflow.keras.layers.* is not part of" in error


def test_twice_and_back(stand_in: str) -> None:
    code = """
        install(hide_tensorflow=True)
        install()
        import tensorflow
        print(is_installed(), sum("tfbundle" in type(finder).__module__ for finder in sys.meta_path))
        uninstall()
        uninstall()
        print(is_installed(), [name for name in sys.modules if name.startswith("tensorflow")])
    """
    assert run(stand_in + textwrap.dedent(code)) == ("True 1\nFalse []", "")


def test_module_that_cannot_be_imported(stand_in: str) -> None:
    assert run(f"import sys; sys.modules['tensorflow'] = None\n{stand_in}import tensorflow; print(1)") == ("1", "")


def test_threads_import_the_same(stand_in: str) -> None:
    code = """
        from concurrent.futures import ThreadPoolExecutor
        from importlib import import_module
        names = ["tensorflow", "tensorflow.compat.v1", "tensorflow.train", "tensorflow.python.platform.gfile"]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(import_module, names * 50))
        print(len(set(map(id, found))))
    """
    assert run(stand_in + textwrap.dedent(code)) == ("3", "")


def test_nothing_happens_by_itself(tmp_path: Path) -> None:
    code = """
        import sys
        before = list(sys.meta_path)
        import tfbundle, tfbundle.compat
        from tfbundle.compat import tf
        tf.train.latest_checkpoint(".")
        print(sys.meta_path == before, [name for name in sys.modules if name.startswith("tensorflow")])
    """
    assert run(code) == ("True []", "")


def test_tensorflow_that_is_there_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("real = True")
    code = "from tfbundle.compat import install; install()"
    _, error = run(code, cwd=tmp_path)
    assert error.startswith("ValueError: TensorFlow is installed in ")
    assert "hide_tensorflow=True" in error
    code = "import tensorflow; from tfbundle.compat import install; install(hide_tensorflow=True)"
    assert "TensorFlow is imported already" in run(code, cwd=tmp_path)[1]
    code = "from tfbundle.compat import install; install(hide_tensorflow=True); import tensorflow as t; print(t.real)"
    assert run(code, cwd=tmp_path)[0] == ""
    (tmp_path / "tensorflow" / "__init__.py").unlink()  # a directory of that name is no TensorFlow
    code = "from tfbundle.compat import install; install(); import tensorflow as t; print(t.int8)"
    found, error = run(code, cwd=tmp_path)
    assert found == "<dtype: 'int8'>" or "TensorFlow is installed in" in error


def test_real_tensorflow_is_not_hidden() -> None:
    tensorflow()
    assert "ValueError: TensorFlow is installed in" in run("from tfbundle.compat import install; install()")[1]


def test_both_in_one_process() -> None:
    tensorflow()
    code = """
        import tfbundle.compat.tf, tensorflow
        from tfbundle.compat import tf
        print(tf is not tensorflow, tf.float32 == tensorflow.float32, tf.as_dtype("half").name)
    """
    assert run(code, TF_CPP_MIN_LOG_LEVEL="3")[0] == "True True float16"
