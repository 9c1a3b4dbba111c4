"""Builds of this repository, as a stranger's machine would do them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
_PARTS = ("pyproject.toml", "README.md", ".gitignore", "tfbundle", "proto", "tests")
_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis")


def copy_sources(folder: Path) -> Path:
    """Copy what is built to another directory, and return that."""
    folder.mkdir(parents=True)
    for part in _PARTS:
        source = TOP / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=_NOT_COPIED)
        else:
            shutil.copy(source, folder / part)
    return folder


def build(folder: Path, result: Path, kind: str = "wheel", umask: int = 0o022, **changes: str) -> Path:
    """Build ``folder`` with the backend that is installed, and return the file.

    Args:
        folder: the sources.
        result: the directory that takes the file, a new one.
        kind: ``"wheel"`` or ``"sdist"``.
        umask: of the process that builds.
        changes: variables of its environment; all that may have a say are taken out of it before.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(result)]
    plain = {name: value for name, value in os.environ.items() if name not in ("SOURCE_DATE_EPOCH", "PYTHONPATH")}
    environment = {**plain, **changes}
    subprocess.run(command, cwd=folder, env=environment, umask=umask, check=True, capture_output=True, timeout=120)
    (built,) = result.iterdir()
    return built


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist, and return the directory that it made."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder)
    (top,) = folder.iterdir()
    return top
