"""Steps done by executors of the caller's: threads, processes, and one that pickles everything as a network would."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.elsewhere import COORDINATOR, Elsewhere, call, machine
from tests.support.handmade import HandmadeBundle, bundle_files, flip, floats, integers, strings
from tests.support.requirements import tensorflow
from tests.support.wire import bytes_field, varint_field
from tfbundle import CastError, CastPolicy, ChecksumError, Layout, RunOptions, Selection, average, halve, merge, stats
from tfbundle.storage.local_stage import LocalStagedFile
from tfbundle.streaming import elsewhere
from tfbundle.streaming.elsewhere import choose_step_nbytes

VALUES = np.random.default_rng(5).normal(size=(300, 7)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let even these checkpoints have many steps, and steps many blocks."""
    monkeypatch.setattr(elsewhere, "LEAST_STEP_NBYTES", 256)
    monkeypatch.setattr(elsewhere, "_STEP_UNIT", 16)
    monkeypatch.setattr(elsewhere, "BLOCK_NBYTES", 32)


@pytest.fixture
def bundle() -> HandmadeBundle:
    """Nothing in it lies at a multiple of anything."""
    rows = [floats(f"many/{number:03d}", row) for number, row in enumerate(VALUES)]
    parts = [strings("s", [b"odd"]), floats("a", VALUES), integers("i", [1, 2, 3], gap=5), floats("b", [], gap=1)]
    other = [strings("t", [b"x" * 999, b"", b"y"], shard=1), floats("c", VALUES, shard=1)]
    return HandmadeBundle([*parts, *rows, *other], 2)


def run_with(executor: Executor, jobs: int | None = None) -> RunOptions:
    return RunOptions(executor=executor, jobs=jobs)


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("source"))


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, Elsewhere])
def test_output_is_that_of_a_plain_implementation(
    bundle: HandmadeBundle, tmp_path: Path, kind: Callable[[], Executor]
) -> None:
    with kind() as executor:
        report = halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
        assert executor.submit(int, "7").result() == 7  # still there
    assert bundle_files(tmp_path / "half") == bundle.halved().files()
    assert report.totals.elements == 2 * VALUES.size + VALUES.size
    assert left_behind(tmp_path) == ["half.data-00000-of-00002", "half.data-00001-of-00002", "half.index"]


def test_relative_paths_and_processes_that_were_started_elsewhere(
    bundle: HandmadeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle.write(tmp_path / "source")
    monkeypatch.chdir(tmp_path)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), os.chdir, ("/",)) as executor:
        halve("source", "half", options=run_with(executor))
    assert bundle_files("half") == bundle.halved().files()


def test_partitioned_tensors_and_new_payloads(tmp_path: Path) -> None:
    """Slices that are joined, and an object graph that is rewritten for want of a value, at odd places."""
    keys = [f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in "abc"]
    children = b"".join(bytes_field(1, varint_field(1, at) + bytes_field(2, b"abc"[at - 1 : at])) for at in (1, 2, 3))
    values = [bytes_field(2, bytes_field(1, b"VARIABLE_VALUE") + bytes_field(3, key.encode())) for key in keys]
    graph = b"".join(bytes_field(1, data) for data in (children, *values))
    with tfbundle.create(tmp_path / "source") as writer:
        writer.add("_CHECKPOINTABLE_OBJECT_GRAPH", np.array(graph, object))
        writer.add(keys[0], VALUES[:9])
        writer.add(keys[1], VALUES[:2])
        for row in range(0, 300, 100):
            writer.add_slice(keys[2], VALUES[row : row + 100], shape=VALUES.shape, extents=((row, 100), (0, -1)))
    options: dict[str, Any] = {"layout": Layout(shards=1), "selection": Selection(drop=("b",))}
    halve(tmp_path / "source", tmp_path / "one", options=RunOptions(jobs=1), **options)
    with Elsewhere() as executor:
        halve(tmp_path / "source", tmp_path / "half", options=run_with(executor), **options)
        assert len(executor.tasks) > 10
        assert not any(graph[:20] in task for task in executor.tasks)  # it is in memory here
    assert bundle_files(tmp_path / "half") == bundle_files(tmp_path / "one")
    assert len(tfbundle.load(tmp_path / "half")) == 3


