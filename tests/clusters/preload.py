"""What workers of a test's cluster load: they note that they are there, and pause when they are told to."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tfbundle.storage import local_stage
from tfbundle.streaming import elsewhere

FOLDER = Path(os.environ.get("TFBUNDLE_TEST_FOLDER", ""))

_write_at = local_stage.LocalStagedFile.write_at
_run_step_in_blocks = elsewhere._run_step_in_blocks


def write_slowly(file: local_stage.LocalStagedFile, offset: int, data: Any) -> None:
    """Write after a pause."""
    pause = FOLDER / "pause"
    if pause.exists():
        time.sleep(float(pause.read_text()))
    _write_at(file, offset, data)


def run_and_count(context: Any, step: Any) -> Any:
    """Do a step, and leave a byte for it."""
    with (FOLDER / "steps").open("ab") as file:
        file.write(b".")
    return _run_step_in_blocks(context, step)


def dask_setup(worker: Any) -> None:
    """Begin; Dask calls this in every worker."""
    setattr(local_stage.LocalStagedFile, "write_at", write_slowly)  # noqa: B010
    elsewhere._run_step_in_blocks = run_and_count
    (FOLDER / f"worker.{os.getpid()}").touch()
