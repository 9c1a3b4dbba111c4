"""Run a target under atheris for as long as one likes: ``python -m tests.fuzz TARGET --minutes 20 [--jobs 2]``.

Starts from the target's seeds and from ``corpus/TARGET``, and prints how many inputs were run, how many edges they
reached and what was found. An input that breaks a promise is left in the working directory; mend what it reveals, and
keep it in ``corpus/TARGET`` under a name that says what it was. ``--keep`` adds to the corpus the few inputs that reach
what no other does.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import NAMES, find_target
from tests.support.processes import TOP, environment

_PROGRESS = re.compile(r"#(\d+)\s+\S+\s+cov: (\d+) ft: (\d+) corp: (\d+)/")
_SPEED = re.compile(r"stat::average_exec_per_sec:\s+(\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


@dataclass(frozen=True)
class Outcome:
    """What a process of libFuzzer told at its end.

    Attributes:
        executions: how many inputs were run.
        speed: how many in a second.
        edges: of the instrumented code that were reached.
        features: edges told apart by how often they were taken.
        findings: inputs that broke a promise.
        log: all that was printed.
    """

    executions: int
    speed: int
    edges: int
    features: int
    findings: list[Path]
    log: str

    def __str__(self) -> str:
        return (
            f"{self.executions:,} executions, {self.speed:,} a second, {self.edges:,} edges, "
            f"{self.features:,} features, findings: {len(self.findings)}"
        )


def start(target: Target, folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start libFuzzer in a folder of its own, in which it keeps inputs."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*target.seeds(), *target.kept()]):
        (inputs / f"start-{number:04d}").write_bytes(data)
    command = [sys.executable, "-m", "tests.fuzz.worker", target.name, str(inputs), f"-artifact_prefix={folder}/found-"]
    command += [f"-max_len={target.max_nbytes}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", *options]
    log = (folder / "log").open("w")
    with log:
        return subprocess.Popen(command, cwd=TOP, env=environment(), stdout=log, stderr=log, text=True)


def finish(process: subprocess.Popen[str], folder: Path) -> Outcome:
    """Wait for libFuzzer; return what it told."""
    status = process.wait()
    log = (folder / "log").read_text(errors="replace")
    progress = _PROGRESS.findall(log)
    _, edges, features, _ = map(int, progress[-1]) if progress else (0, 0, 0, 0)
    counts = [int(found[-1]) if (found := pattern.findall(log)) else 0 for pattern in (_EXECUTED, _SPEED)]
    findings = sorted(folder.glob("found-*"))
    if status and not findings:
        raise RuntimeError(f"libFuzzer ended with status {status}:\n{log[-4000:]}")
    return Outcome(counts[0], counts[1], edges, features, findings, log)


def keep(target: Target, folder: Path) -> None:
    """Add to the corpus the inputs that reach what no other does, the smallest that do."""
    merged = folder / "merged"
    merged.mkdir()
    for data in target.seeds():
        (merged / f"seed-{len(list(merged.iterdir()))}").write_bytes(data)
    shutil.copytree(CORPUS / target.name, merged, dirs_exist_ok=True) if (CORPUS / target.name).is_dir() else None
    before = set(merged.iterdir())
    command = [sys.executable, "-m", "tests.fuzz.worker", target.name, "-merge=1", str(merged), str(folder / "inputs")]
    subprocess.run([*command, f"-max_len={target.max_nbytes}"], cwd=TOP, env=environment(), check=True)
    (CORPUS / target.name).mkdir(parents=True, exist_ok=True)
    for path in set(merged.iterdir()) - before:
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
    flags = [f"-max_total_time={round(options.minutes * 60)}"]
    processes = [start(target, job, *flags, f"-seed={os.getpid() + number}") for number, job in enumerate(folders)]
    outcomes = [finish(process, job) for process, job in zip(processes, folders, strict=True)]
    for outcome in outcomes:
        print(f"{target.name}: {outcome}")
        for finding in outcome.findings:
            print(f"  {finding}")
            print(re.sub(r"(?ms)^INFO.*?\n|^#\d+.*?\n", "", outcome.log)[-3000:])
    if options.keep:
        for job in folders:
            keep(target, job)
    print(f"inputs: {folder}")
    return 1 if any(outcome.findings for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