def test_merge_and_stats_have_it_too(bundle: HandmadeBundle, tmp_path: Path) -> None:
    source = bundle.write(tmp_path / "source")
    alone = stats(source, options=RunOptions(jobs=1))
    with Elsewhere() as executor:
        assert list(stats(source, options=run_with(executor)).tensors) == list(alone.tensors)
        assert len(executor.tasks) > 10
        assert not any(attempt.result().edges for attempt in executor.attempts)
        num_tasks = len(executor.tasks)
        merge([source], tmp_path / "merged", options=run_with(executor))
        assert len(executor.tasks) > num_tasks
    assert {name: value.tolist() for name, value in tfbundle.load(tmp_path / "merged").items()} == {
        name: value.tolist() for name, value in tfbundle.load(source).items()
    }


def test_v1_checkpoint(tmp_path: Path) -> None:
    """Workers read the copy that is made beside the target; one that only this machine can see is not for them."""
    tf = tensorflow()
    source = str(tmp_path / "source")
    tf.raw_ops.SaveSlices(filename=source, tensor_names=["w"], shapes_and_slices=[""], data=[VALUES])
    with Elsewhere() as executor:
        assert stats(source, options=run_with(executor)).totals.elements == VALUES.size
        assert not executor.tasks
        halve(source, tmp_path / "half", options=run_with(executor))
        assert len(executor.tasks) > 10
    assert (tfbundle.load(tmp_path / "half")["w"] == VALUES.astype(np.float16)).all()
    assert left_behind(tmp_path) == ["half.data-00000-of-00001", "half.index"]


def test_average_has_one_worker(bundle: HandmadeBundle, tmp_path: Path) -> None:
    source = bundle.write(tmp_path / "source")
    with ThreadPoolExecutor() as executor, pytest.raises(ValueError, match="leave out the executor"):
        average([source, source], tmp_path / "mean", options=run_with(executor))
    assert left_behind(tmp_path) == []


# Who writes what.


def test_no_block_is_written_by_two_machines(
    bundle: HandmadeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: dict[tuple[str, int], set[str]] = {}
    synced: set[str] = set()
    write_at, sync = LocalStagedFile.write_at, LocalStagedFile.sync

    def note_write(file: LocalStagedFile, offset: int, data: Any) -> None:
        for block in range(offset // 32, (offset + len(data) - 1) // 32 + 1):
            writers.setdefault((file.path, block), set()).add(machine())
        write_at(file, offset, data)

    def note_sync(file: LocalStagedFile) -> None:
        synced.add(machine())
        sync(file)

    monkeypatch.setattr(LocalStagedFile, "write_at", note_write)
    monkeypatch.setattr(LocalStagedFile, "sync", note_sync)
    with Elsewhere() as executor:
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
    machines = set.union(*writers.values())
    assert all(len(found) == 1 for found in writers.values())
    assert len(machines) > 20
    assert machines <= synced
    assert sum(found == {COORDINATOR} for found in writers.values()) < len(writers) / 2
    assert bundle_files(tmp_path / "half") == bundle.halved().files()


def test_tasks_are_small(tmp_path: Path) -> None:
    """However many shards and tensors there are."""
    tensors = [floats(f"{number:04d}", VALUES[number % 300], shard=number % 100) for number in range(1000)]
    source = HandmadeBundle(tensors, 100).write(tmp_path / "source")
    with Elsewhere() as executor:
        halve(source, tmp_path / "half", options=run_with(executor))
        assert len(executor.tasks) == 200
        assert max(map(len, executor.tasks)) < 2000


@pytest.mark.parametrize(("jobs", "most"), [(1, 2), (3, 6)])
def test_few_steps_wait_at_a_time(bundle: HandmadeBundle, tmp_path: Path, jobs: int, most: int) -> None:
    waiting = 0
    highest = 0

    class Counting(Elsewhere):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
            nonlocal waiting, highest
            waiting += 1
            highest = max(highest, waiting)
            future = super().submit(function, *arguments, **named)
            future.add_done_callback(lambda _: end())
            return future

    def end() -> None:
        nonlocal waiting
        waiting -= 1

    with Counting() as executor:
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor, jobs))
        assert len(executor.tasks) > 20
    assert 1 <= highest <= most


