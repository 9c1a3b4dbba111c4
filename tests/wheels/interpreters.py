"""The Pythons of this machine, and virtual environments of theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ASK = "import sys; print(sys.implementation.name, *sys.version_info[:2], sys.version_info.releaselevel)"


@cache
def find_interpreters() -> dict[tuple[int, int], str]:
    """Return the finished releases of CPython that can be found, by version."""
    on_path = [shutil.which(f"python3.{minor}") for minor in range(8, 30)]
    of_pyenv = sorted(map(str, Path(os.path.expanduser("~/.pyenv/versions")).glob("3.*/bin/python3")))
    found: dict[tuple[int, int], str] = {}
    for program in [*of_pyenv, *filter(None, on_path)]:
        asked = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, timeout=60, check=False)
        if asked.returncode == 0:  # a program may be there to say that its version is not
            name, major, minor, level = asked.stdout.split()
            if (name, level) == ("cpython", "final"):
                found[int(major), int(minor)] = program
    return found


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, program: str) -> Environment:
        """Make a new one of an interpreter."""
        subprocess.run([program, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=300)
        return cls(folder)

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    def install(self, requirements: Sequence[str]) -> None:
        """Install packages that need no compiler."""
        command = [self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:"]
        done = subprocess.run([*command, *requirements], capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, script: Path, folder: Path) -> str:
        """Run a script in a directory where nothing of this repository is in reach; return what it printed."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        folder.mkdir()
        done = subprocess.run(
            [self.python, "-I", str(script)],
            cwd=folder,
            env=clean,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
