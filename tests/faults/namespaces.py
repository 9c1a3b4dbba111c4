"""Scripts in a mount namespace of their own, so that what they mount is gone when they are, however they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.processes import environment
from tests.support.requirements import needs_programs, needs_root


def run_isolated(module: str, *arguments: str | Path, timeout: float = 600) -> list[Any]:
    """Run a module of the tests as root in a mount namespace; return the lines of JSON that it printed."""
    needs_root()
    needs_programs("unshare", "mount", "umount")
    command = ["unshare", "--mount", "--fork", "--pid", "--kill-child", "--mount-proc"]
    command += [os.path.realpath(sys.executable), "-m", module, *map(str, arguments)]
    changes = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "TFBUNDLE_PROGRESS": None}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env=environment(**changes)
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def tell(*fields: Any) -> None:
    """Print a line of JSON, for ``run_isolated``."""
    print(json.dumps(fields), flush=True)
