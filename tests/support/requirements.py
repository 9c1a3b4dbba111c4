"""What some tests need and not every machine has: TensorFlow, the corpus of checkpoints, a browser, ways to do harm.

Where it is missing the test is skipped, visibly; with ``TFBUNDLE_REQUIRE_TENSORFLOW=1``, ``TFBUNDLE_REQUIRE_CORPUS=1``,
``TFBUNDLE_REQUIRE_BROWSER=1``, ``TFBUNDLE_REQUIRE_SHELLS=1``, ``TFBUNDLE_REQUIRE_CLUSTERS=1``,
``TFBUNDLE_REQUIRE_KERAS=1`` or ``TFBUNDLE_REQUIRE_FAULTS=1`` in the environment it fails.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest


def tensorflow() -> Any:
    """Return the ``tensorflow`` module."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        return _import_quietly("tensorflow")
    except ImportError as error:
        _miss("TENSORFLOW", f"TensorFlow cannot be imported: {error}")


def tensorflow_module(name: str) -> Any:
    """Return a submodule of TensorFlow, such as ``core.framework.types_pb2``."""
    tensorflow()
    return _import_quietly(f"tensorflow.{name}")


def corpus_root() -> Path:
    """Return the directory that holds the corpus."""
    root = find_corpus()
    if root is None:
        _miss("CORPUS", "TFBUNDLE_CORPUS does not name a directory with a corpus of checkpoints")
    return root


def find_corpus() -> Path | None:
    """Return the directory that holds the corpus, None where there is none."""
    name = os.environ.get("TFBUNDLE_CORPUS", "")
    root = Path(name)
    return root if name and any(root.glob("*/*/EXPECTED.json")) else None


def browser_programs() -> tuple[str, str]:
    """Return the paths of Chromium and of its driver; selenium can be imported."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        _miss("BROWSER", "chromium and chromedriver are not both on the path")
    try:
        import_module("selenium.webdriver")
    except ImportError as error:
        _miss("BROWSER", f"selenium cannot be imported: {error}")
    return chromium, driver


def needs_shell(name: str) -> None:
    """Go on where a shell is installed."""
    if not shutil.which(name):
        _miss("SHELLS", f"{name} is not on the path")


def needs_build_backend() -> None:
    """Go on where wheels can be built."""
    needs_module("hatchling")


def needs_keras2() -> None:
    """Go on where Keras 2 is installed, as ``tf_keras``."""
    if importlib.util.find_spec("tf_keras") is None:
        _miss("KERAS", "tf_keras is not installed")


def needs_root() -> None:
    """Go on as root alone, on Linux."""
    if sys.platform != "linux" or os.geteuid() != 0:
        _miss("FAULTS", "needs root, on Linux")


def needs_programs(*names: str) -> None:
    """Go on where these programs are installed."""
    for name in names:
        if not shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            _miss("FAULTS", f"{name} is not on the path")


def needs_device(path: str) -> None:
    """Go on where a device can be opened."""
    if not os.access(path, os.R_OK | os.W_OK):
        _miss("FAULTS", f"{path} cannot be opened")


def needs_module(name: str) -> None:
    """Go on where a module can be imported."""
    try:
        import_module(name)
    except (ImportError, OSError) as error:  # of a module that looks for a library
        _miss("FAULTS", f"{name} cannot be imported: {error}")


def needs_tracing() -> None:
    """Go on where strace is installed and may trace processes."""
    needs_programs("strace")
    if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        _miss("FAULTS", "strace may not trace processes here")


def needs_cluster(module: str) -> None:
    """Go on where the package for a kind of cluster is installed."""
    if importlib.util.find_spec(module) is None:
        _miss("CLUSTERS", f"{module} is not installed")


def mpiexec() -> str:
    """Return the path of MPI's launcher; its Python package can be imported, too."""
    needs_cluster("mpi4py")
    found = shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))
    if found is None:
        _miss("CLUSTERS", "mpiexec is not on the path")
    return found


def missing_fault(reason: str) -> NoReturn:
    """Skip a test that needs a way to do harm, or fail it where that is required."""
    _miss("FAULTS", reason)


def _import_quietly(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations within TensorFlow are not ours to fix
        return import_module(name)


def _miss(kind: str, reason: str) -> NoReturn:
    if os.environ.get(f"TFBUNDLE_REQUIRE_{kind}") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
