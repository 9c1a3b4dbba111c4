"""A conversion by the workers of a Dask cluster, some of which die."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.clusters.dask_cluster import Cluster, is_alive, running_cluster, steps_done, wait_until
from tests.clusters.examples import ADDRESS, find_example
from tests.support.handmade import all_below, bundle_files, flip
from tests.support.processes import environment, run_tfbundle
from tests.support.requirements import needs_cluster, needs_programs, needs_root

# Steps of 1 MiB, so that a small checkpoint has many.
COORDINATOR = """
import sys
import tfbundle.streaming.elsewhere as elsewhere
from tfbundle.cli import run_process
elsewhere.LEAST_STEP_NBYTES = 1 << 20
run_process()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    needs_cluster("distributed")
    with running_cluster(tmp_path_factory.mktemp("cluster"), 2) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a checkpoint of 30 MB, called ``source``, and what one worker makes of it, called ``one``."""
    folder = tmp_path_factory.mktemp("checkpoints")
    rng = np.random.default_rng(8)
    with tfbundle.create(folder / "source") as writer:
        writer.add("aa", np.array([b"odd"]))
        for number in range(200):
            writer.add(f"small/{number:03d}", rng.standard_normal(number, np.float32))
        for number in range(3):
            writer.add(f"large/{number}", rng.standard_normal((700 + number, 3001), np.float32))
        for part in range(2):
            rows = rng.standard_normal((400, 1501), np.float32)
            writer.add_slice("parted", rows, shape=(800, 1501), extents=((400 * part, 400), (0, -1)))
    status, _, errors = run_tfbundle("halve", folder / "source", folder / "one", "--jobs", "1", "--quiet")
    assert (status, errors) == (0, "")
    return folder


@pytest.fixture(autouse=True)
def nothing_else_is_left(folder: Path) -> Iterator[None]:
    before = all_below(folder)
    yield
    for path in folder.glob("half.*"):
        path.unlink()
    assert all_below(folder) == before


def start(cluster: Cluster, folder: Path, *options: str, source: str = "source") -> subprocess.Popen[bytes]:
    """Start a conversion, in the checkpoint's directory, whose paths are relative."""
    words = ["halve", source, "half", "--dask", cluster.address, "--quiet", *options]
    return subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=120)
    return process.returncode, output.decode(), errors.decode()


def test_same_bytes_as_one_worker(cluster: Cluster, folder: Path) -> None:
    before = steps_done(cluster.folder)
    assert finish(start(cluster, folder)) == (0, "", "")
    assert steps_done(cluster.folder) - before > 20
    assert bundle_files(folder / "half") == bundle_files(folder / "one")


def test_example_of_the_readme(cluster: Cluster, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ckpt").mkdir()
    for path in folder.glob("source.*"):
        (tmp_path / "ckpt" / path.name.replace("source", "model")).symlink_to(path)
    script = find_example("distributed").replace(ADDRESS, cluster.address)
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment(), check=True, timeout=120)
    assert bundle_files(tmp_path / "half" / "model") == bundle_files(folder / "one")


def lose_workers(cluster: Cluster, folder: Path, moments: int, seed: int) -> None:
    """Kill a worker at random moments, one a run; every run ends with the bytes of a single worker."""
    rng = random.Random(seed)
    cluster.slow_down(0.02)
    for number in range(moments):
        moment = steps_done(cluster.folder) + rng.randint(1, 20)  # of some thirty
        process = start(cluster, folder)
        wait_until(lambda moment=moment: steps_done(cluster.folder) >= moment)
        time.sleep(rng.uniform(0, 0.02))
        victim = rng.choice(cluster.pids())
        os.kill(victim, signal.SIGKILL)
        assert process.poll() is None, f"run {number} was over before its worker was killed"
        assert finish(process) == (0, "", ""), f"run {number}"
        assert not is_alive(victim)
        assert bundle_files(folder / "half") == bundle_files(folder / "one"), f"run {number}"
        for path in folder.glob("half.*"):
            path.unlink()
        assert not [name for name in all_below(folder) if "half" in name or ".tmp-" in name], f"run {number}"
        wait_until(lambda: len(cluster.pids()) == 2)


