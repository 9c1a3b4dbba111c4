"""Runs scenarios: makes inputs when they are needed, lets contenders take turns, removes what is done with."""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from tests.benchmarks.contenders import Contender
from tests.benchmarks.figures import Outcome
from tests.benchmarks.measure import ProcessError, Usage, claim_memory, run_process, warm
from tests.benchmarks.scenarios import Scenario
from tests.benchmarks.sizes import INPUTS, MIB, InputSize, Scale
from tests.support.processes import environment

_KERNEL_ELEMENTS = 1 << 18
_SPARE_NBYTES = 256 * MIB
_CLAIMED_SHARE = 2  # of the payload: enough for a copy of it, and for whoever holds it in memory
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
_WARM_UP = "import numpy, tfbundle; tfbundle.open, tfbundle.halve, tfbundle.verify"

Say = Callable[[str], object]
Run = tuple[str, Contender]


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes:
        scale: how large everything is.
        rounds: for all scenarios; None leaves it to each of them.
        directory: where inputs and results go for the time being; None for the system's temporary directory.
        optional: whether contenders take part that need modules which ``tfbundle`` does not.
    """

    scale: Scale
    rounds: int | None = None
    directory: str | None = None
    optional: bool = True


class Workshop:
    """A temporary directory with inputs and the results of one run. Use as a context manager."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._folder = tempfile.TemporaryDirectory(prefix="tfbundle-bench-", dir=options.directory)
        self.target_folder = self.path("target")
        self._sizes: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def path(self, *parts: str) -> str:
        """Return a path within the directory."""
        return os.path.join(self._folder.name, *parts)

    def prefix(self, name: str) -> str:
        """Return the prefix of an input."""
        return self.path(name, "model.ckpt") if name else ""

    def provide(self, name: str) -> dict[str, int]:
        """Make an input unless it is there; return its size."""
        if name not in self._sizes:
            os.mkdir(self.path(name))
            size = self.size_of(name)
            text = self.run_module("inputs", name, self.prefix(name), str(size.nbytes), str(size.tensors))
            self._sizes[name] = json.loads(text)
        return self._sizes[name]

    def size_of(self, name: str) -> InputSize:
        """Return the size that an input is made for."""
        return INPUTS[name].scaled(self.options.scale)

    def missing_nbytes(self, names: Sequence[str]) -> int:
        """Return how much more room the disk would need for these inputs and a result, 0 if it has it."""
        sizes = [self.size_of(name).nbytes for name in names]
        needed = sum(self.size_of(name).nbytes for name in names if name not in self._sizes)
        needed += max(sizes, default=0) + _SPARE_NBYTES
        return max(0, needed - shutil.disk_usage(self._folder.name).free)

    def keep_only(self, names: Sequence[str]) -> None:
        """Remove all other inputs."""
        for name in [name for name in self._sizes if name not in names]:
            shutil.rmtree(self.path(name))
            del self._sizes[name]

    def run_module(self, module: str, *arguments: str) -> str:
        """Run a module of this package in a process of its own; return what it prints."""
        command = [sys.executable, "-m", f"{__package__}.{module}", *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment()).stdout

    def run(self, name: str, contender: Contender) -> Usage:
        """Run a contender, its input in the page cache and its target removed before and after."""
        self.clear_target()
        prefix = self.prefix(name)
        if prefix:
            warm(glob.glob(f"{glob.escape(prefix)}.*"))
            claim_memory(_CLAIMED_SHARE * self._sizes[name]["nbytes"])
        places = {"source": prefix, "target": os.path.join(self.target_folder, "half"), "folder": self.target_folder}
        output = self.path("output") if contender.reports else os.devnull
        usage = run_process(contender.fill(places), environment(**_QUIET), output, self.path("errors"))
        shutil.rmtree(self.target_folder)
        return _with_inner_seconds(usage, output) if contender.reports else usage

    def clear_target(self) -> None:
        """Make the directory of the target anew."""
        shutil.rmtree(self.target_folder, ignore_errors=True)
        os.mkdir(self.target_folder)


