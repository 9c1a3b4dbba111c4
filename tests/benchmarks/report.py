"""Tables for people, JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.benchmarks.figures import Key, Outcome, Rounds, median_ratio
from tests.benchmarks.limits import LIMITS, Limit
from tests.benchmarks.scenarios import Scenario
from tests.benchmarks.sizes import GIB, MIB

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_MISSING = "-"


def machine_lines(machine: Mapping[str, str | int]) -> list[str]:
    """Return lines that say what the figures were measured on."""
    versions = ("kernel", "python", "numpy", "protobuf", "crc32c", "tensorflow")
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {int(machine['ram_nbytes']) / GIB:.0f} GiB",
        ", ".join(f"{name} {machine[name] or 'missing'}" for name in versions),
    ]


def scenario_lines(scenario: Scenario, outcome: Outcome) -> list[str]:
    """Return a scenario's report: its inputs, what each run took, and its figures."""
    sizes = [
        f"{name}: {size['nbytes'] / MIB:,.0f} MiB in {size['entries']:,} entries"
        for name, size in outcome.inputs.items()
    ]
    lines = [f"{scenario.name}: {scenario.about}", *sizes, *(f"skipped: {reason}" for reason in outcome.skipped)]
    lines += [f"FAILED: {failure}" for failure in outcome.failures]
    if outcome.samples:
        lines += align(_run_rows(scenario, outcome), left=(0, 1))
    if figures := list(_figure_rows(scenario, outcome)):
        lines += ["", *align(figures, left=(1, 2, 3))]
    return lines


def _run_rows(scenario: Scenario, outcome: Outcome) -> Iterator[tuple[str, ...]]:
    unit = scenario.unit
    yield "on", "", f"wall {unit}", f"CPU {unit}", "peak MiB", "rounds", f"/ {scenario.base}"
    for key, rounds in outcome.samples.items():
        ratio = median_ratio(outcome.seconds(key), outcome.seconds((key[0], scenario.base)))
        yield (*key, *_medians(rounds, _PER_SECOND[unit]), str(len(rounds)), _number(ratio))


def _medians(rounds: Rounds, per_second: float) -> tuple[str, str, str]:
    usages = rounds.values()
    peaks = [usage.peak_nbytes for usage in usages if usage.peak_nbytes is not None]
    return (
        f"{per_second * statistics.median(usage.seconds for usage in usages):.2f}",
        f"{per_second * statistics.median(usage.cpu_s for usage in usages):.2f}",
        f"{statistics.median(peaks) / MIB:,.1f}" if peaks else _MISSING,
    )


def _figure_rows(scenario: Scenario, outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for limit in LIMITS:
        if limit.scenario == scenario.name:
            value = limit.figure.value(outcome)
            number = _number(value) + (limit.figure.unit if value is not None else "")
            yield number, limit.what, _expected(limit), limit.judge(value)


def _expected(limit: Limit) -> str:
    words = []
    if limit.at_most is not None:
        words.append(f"at most {limit.at_most:g}")
    if limit.at_least is not None:
        words.append(f"at least {limit.at_least:g}")
    if limit.aim is not None:
        words.append(f"aim {limit.aim:g}")
    return ", ".join(words)


def _number(value: float | None) -> str:
    return _MISSING if value is None else f"{value:,.2f}"


def align(rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]], left: Sequence[int]) -> list[str]:
    """Return lines in which columns stand below each other.

    Example:
        >>> align([("cp", "1.00"), ("halve", "12.50")], left=(0,))
        ['  cp      1.00', '  halve  12.50']
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = (
        [
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    )
    return ["  " + "  ".join(row).rstrip() for row in cells]


def scenario_json(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    """Return everything that is known about a scenario, every round included."""
    return {
        "name": scenario.name,
        "about": scenario.about,
        "inputs": outcome.inputs,
        "skipped": outcome.skipped,
        "failures": outcome.failures,
        "runs": [_run_json(key, rounds) for key, rounds in outcome.samples.items()],
        "figures": [_figure_json(limit, outcome) for limit in LIMITS if limit.scenario == scenario.name],
    }


def _run_json(key: Key, rounds: Rounds) -> dict[str, Any]:
    usages = [rounds[number] for number in sorted(rounds)]
    return {
        "input": key[0],
        "contender": key[1],
        "rounds": sorted(rounds),
        "wall_s": [usage.wall_s for usage in usages],
        "inner_s": [usage.inner_s for usage in usages],
        "cpu_s": [usage.cpu_s for usage in usages],
        "peak_nbytes": [usage.peak_nbytes for usage in usages],
    }


def _figure_json(limit: Limit, outcome: Outcome) -> dict[str, Any]:
    value = limit.figure.value(outcome)
    return {
        "what": limit.what,
        "value": value,
        "unit": limit.figure.unit.strip(),
        "at_most": limit.at_most,
        "at_least": limit.at_least,
        "aim": limit.aim,
        "verdict": limit.judge(value),
    }
