"""Times what is done to a byte of the source on its way, as a whole and by its parts, files in the page cache.

Runs as ``python -m tests.benchmarks.byte_costs ROUNDS ELEMENTS`` and prints samples as JSON.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable

import numpy as np

from tests.benchmarks.contenders import (
    CAST_PART,
    COPY_STEP,
    CRC_PART,
    HALVE_STEP,
    READ_BACK_PART,
    READ_PART,
    SURVEY_STEP,
    WRITE_PART,
)
from tests.benchmarks.sampling import Sample, sample, tell
from tfbundle.choosing.castable import Cast
from tfbundle.sstable.checksum import crc32c
from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.storage.local import LocalStorage
from tfbundle.storage.local_stage import LocalStagedFile
from tfbundle.streaming.pipeline import StepContext, run_step
from tfbundle.streaming.steps import Run, Step, Transform
from tfbundle.streaming.workspace import Treatment, Workspace

_HALVE = Cast(1, 19)
_TREATMENT = Treatment("inf")


def make_calls(folder: str, nbytes: int) -> dict[str, Callable[[], object]]:
    """Return what is timed, each on a whole file of so many bytes."""
    source, target = os.path.join(folder, "source"), os.path.join(folder, "target")
    values = np.random.default_rng(0).standard_normal(nbytes // 4, np.float32) * np.float32(0.05)
    values.tofile(source)
    with open(target, "wb") as file:
        file.write(bytes(nbytes))
    context = StepContext(LocalStorage(), {0: source}, {0: target}, _TREATMENT)
    rows, sizes = np.zeros(1, np.intp), np.array([nbytes])
    copy, halve = (Step(0, 0, (Run(rows, sizes, 0, 0, Transform(cast)),)) for cast in (None, _HALVE))
    return {
        HALVE_STEP: lambda: run_step(context, halve),
        COPY_STEP: lambda: run_step(context, copy),
        SURVEY_STEP: lambda: run_step(context._replace(targets={}), halve),
    } | _make_parts(source, target, nbytes)


def _make_parts(source: str, target: str, nbytes: int) -> dict[str, Callable[[], object]]:
    reader, writer, space = LocalStorage().open(source), LocalStagedFile(target), Workspace(_TREATMENT)
    window = space.source(0, WINDOW_NBYTES)
    reader.read_into(0, window.data)
    half = space.cast(_HALVE, window, 0, [0])[0].tobytes() * 2

    starts = range(0, nbytes, WINDOW_NBYTES)

    def for_all_windows(call: Callable[[int], object]) -> Callable[[], object]:
        return lambda: list(map(call, starts))

    return {
        READ_PART: for_all_windows(lambda start: reader.read_into(start, window.data)),
        CRC_PART: for_all_windows(lambda _: crc32c(window.data)),
        CAST_PART: for_all_windows(lambda _: space.cast(_HALVE, window, 0, [0])),
        WRITE_PART: for_all_windows(lambda start: writer._write(start, memoryview(half))),
        READ_BACK_PART: for_all_windows(lambda start: writer._read_back(start, memoryview(half))),
    }


def run(rounds: int, elements: int) -> list[Sample]:
    """Return all samples, of seconds for a byte that goes through each part."""
    nbytes = max(WINDOW_NBYTES, elements * 256)
    with tempfile.TemporaryDirectory() as folder:
        return sample(make_calls(folder, nbytes), nbytes, rounds)


if __name__ == "__main__":
    tell(run(int(sys.argv[1]), int(sys.argv[2])))
