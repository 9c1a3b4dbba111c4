"""The catalogue of hostile checkpoints, and a process that runs every verb over them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.corrupt import beside, entries, tables
from tests.corrupt.cases import Case
from tests.support.processes import TOP, environment

FAMILIES = (
    "entry",
    "footer",
    "handle",
    "header",
    "key",
    "object graph",
    "restart",
    "row",
    "scale",
    "seed",
    "shard",
    "slices",
    "snappy",
    "state",
    "strings",
    "V1",
)
"""What is attacked."""


@cache
def all_cases() -> list[Case]:
    """Return the whole catalogue."""
    return [*tables.cases(), *entries.cases(), *beside.cases()]


def run_cases(cases: Iterable[Case], directory: Path, *, thorough: bool) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Yield what became of every verb with each case, if ``thorough`` in every way."""
    command = [sys.executable, "-m", "tests.corrupt.verbs"]
    variables = environment(OPENBLAS_NUM_THREADS="1")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables, cwd=TOP
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, case in enumerate(cases):
            place = directory / str(number)
            source = case.write(os.path.join(place, "model", "m"))
            print(json.dumps([str(place), source, list(case.tensors), thorough]), file=process.stdin, flush=True)
            yield case, json.loads(process.stdout.readline())
        process.stdin.close()
