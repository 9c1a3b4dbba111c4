"""Run a target under atheris for as long as one likes: ``python -m tests.fuzz TARGET --minutes 20 [--jobs 2]``.

Starts from the target's seeds, from ``corpus/TARGET`` and from small files of the corpus of checkpoints, and prints how
many inputs were run, how many edges they reached and what was found. An input that breaks a promise is left in the
working directory; mend what it reveals, and keep it in ``corpus/TARGET`` under a name that says what it was. ``--keep``
adds to the corpus the few inputs that reach what no other does.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.fuzz.starts import corpus_inputs
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import NAMES, find_target
from tests.support.processes import TOP, environment

_PROGRESS = re.compile(r"#\d+\s+\S+\s+cov: (\d+) ft: (\d+) corp: (\d+)/")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_ROUND_SECONDS = 90
_MOST_KEPT_NBYTES = 16_000  # of one target


@dataclass(frozen=True)
class Outcome:
    """What libFuzzer told at its end.

    Attributes:
        executions: how many inputs were run.
        edges: of the instrumented code that were reached.
        features: edges told apart by how often they were taken.
        findings: inputs that broke a promise.
        log: all that was printed last.
        seconds: how long it took.
    """

    executions: int
    edges: int
    features: int
    findings: list[Path]
    log: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.executions:,} executions, {self.edges:,} edges, {self.features:,} features, "
            f"{len(self.findings)} findings, in {self.seconds / 60:.1f} minutes"
        )

    def followed_by(self, later: Outcome) -> Outcome:
        """Return the outcome of this round and a later one that went on from it."""
        executions, seconds = self.executions + later.executions, self.seconds + later.seconds
        return replace(later, executions=executions, seconds=seconds)


def prepare(target: Target, folder: Path) -> None:
    """Make a folder with the inputs that a run starts from."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*target.seeds(), *target.kept(), *corpus_inputs(target)]):
        (inputs / f"start-{number:04d}").write_bytes(data)


def run(target: Target, folder: Path, seconds: int, *options: str) -> Outcome:
    """Run libFuzzer once in a folder that is prepared, in which it keeps inputs; return what it told."""
    inputs = folder / "inputs"
    command = [sys.executable, "-m", "tests.fuzz.worker", target.name, str(inputs), f"-artifact_prefix={folder}/found-"]
    command += [f"-max_len={target.max_nbytes}", "-timeout=120", "-rss_limit_mb=2048", "-print_final_stats=1"]
    command += ["-report_slow_units=1000"]  # by the clock of the wall, which others make late
    command += [f"-max_total_time={seconds}", *options]
    begin = time.monotonic()
    found = subprocess.run(
        command, check=False, cwd=TOP, env=environment(), capture_output=True, text=True, errors="replace"
    )
    log = found.stdout + found.stderr
    findings = sorted(folder.glob("found-*"))
    if found.returncode and not findings:
        raise RuntimeError(f"libFuzzer ended with status {found.returncode}:\n{log[-4000:]}")
    progress = _PROGRESS.findall(log)
    edges, features, _ = map(int, progress[-1]) if progress else (0, 0, 0)
    executed = _EXECUTED.findall(log)
    executions = int(executed[-1]) if executed else 0
    return Outcome(executions, edges, features, findings, log, time.monotonic() - begin)


def run_long(target: Target, folder: Path, minutes: float, seed: int) -> Outcome:
    """Run libFuzzer in rounds until the time is over, or something is found.

    A round is short because atheris itself loses some kilobytes of memory with every input.
    """
    end = time.monotonic() + 60 * minutes
    outcome = Outcome(0, 0, 0, [], "")
    while (left := end - time.monotonic()) > 1 and not outcome.findings:
        seconds = round(min(left, _ROUND_SECONDS))
        outcome = outcome.followed_by(run(target, folder, seconds, f"-seed={seed + round(left)}"))
    return outcome


def keep(target: Target, folders: list[Path], scratch: Path) -> None:
    """Add to the corpus the inputs that reach what no other does, the smallest first, as many as it has room for."""
    merged = scratch / "merged"
    merged.mkdir()
    for number, data in enumerate([*target.seeds(), *target.kept()]):
        (merged / f"start-{number:04d}").write_bytes(data)
    command = [sys.executable, "-m", "tests.fuzz.worker", target.name, "-merge=1", f"-max_len={target.max_nbytes}"]
    command += [str(merged), *(str(folder / "inputs") for folder in folders)]
    subprocess.run(command, cwd=TOP, env=environment(), check=True, capture_output=True)
    (CORPUS / target.name).mkdir(parents=True, exist_ok=True)
    room = _MOST_KEPT_NBYTES - sum(map(len, target.kept()))
    new = [path for path in merged.iterdir() if not path.name.startswith("start-")]
    for path in sorted(new, key=lambda path: path.stat().st_size):
        room -= path.stat().st_size
        if room < 0:
            break
        shutil.copy(path, CORPUS / target.name / path.name[:16])


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--jobs", type=int, default=1, help="processes that run side by side")
    parser.add_argument("--folder", type=Path, help="where inputs and findings are kept; a temporary one by default")
    parser.add_argument("--keep", action="store_true", help="add to the corpus what reaches more than it does")
    options = parser.parse_args()
    target = find_target(options.target)
    folder = options.folder or Path(tempfile.mkdtemp(prefix=f"fuzz-{target.name}-"))
    folders = [folder / str(job) for job in range(options.jobs)]
    for job in folders:
        prepare(target, job)
    with ThreadPoolExecutor(options.jobs) as executor:
        seeds = range(1, options.jobs + 1)
        outcomes = list(executor.map(lambda job, seed: run_long(target, job, options.minutes, seed), folders, seeds))
    for outcome in outcomes:
        print(f"{target.name}: {outcome}")
        for finding in outcome.findings:
            print(f"  {finding}")
            print(re.sub(r"(?ms)^INFO.*?\n|^#\d+.*?\n", "", outcome.log)[-3000:])
    if options.keep:
        keep(target, folders, folder)
    print(f"inputs: {folder}")
    return 1 if any(outcome.findings for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