def _with_inner_seconds(usage: Usage, output: str) -> Usage:
    with open(output, encoding="utf-8") as file:
        inner = float(file.read().split()[-1])
    return Usage(usage.wall_s, usage.cpu_s, usage.peak_nbytes, inner)


def run_suite(scenarios: Sequence[Scenario], options: Options, say: Say) -> Iterator[tuple[Scenario, Outcome]]:
    """Run scenarios one after the other.

    Args:
        scenarios: in this order.
        options: how.
        say: is told what goes on.

    Yields:
        Each scenario with what came of it, as soon as it is done.
    """
    with Workshop(options) as workshop:
        subprocess.run([sys.executable, "-c", _WARM_UP], check=True, env=environment())  # fills __pycache__
        for number, scenario in enumerate(scenarios):
            yield scenario, run_scenario(scenario, workshop, say)
            workshop.keep_only([name for later in scenarios[number + 1 :] for name in later.inputs])


def run_scenario(scenario: Scenario, workshop: Workshop, say: Say) -> Outcome:
    """Run a scenario's rounds, or leave it out where the disk has no room."""
    rounds = workshop.options.rounds or scenario.rounds_at(workshop.options.scale)
    if scenario.needs and not (workshop.options.optional and can_import(scenario.needs)):
        return Outcome(skipped=[_missing_words(scenario.needs)])
    if scenario.module:
        return _run_alone(scenario.module, rounds, workshop)
    outcome = Outcome()
    if missing := workshop.missing_nbytes(scenario.inputs):
        outcome.skipped.append(f"{scenario.name} needs {missing / MIB:,.0f} MiB more on the disk")
        return outcome
    for name in scenario.inputs:
        say(f"{scenario.name}: making {name}")
        outcome.inputs[name] = workshop.provide(name)
    runs = _usable(scenario, workshop.options, outcome)
    for number in range(rounds):
        say(f"{scenario.name}: round {number + 1} of {rounds}")
        _run_round(runs, number, workshop, outcome)
    outcome.samples = {key: outcome.samples[key] for name, one in runs if (key := (name, one.name)) in outcome.samples}
    return outcome


def _run_alone(module: str, rounds: int, workshop: Workshop) -> Outcome:
    """Run a module that takes all the samples itself."""
    outcome = Outcome()
    elements = max(4096, _KERNEL_ELEMENTS // workshop.options.scale.round_divisor)
    for name, contender, number, wall, cpu in json.loads(workshop.run_module(module, str(rounds), str(elements))):
        outcome.note((name, contender), number, Usage(wall, cpu))
    return outcome


def _run_round(runs: Sequence[Run], number: int, workshop: Workshop, outcome: Outcome) -> None:
    """Run every contender once, another one first in each round."""
    for name, contender in rotate(runs, number):
        if not contender.slow or number < workshop.options.scale.slow_rounds:
            try:
                outcome.note((name, contender.name), number, workshop.run(name, contender))
            except ProcessError as error:
                outcome.failures.append(str(error))


def rotate(runs: Sequence[Run], number: int) -> list[Run]:
    """Return what runs in a round, in order."""
    start = number % max(1, len(runs))
    return [*runs[start:], *runs[:start]]


def _usable(scenario: Scenario, options: Options, outcome: Outcome) -> list[Run]:
    """Return the runs whose modules are there; note which are not."""
    needed = {contender.needs for _, contender in scenario.runs if contender.needs}
    missing = {module for module in needed if not (options.optional and can_import(module))}
    outcome.skipped += [_missing_words(module) for module in sorted(missing)]
    return [(name, contender) for name, contender in scenario.runs if contender.needs not in missing]


def _missing_words(module: str) -> str:
    return f"whatever needs {module}, which cannot be imported"


@cache
def can_import(module: str) -> bool:
    """Return whether a new process can import a module; where it can, its files are in the page cache afterwards."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return False
    command = [sys.executable, "-c", f"import {module}"]
    return not subprocess.run(command, capture_output=True, check=False, env=environment(**_QUIET)).returncode
