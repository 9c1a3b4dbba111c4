"""``python -m tests.benchmarks``."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timezone
from typing import Any

from tests.benchmarks.machine import describe
from tests.benchmarks.report import machine_lines, scenario_json, scenario_lines
from tests.benchmarks.scenarios import SCENARIOS, Scenario
from tests.benchmarks.sizes import FULL, QUICK, Scale
from tests.benchmarks.suite import Options, run_suite


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Compare tfbundle with what else one could run. Times are medians, ratios medians of the ratios in "
        "each round. The page cache is warm; nothing else should run on the machine.",
        epilog="scenarios: " + ", ".join(scenario.name for scenario in SCENARIOS),
    )
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the bytes, a tenth of the tensors")
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=names, default=names, help="only these scenarios")
    parser.add_argument("--rounds", metavar="N", type=int, help="rounds of each scenario")
    parser.add_argument("--json", metavar="FILE", help="write every figure here")
    parser.add_argument("--dir", metavar="DIRECTORY", help="where the checkpoints go for the time being")
    return parser


def measure(scenarios: list[Scenario], options: Options) -> dict[str, Any]:
    """Run scenarios, print what comes of them, and return it."""
    machine = describe()
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    print("\n".join(machine_lines(machine)))
    if options.scale != FULL:
        print(f"scale: {options.scale.name}; the limits are meant for full scale")
    results = []
    for scenario, outcome in run_suite(scenarios, options, _say):
        print("", *scenario_lines(scenario, outcome), sep="\n", flush=True)
        results.append(scenario_json(scenario, outcome))
    return {"machine": machine, "started": started, "scale": options.scale.name, "scenarios": results}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None, scale: Scale | None = None, *, optional: bool = True) -> int:
    """Run what the command line asks for; return 1 if a contender failed.

    Args:
        arguments: of the command line.
        scale: instead of what the arguments say.
        optional: whether contenders take part that need modules which ``tfbundle`` does not.
    """
    chosen = make_parser().parse_args(arguments)
    options = Options(scale or (QUICK if chosen.quick else FULL), chosen.rounds, chosen.dir, optional)
    results = measure([scenario for scenario in SCENARIOS if scenario.name in chosen.only], options)
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    return int(any(result["failures"] for result in results["scenarios"]))


if __name__ == "__main__":
    sys.exit(main())