def test_worker_that_is_killed(cluster: Cluster, folder: Path) -> None:
    lose_workers(cluster, folder, 1, 1)


@pytest.mark.campaign
def test_workers_that_are_killed_at_ten_moments(cluster: Cluster, folder: Path) -> None:
    lose_workers(cluster, folder, 10, 2)


def test_interrupt_leaves_nothing(cluster: Cluster, folder: Path) -> None:
    cluster.slow_down(0.02)
    begun = steps_done(cluster.folder)
    process = start(cluster, folder)
    wait_until(lambda: steps_done(cluster.folder) > begun + 3)
    process.send_signal(signal.SIGINT)
    status, _, errors = finish(process)
    assert (status, errors) == (130, "")
    assert not list(folder.glob("half*"))
    time.sleep(0.5)  # a worker may still write, but into a file that has no name
    assert not list(folder.glob("half*"))
    assert len(cluster.pids()) == 2


def test_damage_is_one_line(cluster: Cluster, folder: Path) -> None:
    for path in folder.glob("source.*"):
        shutil.copy(path, path.with_name(path.name.replace("source", "damaged")))
    try:
        with tfbundle.open(folder / "damaged") as bundle:
            offset = bundle.entries["large/2"].offset
        assert offset is not None
        flip(folder / "damaged.data-00000-of-00001", offset + 5_000_000)
        status, output, errors = finish(start(cluster, folder, source="damaged"))
    finally:
        for path in folder.glob("damaged.*"):
            path.unlink()
    assert (status, output, errors.count("\n")) == (4, "", 1)
    assert "tensor 'large/2'" in errors
    assert "Checksum" in errors


IMPATIENT = "import tfbundle.cli.cluster as cluster; cluster._PATIENCE_SECONDS = 1"


def run_apart(before: str, address: str, folder: Path) -> tuple[int, str, str]:
    """Run a conversion in a process that begins with a line of its own."""
    command = [sys.executable, "-c", f"{before}\n{COORDINATOR}", "halve", "source", "half", "--dask", address]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(), check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "foo://127.0.0.1:1", "nowhere"])
def test_no_scheduler_is_one_line(folder: Path, address: str) -> None:
    needs_cluster("distributed")
    status, output, errors = run_apart(IMPATIENT, address, folder)
    assert (status, output, errors.count("\n")) == (7, "", 1)
    assert f"no Dask scheduler answers at {address}: " in errors


def test_missing_package_is_one_line(folder: Path) -> None:
    missing = "import sys; sys.modules['distributed'] = None"
    status, output, errors = run_apart(missing, "tcp://127.0.0.1:1", folder)
    assert (status, output, errors.count("\n")) == (5, "", 1)
    assert "pip install 'tfbundle[dask]'" in errors


def test_dry_run_needs_no_cluster(folder: Path) -> None:
    command = ("halve", folder / "source", folder / "half", "--dask", "nowhere", "--dry-run", "--quiet")
    assert run_tfbundle(*command) == (0, "", "")


def test_no_workers_and_one_that_sees_another_disk(folder: Path, tmp_path: Path) -> None:
    """As on a machine that does not have the directory: something else is mounted there."""
    needs_cluster("distributed")
    needs_root()
    needs_programs("unshare", "mount")
    hide = f"mount -t tmpfs none '{folder}' && exec \"$@\""
    with running_cluster(tmp_path, 0) as cluster:
        status, output, errors = run_apart(IMPATIENT, cluster.address, folder)
        assert (status, output, errors.count("\n")) == (7, "", 1)
        assert f"the Dask scheduler at {cluster.address} has no workers" in errors
        cluster.add_workers(1, "unshare", "--mount", "sh", "-c", hide, "sh")
        status, output, errors = finish(start(cluster, folder))
    assert (status, output, errors.count("\n")) == (7, "", 1)
    assert f"{folder}/half.data-00000-of-00001.tmp-" in errors
    assert "finds no such file; workers need the same directories under the same paths" in errors