@pytest.mark.parametrize("nbytes", [0, 1, 10**9, 10**12, 10**15])
def test_steps_are_neither_too_many_nor_too_small(monkeypatch: pytest.MonkeyPatch, nbytes: int) -> None:
    monkeypatch.undo()
    step = choose_step_nbytes(nbytes)
    assert step >= 64 << 20
    assert step % 16 == 0
    assert nbytes / step <= 4096
    assert step == 64 << 20 or step < nbytes / 4096 + (1 << 20)


# Steps that are done more than once.


def test_steps_done_twice_at_a_time_and_again(bundle: HandmadeBundle, tmp_path: Path) -> None:
    def twice(task: Callable[[], Any]) -> Any:
        other = threading.Thread(target=task)
        other.start()
        task()
        other.join()
        return task()

    with Elsewhere(twice) as executor:
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
    assert bundle_files(tmp_path / "half") == bundle.halved().files()


def test_late_steps_find_nothing_to_write_to(bundle: HandmadeBundle, tmp_path: Path) -> None:
    with Elsewhere() as executor:
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
    before = left_behind(tmp_path)
    for task in executor.tasks:
        with pytest.raises(FileNotFoundError, match="finds no such file"):
            call(task)
    assert bundle_files(tmp_path / "half") == bundle.halved().files()
    assert left_behind(tmp_path) == before


