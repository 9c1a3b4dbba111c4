"""Two writers of one bundle at once: in the end it is one of theirs, whole, and nothing else is left."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.faults.calls import Countdown, watching
from tests.faults.children import fork, wait
from tests.faults.scenes import run
from tests.faults.test_readers import judge, write
from tfbundle.bundle.opening import load

EXISTS, CORRUPT = 3, 4
HAS_ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT
PATIENCE_SECONDS = 0.5
"""How long the first writer waits for the second, which may itself wait for a lock of the first."""


def run_between(number: int, first: list[str], second: list[str]) -> tuple[list[int], bool]:
    """Start a second command before a call of the first; return both statuses, and whether there was such a call."""
    children: list[int] = []

    def start(_name: str) -> None:
        children.append(fork(lambda: run(second)[0]))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and os.waitid(os.P_PID, children[0], HAS_ENDED) is None:
            time.sleep(0.005)

    with watching(Countdown(number, start)):
        status, _ = run(first)
    return [status, *map(wait, children)], bool(children)


def command(source: str, target: str, *options: str) -> list[str]:
    return ["halve", source, target, "--keep", "*", "--quiet", *options]


def look(target: Path) -> str:
    """Return whose bundle is at the target; fails where it is not just one."""
    num_shards = 0
    names = {path.name for path in target.parent.iterdir()} - {"checkpoint"}
    found = judge(load(target))
    num_shards = {"1.0": 2, "2.0": 3, "3.0": 2}[found]
    assert names == {"model.index", *(f"model.data-{n:05d}-of-{num_shards:05d}" for n in range(num_shards))}, names
    return found


@pytest.mark.parametrize("second", ["of other shards", "of as many shards"])
@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_second_writer_between_any_two_calls(tmp_path: Path, options: tuple[str, ...], second: str) -> None:
    first_source = write(tmp_path / "one", 1, 2)
    second_source = write(tmp_path / "other", *((2, 3) if second == "of other shards" else (3, 2)))
    target = tmp_path / "out" / "model"
    seen: Counter[str] = Counter()
    for number in range(100):
        statuses, interrupted = run_between(
            number, command(first_source, str(target), *options), command(second_source, str(target), *options)
        )
        if not interrupted:
            break
        assert set(statuses) <= ({0} if options else {0, EXISTS}), (number, statuses)
        assert 0 in statuses, number
        seen[look(target)] += 1
        for path in target.parent.iterdir():
            path.unlink()
    print(dict(seen))
    assert len(seen) >= 2


def test_a_second_change_in_place_between_any_two_calls(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for number, name in enumerate(("a", "b")):
        np.save(tmp_path / f"{name}.npy", np.full((50, 20), 10.0 + number, np.float32))
    commands = [["set", str(target), name, str(tmp_path / f"{name}.npy")] for name in ("a", "b")]
    plain = write(tmp_path / "plain", 1, 2)
    seen: Counter[str] = Counter()
    for number in range(100):
        assert run(command(plain, str(target), "--force"))[0] == 0
        statuses, interrupted = run_between(number, *commands)
        if not interrupted:
            break
        assert set(statuses) <= {0, EXISTS, CORRUPT}  # no such file any more
        values = {name: np.unique(array).tolist() for name, array in load(target).items()}
        changed = ([10.0] if statuses[0] == 0 else [1.0], [11.0] if statuses[1] == 0 else [1.0])
        assert values == {"a": changed[0], "b": changed[1], "c": [1.0], "d": [1.0]}, statuses
        assert len(list(tmp_path.glob("model.*"))) == 4 + (statuses == [0, 0])
        seen[str(statuses)] += 1
    print(dict(seen))
    assert len(seen) >= 2


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_two_writers_in_a_loop(tmp_path: Path, options: tuple[str, ...]) -> None:
    race(tmp_path, options, 50, 2)


@pytest.mark.campaign
@pytest.mark.parametrize("options", [(), ("--force",)])
def test_many_writers_in_a_long_loop(tmp_path: Path, options: tuple[str, ...]) -> None:
    race(tmp_path, options, 500, 5)


def race(tmp_path: Path, options: tuple[str, ...], num_loops: int, num_writers: int) -> None:
    sources = [write(tmp_path / "one", 1, 2), write(tmp_path / "other", 2, 3)]
    target = tmp_path / "out" / "model"
    seen: Counter[str] = Counter()
    for _ in range(num_loops):
        children = [fork(lambda n=n: go(sources[n % 2], target, options)) for n in range(num_writers)]  # type: ignore[misc]
        statuses = [wait(child) for child in children]
        assert set(statuses) <= ({0} if options else {0, EXISTS}), statuses
        assert 0 in statuses
        assert options or statuses.count(0) == 1, statuses
        seen[look(target)] += 1
        for path in target.parent.iterdir():
            path.unlink()
    print(dict(seen))


def go(source: str, target: Path, options: tuple[str, ...]) -> int:
    time.sleep(random.Random(time.perf_counter_ns()).random() * 0.01)
    return run(command(source, str(target), *options))[0]
