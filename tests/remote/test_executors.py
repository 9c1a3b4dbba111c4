"""Workers of an executor that read from and write to an object store themselves."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.clusters.dask_cluster import running_cluster, wait_until
from tests.remote.stores import BUCKET, ObjectStore
from tests.support.elsewhere import Elsewhere, call
from tests.support.processes import environment
from tests.support.requirements import needs_cluster, tensorflow
from tfbundle import RunOptions, UnsupportedError, halve
from tfbundle.storage.temporary import parse_temporary

SOURCE, TARGET = "source/model", "target/model"
_URLS = f"s3://{BUCKET}/{SOURCE}", f"s3://{BUCKET}/{TARGET}"
_NUM_SHARDS = 4


@pytest.fixture
def expected(store: ObjectStore, tmp_path: Path) -> dict[str, bytes]:
    """Put a checkpoint of several data files, one of them empty, into the store; return the files of its half."""
    rng = np.random.default_rng(4)
    for shard, nbytes in enumerate((3 << 20, 9 << 19, 400)):
        tensors: dict[str, Any] = {f"w{shard}": rng.standard_normal(nbytes // 4, np.float32)}
        tfbundle.save(tmp_path / f"part{shard}", {**tensors, f"s{shard}": np.array([b"a string"])})
    tfbundle.save(tmp_path / "empty", {"nothing": np.zeros((0, 3), np.float32)})
    parts = [tmp_path / name for name in ("part0", "empty", "part1", "part2")]
    tfbundle.merge(parts, tmp_path / "model")
    for path in tmp_path.glob("model.*"):
        store.client().upload_file(str(path), BUCKET, f"source/{path.name}")
    halve(tmp_path / "model", tmp_path / "half")
    found = {path.name.removeprefix("half."): path.read_bytes() for path in tmp_path.glob("half.*")}
    assert len(found) == _NUM_SHARDS + 1
    assert found["data-00001-of-00004"] == b""
    return found


@pytest.fixture
def executor(store: ObjectStore) -> Iterator[Elsewhere]:
    with Elsewhere() as executor:
        yield executor


def test_copy_of_a_v1_checkpoint_is_not_for_workers_elsewhere(
    store: ObjectStore, executor: Elsewhere, tmp_path: Path
) -> None:
    """Who cannot see this machine's files cannot read the copy that is made of it here."""
    source, values = str(tmp_path / "old"), np.linspace(0, 1, 7, dtype=np.float32)
    tensorflow().raw_ops.SaveSlices(filename=source, tensor_names=["w"], shapes_and_slices=[""], data=[values])
    halve(source, _URLS[1], options=RunOptions(executor=executor))
    assert not executor.tasks
    assert (tfbundle.load(_URLS[1])["w"] == values.astype(np.float16)).all()


def _target(store: ObjectStore) -> dict[str, bytes]:
    """Return the target's files, those with temporary names, too."""
    keys = [key for key in store.names() if key.startswith(f"{TARGET}.")]
    return {key.removeprefix(f"{TARGET}."): store.get(key) for key in keys}


def _put_old(store: ObjectStore) -> dict[str, bytes]:
    """Put another bundle where the target will be; return its files, one of which the new one has, too."""
    tfbundle.save(_URLS[1], {"old": np.arange(9.0)})
    store.client().put_object(Bucket=BUCKET, Key=f"{TARGET}.data-00002-of-00004", Body=b"of an older one")
    return _target(store)


def test_processes_that_were_started_elsewhere(store: ObjectStore, expected: dict[str, bytes]) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        report = halve(*_URLS, options=RunOptions(executor=executor, jobs=2))
    assert _target(store) == expected
    assert report.totals.elements == (3 << 20) // 4 + (9 << 19) // 4 + 100
    assert store.uploads() == []


