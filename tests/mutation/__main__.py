"""``python -m tests.mutation``: runs mutmut on a copy of the tree, and says what survived."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutation.mutants import KILLED, SURVIVED, TIMEOUT, UNTESTED, Mutant, iter_mutants

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("survivors.md")
MISTYPED = "mistyped"
_LISTED = re.compile(r"- `(?P<module>\S+)` `(?P<function>\S+)`: `(?P<change>.*?)`(?: — .*)?")
_PLUGIN = ["-p", "tests.mutation.plugin", "-p", "no:cacheprovider"]
_CONFIG = """
[mutmut]
source_paths=tfbundle
only_mutate=
    tfbundle/sstable/*
    tfbundle/format/*
pytest_add_cli_args_test_selection=
    tests/sstable
    tests/format
pytest_add_cli_args=
    -p
    tests.mutation.plugin
    -p
    no:cacheprovider
timeout_constant=3
timeout_multiplier=8
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, report, and return 1 if something survived that is not listed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("names", nargs="*", help="mutants, as shell patterns; all by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--directory", type=Path, help="where to work, and to find an earlier run; kept")
    parser.add_argument("--only-report", action="store_true", help="of the run that is in the directory")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or Path(temporary)
        if not options.only_report:
            _copy_tree(directory)
            _run(directory, "-m", "mutmut", "run", "--max-children", str(options.jobs), *options.names)
        mutants = _look_again(directory, [m for m in iter_mutants(directory) if m.outcome != "not run"], options.jobs)
    return _report(mutants)


def _copy_tree(directory: Path) -> None:
    files = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, os.fsdecode(files.stdout).split("\0")):
        if (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
    (directory / "setup.cfg").write_text(_CONFIG)


def _run(directory: Path, *command: str, mutant: str = "", quiet: bool = False) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"HYPOTHESIS_PROFILE": "steady"}
    if mutant:
        environment["MUTANT_UNDER_TEST"] = mutant
    return subprocess.run([sys.executable, *command], cwd=directory, env=environment, check=False, capture_output=quiet)


def _look_again(directory: Path, mutants: list[Mutant], jobs: int) -> list[Mutant]:
    """Try what survived in a process of its own, which also notices changes in what runs on import; then ask mypy."""
    doubtful = [mutant for mutant in mutants if mutant.outcome in (SURVIVED, UNTESTED)]
    with ThreadPoolExecutor(jobs) as pool:
        survived = dict(zip(doubtful, pool.map(lambda mutant: _survives(directory, mutant), doubtful), strict=True))
    mistyped = _mistyped(directory)

    def judge(mutant: Mutant) -> str:
        if not survived.get(mutant, True):
            return KILLED
        is_mistyped = mutant in survived and not mistyped.get(mutant.module, set()).isdisjoint(mutant.lines)
        return MISTYPED if is_mistyped else mutant.outcome

    return [mutant._replace(outcome=judge(mutant)) for mutant in mutants]


def _survives(directory: Path, mutant: Mutant) -> bool:
    package, _, file = mutant.module.partition("/")
    tests = f"tests/{package}/test_{file}"
    command = ("-m", "pytest", "-x", "-q", *_PLUGIN, tests)
    return _run(directory / "mutants", *command, mutant=mutant.name, quiet=True).returncode == 0


def _mistyped(directory: Path) -> dict[str, set[int]]:
    """Return the lines of each mutated file that mypy, which CI runs, objects to."""
    command = ("-m", "mypy", "--strict", "--ignore-missing-imports", "--output", "json", "tfbundle")
    found: dict[str, set[int]] = {}
    for line in _run(directory / "mutants", *command, quiet=True).stdout.splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            found.setdefault(error["file"].removeprefix("tfbundle/"), set()).add(error["line"])
    return found


def _report(mutants: list[Mutant]) -> int:
    columns = [KILLED, TIMEOUT, MISTYPED, SURVIVED, UNTESTED]
    print(f"{'module':32}", *(f"{column:>9}" for column in ("mutants", *columns, "noticed")))
    for module in [*sorted({mutant.module for mutant in mutants}), ""]:
        counts = Counter(mutant.outcome for mutant in mutants if module in ("", mutant.module))
        total = counts.total()
        noticed = f"{100 * (1 - (counts[SURVIVED] + counts[UNTESTED]) / total):.1f} %"
        print(
            f"{module or 'all':32}",
            *(f"{number:9}" for number in (total, *map(counts.__getitem__, columns))),
            f"{noticed:>9}",
        )
    listed = {
        match.group("module", "function", "change")
        for match in map(_LISTED.fullmatch, LIST.read_text().splitlines())
        if match
    }
    new = [mutant for mutant in mutants if mutant.outcome in (SURVIVED, UNTESTED) and mutant.place not in listed]
    print(f"\n{len(new)} survived that are not in {LIST.relative_to(ROOT)}")
    for mutant in new:
        print(f"- `{mutant.module}` `{mutant.function}`: `{mutant.change}`")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
