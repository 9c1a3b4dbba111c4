"""Readers while a bundle is replaced: they see one bundle or an error, never bytes of both."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.faults.calls import watching
from tests.faults.children import fork, wait
from tests.support.requirements import tensorflow
from tfbundle.bundle.opening import load, open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.writer import save
from tfbundle.cli import main
from tfbundle.errors import BundleError

NAMES = ("a", "b", "c", "d")
Read = Callable[[str], Mapping[str, NDArray[Any]]]


def write(prefix: Path, number: float, num_shards: int) -> str:
    """Write a bundle in which every tensor is full of one number, over some shards."""
    plain = prefix.with_name(f"{prefix.name}-{number}-plain")
    save(plain, {name: np.full((50, 20), number, np.float32) for name in NAMES})
    assert main(["halve", str(plain), str(prefix), "--keep", "*", "--quiet", "--shards", str(num_shards)]) == 0
    return str(prefix)


def judge(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return which number all values are; ``mixed`` if they are not one."""
    found = {float(value) for array in tensors.values() for value in np.unique(array)}
    return "mixed" if len(found) > 1 else str(found.pop())


def attempt(read: Callable[[], Mapping[str, NDArray[Any]]]) -> str:
    try:
        return judge(read())
    except (BundleError, OSError):
        return "error"


def read_parts(bundle: BundleReader) -> dict[str, NDArray[Any]]:
    """Read a part of every tensor, which no checksum covers."""
    return {name: bundle.read(name, where=slice(3, 9)) for name in NAMES}


def replace(source: str, target: str) -> None:
    assert main(["halve", source, target, "--force", "--keep", "*", "--quiet"]) == 0


@pytest.mark.parametrize("old_shards", [2, 3])
def test_a_reader_between_any_two_calls(tmp_path: Path, old_shards: int) -> None:
    source, target = write(tmp_path / "new", 2, 2), write(tmp_path / "old", 1, old_shards)
    found: Counter[str] = Counter()
    waiting: list[BundleReader] = []

    def look(_name: str, _arguments: Any) -> None:
        found[attempt(lambda: load(target))] += 1
        found.update(attempt(lambda bundle=bundle: read_parts(bundle)) for bundle in waiting)  # type: ignore[misc]
        for bundle in waiting:
            bundle.close()  # and open the data files again
        try:
            waiting.append(open_bundle(target))
        except BundleError:
            found["error"] += 1

    with watching(look):
        replace(source, target)
    found.update(attempt(lambda bundle=bundle: read_parts(bundle)) for bundle in waiting)  # type: ignore[misc]
    assert set(found) == {"1.0", "2.0", "error"}, found


def read_by_tensorflow(target: str) -> dict[str, NDArray[Any]]:
    """Read as TensorFlow restores, which knows how to fail in many ways."""
    module = tensorflow()
    try:
        values = module.raw_ops.RestoreV2(
            prefix=target, tensor_names=NAMES, shape_and_slices=[""] * 4, dtypes=[module.float32] * 4
        )
    except (module.errors.OpError, ValueError) as error:
        raise OSError(str(error)) from error
    return {name: value.numpy() for name, value in zip(NAMES, values, strict=True)}


def read_again_and_again(read: Read, target: str, log: Path) -> int:
    """Read until terminated; leave behind what was seen."""
    found: Counter[str] = Counter()
    stopped = False

    def stop(*_: Any) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    while not stopped:
        found[attempt(lambda: read(target))] += 1
    log.write_text("\n".join(found.elements()))
    return 0


def read_opened_early(target: str) -> dict[str, NDArray[Any]]:
    with open_bundle(target) as bundle:
        time.sleep(random.random() * 0.01)
        return read_parts(bundle)


def watch_replacing(tmp_path: Path, readers: list[Read], num_loops: int) -> Counter[str]:
    """Replace a bundle by another one over and over, with readers in other processes; return what these saw."""
    sources = [write(tmp_path / f"source-{number}", number, 2) for number in (1, 2)]
    target = write(tmp_path / "target", 1, 3)
    logs = [tmp_path / f"log-{number}" for number in range(len(readers))]
    children = [
        fork(lambda read=read, log=log: read_again_and_again(read, target, log))  # type: ignore[misc]
        for read, log in zip(readers, logs, strict=True)
    ]
    try:
        for number in range(num_loops):
            replace(sources[number % 2], target)
    finally:
        for child in children:
            os.kill(child, signal.SIGTERM)
        statuses = [wait(child) for child in children]
    assert not any(statuses)
    assert sorted(path.name for path in tmp_path.glob("target.*")) == [
        "target.data-00000-of-00002",
        "target.data-00001-of-00002",
        "target.index",
    ]
    found: Counter[str] = Counter()
    for log in logs:
        seen = Counter(log.read_text().split())
        print(dict(seen))
        found.update(seen)
    return found


def test_readers_in_other_processes(tmp_path: Path) -> None:
    found = watch_replacing(tmp_path, [load, load, read_opened_early, read_opened_early], 50)
    assert set(found) <= {"1.0", "2.0", "error"}, found
    assert found["1.0"]
    assert found["2.0"]


@pytest.mark.campaign
def test_more_readers_and_tensorflow(tmp_path: Path) -> None:
    if find_spec("tensorflow") is None:  # it is imported in the readers, since its threads do not survive a fork
        tensorflow()
    found = watch_replacing(tmp_path, [load, read_opened_early, read_by_tensorflow, read_by_tensorflow], 500)
    assert set(found) <= {"1.0", "2.0", "error"}, found