def test_worker_that_wakes_up_after_publication(
    bundle: HandmadeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has opened its file before, and writes into the published one what is there already."""
    published = threading.Event()
    sleepers: list[threading.Thread] = []
    errors: list[BaseException] = []

    def open_and_sleep(file: LocalStagedFile, offset: int, data: Any) -> None:
        if threading.current_thread() in sleepers:
            assert published.wait(30)
        write_at(file, offset, data)

    def sleep_after_opening(task: Callable[[], Any]) -> Any:
        sleepers.append(threading.Thread(target=lambda: run_quietly(task)))
        sleepers[-1].start()
        return task()

    def run_quietly(task: Callable[[], Any]) -> None:
        try:
            task()
            finished.append(machine())
        except BaseException as error:
            errors.append(error)

    finished: list[str] = []
    write_at = LocalStagedFile.write_at
    monkeypatch.setattr(LocalStagedFile, "write_at", open_and_sleep)
    with Elsewhere(sleep_after_opening) as executor:
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
        expected = bundle.halved().files()
        assert bundle_files(tmp_path / "half") == expected
        published.set()
        for sleeper in sleepers:
            sleeper.join()
    assert len(finished) > 20
    assert all(isinstance(error, FileNotFoundError) for error in errors)
    assert bundle_files(tmp_path / "half") == expected


# What goes wrong.


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, Elsewhere])
def test_damage_is_told_as_ever(bundle: HandmadeBundle, tmp_path: Path, kind: Callable[[], Executor]) -> None:
    source = bundle.write(tmp_path / "source")
    flip(f"{source}.data-00000-of-00002", 100)
    with pytest.raises(ChecksumError) as alone:
        halve(source, tmp_path / "half", options=RunOptions(jobs=1))
    with kind() as executor, pytest.raises(ChecksumError) as found:
        halve(source, tmp_path / "half", options=run_with(executor))
    assert str(found.value) == str(alone.value)
    assert left_behind(tmp_path) == []


def test_overflow_is_told_as_ever(tmp_path: Path) -> None:
    source = HandmadeBundle([floats("w", [1.0] * 500 + [1e6])]).write(tmp_path / "source")
    with Elsewhere() as executor, pytest.raises(CastError, match="1 value overflows"):
        halve(source, tmp_path / "half", options=run_with(executor))
    assert left_behind(tmp_path) == []
    with Elsewhere() as executor:
        halve(source, tmp_path / "half", policy=CastPolicy(on_overflow="keep"), options=run_with(executor))
    assert tfbundle.load(tmp_path / "half")["w"].dtype == np.float32


def test_worker_that_does_not_share_the_storage(bundle: HandmadeBundle, tmp_path: Path) -> None:
    class OtherRoot(Elsewhere):
        hidden = "targets"

        def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
            context, step = arguments
            paths = {shard: f"/elsewhere{path}" for shard, path in getattr(context, self.hidden).items()}
            return super().submit(function, context._replace(**{self.hidden: paths}), step)

    source = bundle.write(tmp_path / "source")
    for hidden, name in (("targets", "half.data-00000-of-00002.tmp-"), ("sources", "source.data-00000-of-00002")):
        with OtherRoot() as executor, pytest.raises(FileNotFoundError) as found:
            executor.hidden = hidden
            halve(source, tmp_path / "half", options=run_with(executor))
        assert f"/elsewhere{tmp_path}/{name}" in str(found.value)
        assert f"a worker on {os.uname().nodename} finds no such file; workers need the same" in str(found.value)
        assert left_behind(tmp_path) == []


def test_worker_that_may_not_write_is_named(
    bundle: HandmadeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: LocalStagedFile, offset: int, data: Any) -> None:
        if machine() != COORDINATOR:
            raise PermissionError(1, "Operation not permitted", file.path)

    monkeypatch.setattr(LocalStagedFile, "write_at", refuse)
    with Elsewhere() as executor, pytest.raises(PermissionError) as found:
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
    assert found.value.strerror == f"Operation not permitted, on {os.uname().nodename}"
    assert left_behind(tmp_path) == []


def kill_worker(context: Any, step: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_pool_of_processes_that_breaks(bundle: HandmadeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "run_step", kill_worker)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as executor, pytest.raises(ChildProcessError) as found:
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
    assert "the executor did not do all steps, and nothing was published: BrokenProcessPool: " in str(found.value)
    assert "\n" not in str(found.value)
    assert left_behind(tmp_path) == []


def test_executor_that_was_shut_down(bundle: HandmadeBundle, tmp_path: Path) -> None:
    executor = ThreadPoolExecutor()
    executor.shutdown()
    with pytest.raises(ChildProcessError, match="RuntimeError: cannot schedule new futures after shutdown"):
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
    assert left_behind(tmp_path) == []


def test_executor_that_drops_its_tasks(bundle: HandmadeBundle, tmp_path: Path) -> None:
    class Dropping(ThreadPoolExecutor):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.cancel()
            return future

    with (
        Dropping() as executor,
        pytest.raises(ChildProcessError, match="CancelledError: it was shut down, or lost its"),
    ):
        halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=run_with(executor))
    assert left_behind(tmp_path) == []


class Interrupting:
    """Progress that is interrupted at the third step."""

    def __init__(self) -> None:
        self.steps = 0

    def start(self, nbytes: int) -> None: ...

    def advance(self, nbytes: int) -> None:
        self.steps += 1
        if self.steps == 3:
            raise KeyboardInterrupt

    def finish(self) -> None: ...


def test_interrupt_leaves_neither_steps_nor_files(bundle: HandmadeBundle, tmp_path: Path) -> None:
    running = 0
    at_the_end: list[int] = []

    def count(task: Callable[[], Any]) -> Any:
        nonlocal running
        running += 1
        try:
            return task()
        finally:
            running -= 1

    with Elsewhere(count) as executor:
        options = RunOptions(executor=executor, jobs=20, progress=Interrupting())
        with pytest.raises(KeyboardInterrupt):
            halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=options)
        at_the_end.append(running)
        assert left_behind(tmp_path) == []
        assert all(attempt.done() for attempt in executor.attempts)
        assert any(attempt.cancelled() for attempt in executor.attempts)
        assert executor.submit(int, "7").result() == 7
    assert at_the_end == [0]
    assert left_behind(tmp_path) == []


def test_options_without_an_executor_still_pickle() -> None:
    assert pickle.loads(pickle.dumps(RunOptions(jobs=3))).jobs == 3
