from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.handmade import HandmadeBundle, all_below, flip, floats, integers, strings
from tfbundle import ChecksumError, RunOptions, halve
from tfbundle.streaming.progress import NoProgress, Progress


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def start(self, nbytes: int) -> None:
        self.calls.append(("start", nbytes))

    def advance(self, nbytes: int) -> None:
        self.calls.append(("advance", nbytes))

    def finish(self) -> None:
        self.calls.append(("finish", 0))


@pytest.fixture
def source(tmp_path: Path) -> str:
    tensors = [floats("w", np.arange(100)), strings("s", [b"abc"]), integers("i", [1])]
    return HandmadeBundle(tensors).write(tmp_path / "source" / "model")


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_adds_up(source: str, tmp_path: Path, jobs: int) -> None:
    recorder = Recorder()
    halve(source, tmp_path / "half", options=RunOptions(jobs=jobs, progress=recorder))
    (start, total), *advances, (finish, _) = recorder.calls
    assert (start, finish) == ("start", "finish")
    assert {name for name, _ in advances} == {"advance"}
    assert sum(nbytes for _, nbytes in advances) == total == Path(f"{source}.data-00000-of-00001").stat().st_size


def test_progress_ends_after_an_error(source: str, tmp_path: Path) -> None:
    flip(f"{source}.data-00000-of-00001", 5)
    recorder = Recorder()
    with pytest.raises(ChecksumError):
        halve(source, tmp_path / "half", options=RunOptions(progress=recorder))
    assert [name for name, _ in recorder.calls] == ["start", "finish"]


def test_error_in_a_progress_stops_the_run(source: str, tmp_path: Path) -> None:
    class Stopper(Recorder):
        def advance(self, nbytes: int) -> None:
            raise KeyboardInterrupt

    before = all_below(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        halve(source, tmp_path / "new" / "half", options=RunOptions(progress=Stopper()))
    assert all_below(tmp_path) == before


def test_no_progress_takes_everything() -> None:
    silent: Progress = NoProgress()
    silent.start(1)
    silent.advance(1)
    silent.finish()