def test_source_on_a_disk_by_a_relative_path(
    store: ObjectStore, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers were started in another directory."""
    monkeypatch.chdir(tmp_path)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), os.chdir, ("/",)) as executor:
        halve("model", _URLS[1], options=RunOptions(executor=executor))
    assert _target(store) == expected


def test_each_data_file_is_uploaded_once_by_one_worker(
    store: ObjectStore, expected: dict[str, bytes], executor: Elsewhere
) -> None:
    store.reset()
    halve(*_URLS, options=RunOptions(executor=executor))
    written = [request for request in store.requests() if request.method == "PUT"]
    moved = sum(request.received for request in written if ".data-" in request.path)
    assert moved == sum(len(data) for name, data in expected.items() if name != "index")
    assert len(executor.tasks) == _NUM_SHARDS
    order = [request.path for request in written if request.path.startswith(f"/{BUCKET}/{TARGET}.")]
    assert [path.endswith(".index") for path in order] == [False] * (len(order) - 1) + [True]
    assert _target(store) == expected


def _twice(task: Callable[[], Any]) -> Any:
    task()
    return task()


def test_tasks_that_are_done_again_do_no_harm(store: ObjectStore, expected: dict[str, bytes]) -> None:
    with Elsewhere(_twice) as executor:
        halve(*_URLS, options=RunOptions(executor=executor))
        assert _target(store) == expected
        for task in executor.tasks:  # of workers that everybody believed dead
            call(task)
    assert _target(store) == expected


def test_replaced_bundle_stays_until_all_is_uploaded(
    store: ObjectStore, expected: dict[str, bytes], tmp_path: Path
) -> None:
    old = _put_old(store)
    seen = []

    def look(task: Callable[[], Any]) -> Any:
        result = task()
        found = _target(store)
        seen.append({name: data for name, data in found.items() if parse_temporary(name) is None} == old)
        return result

    with Elsewhere(look) as executor:
        halve(*_URLS, options=RunOptions(executor=executor, if_exists="replace"))
    assert seen == [True] * _NUM_SHARDS
    assert _target(store) == expected


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    ("method", "contains", "times"),
    [("GET", f"{SOURCE}.data-00002", 99), ("PUT", ".data-00002-of-00004", 99), ("PUT", f"{TARGET}.index", 99)],
)
def test_refused_request_leaves_what_was_there(
    method: str,
    contains: str,
    times: int,
    replace: bool,
    store: ObjectStore,
    expected: dict[str, bytes],
    executor: Elsewhere,
) -> None:
    old = _put_old(store) if replace else {}
    options = RunOptions(executor=executor, if_exists="replace" if replace else "error")
    store.reset({"method": method, "contains": contains, "do": "403", "times": times})
    with pytest.raises(PermissionError, match="Permission denied") as caught:
        halve(*_URLS, options=options)
    assert contains.rpartition("/")[2] in caught.value.filename or method == "PUT"
    store.reset()
    found = _target(store)
    assert store.uploads() == []
    if contains.endswith(".index") and replace:
        assert "index" not in found  # it was taken away already; the error says so
        assert "run again" in str(caught.value)
        assert not [name for name in found if parse_temporary(name)]
    else:
        assert found == old


def test_values_that_do_not_fit_leave_what_was_there(
    store: ObjectStore, expected: dict[str, bytes], executor: Elsewhere
) -> None:
    old = _put_old(store)
    tfbundle.save(f"s3://{BUCKET}/large", {"w": np.array([1e6], np.float32)})
    with pytest.raises(tfbundle.CastError):
        halve(f"s3://{BUCKET}/large", _URLS[1], options=RunOptions(executor=executor, if_exists="replace"))
    assert _target(store) == old


def test_killed_worker_of_an_executor_that_does_not_try_again(store: ObjectStore, expected: dict[str, bytes]) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        store.reset({"method": "PUT", "contains": "", "do": "kill", "pid": executor.submit(os.getpid).result()})
        with pytest.raises(ChildProcessError, match="nothing was published"):
            halve(*_URLS, options=RunOptions(executor=executor))
    assert "index" not in _target(store)
    assert _target(store) == {}


def test_storage_where_late_workers_could_do_harm(executor: Elsewhere, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "model", {"w": np.ones(3, np.float32)})
    with ThreadPoolExecutor(1) as threads, pytest.raises(UnsupportedError, match=r"s3:// and gs:// only") as caught:
        halve(tmp_path / "model", "memory://half", options=RunOptions(executor=threads))
    assert str(caught.value).startswith("memory://half: ")


@pytest.mark.parametrize("contains", ["data-00002", pytest.param("data-00000", marks=pytest.mark.campaign)])
def test_killed_worker_of_a_cluster(
    contains: str, store: ObjectStore, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """From the command line; whoever is started instead does its data file again."""
    needs_cluster("distributed")
    folder = tmp_path / "cluster"
    folder.mkdir()
    with running_cluster(folder, 2, store.variables) as cluster:
        victim = cluster.pids()[0]
        store.reset({"method": "PUT", "contains": contains, "do": "kill", "pid": victim})
        command = [sys.executable, "-m", "tfbundle", "halve", *_URLS, "--dask", cluster.address, "--quiet"]
        done = subprocess.run(
            command, env=environment(**store.variables), capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert victim not in cluster.pids()
        wait_until(lambda: len(cluster.pids()) == 2)
    assert _target(store) == expected
