"""A conversion by the ranks of MPI, as the README shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.clusters.examples import find_example
from tests.support.handmade import all_below, bundle_files, flip
from tests.support.processes import environment
from tests.support.requirements import mpiexec

SMALL_STEPS = "import tfbundle.streaming.elsewhere as elsewhere; elsewhere.LEAST_STEP_NBYTES = 1 << 18\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a checkpoint of 3 MB in ``ckpt``, and what one worker makes of it in ``one``."""
    rng = np.random.default_rng(9)
    tensors = {f"w{number}": rng.standard_normal((100 + number, 701), np.float32) for number in range(10)}
    tfbundle.save(tmp_path / "ckpt" / "model", {"labels": np.array([b"odd"]), **tensors})
    tfbundle.halve(tmp_path / "ckpt" / "model", tmp_path / "one" / "model", options=tfbundle.RunOptions(jobs=1))
    return tmp_path


def run_example(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [mpiexec(), "-n", "3", "--oversubscribe", *(["--allow-run-as-root"] if os.geteuid() == 0 else [])]
    (folder / "halve.py").write_text(SMALL_STEPS + find_example("mpi4py"))
    command += [sys.executable, "-m", "mpi4py.futures", "halve.py"]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )


def test_same_bytes_as_one_worker(folder: Path) -> None:
    done = run_example(folder)
    assert done.returncode == 0, done.stderr
    assert bundle_files(folder / "half" / "model") == bundle_files(folder / "one" / "model")


def test_damage_leaves_nothing(folder: Path) -> None:
    flip(folder / "ckpt" / "model.data-00000-of-00001", 2_000_000)
    before = all_below(folder)
    done = run_example(folder)
    assert done.returncode != 0
    assert "tfbundle.errors.ChecksumError" in done.stderr
    assert all_below(folder) == sorted([*before, "halve.py"])
