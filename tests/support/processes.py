"""Commands and scripts in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent

BARE_IMPORTS = "import numpy, google.protobuf, crc32c"
"""What ``tfbundle`` is measured against."""


def environment(**changes: str | None) -> dict[str, str]:
    """Return the environment with this repository importable from anywhere; None removes a variable."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOP), os.environ.get("PYTHONPATH", "")])}
    for name, value in changes.items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    return variables


def start_tfbundle(*arguments: str | Path, **changes: str | None) -> subprocess.Popen[bytes]:
    """Start ``python -m tfbundle`` with pipes for its output."""
    command = [sys.executable, "-m", "tfbundle", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**changes))


def run_tfbundle(*arguments: str | Path, **changes: str | None) -> tuple[int, str, str]:
    """Run ``python -m tfbundle``; return its exit status and what it printed."""
    process = start_tfbundle(*arguments, **changes)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output.decode(), errors.decode()


def run_script(script: str, *arguments: str | Path) -> str:
    """Run a Python script given as text, and return what it printed."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment(), timeout=900).stdout


_PEAK = """
import sys
{script}
lines = open("/proc/self/status").read().splitlines()
print("peak", next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
"""


def peak_nbytes(script: str, *arguments: str | Path) -> int:
    """Run a script and return the most memory that its process ever held (Linux)."""
    found = run_script(_PEAK.format(script=script), *arguments)
    return int(found.split()[-1]) * 1024
