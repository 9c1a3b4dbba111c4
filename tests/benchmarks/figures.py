"""What is computed from the samples: ratios round by round, and what remains above a base.

A ratio is the median of the ratios in each round, not the ratio of medians: a slow moment of the machine falls on the
contenders of one round alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.benchmarks.measure import Usage

Key = tuple[str, str]
"""An input's name and a contender's."""
Rounds = dict[int, Usage]

NBYTES_PER_ENTRY = 512
"""Memory that an entry of the index may take."""


@dataclass
class Outcome:
    """What came of a scenario.

    Attributes:
        samples: what each run took, by the number of the round.
        inputs: "nbytes" and "entries" of each input.
        skipped: why something was left out.
        failures: what went wrong.
    """

    samples: dict[Key, Rounds] = field(default_factory=dict)
    inputs: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def note(self, key: Key, number: int, usage: Usage) -> None:
        """Add one run."""
        self.samples.setdefault(key, {})[number] = usage

    def seconds(self, key: Key) -> dict[int, float]:
        """Return the seconds that count, by round; nothing where it did not run."""
        return {number: usage.seconds for number, usage in self.samples.get(key, {}).items()}

    def peaks(self, key: Key) -> dict[int, float]:
        """Return the most memory, by round; nothing where it could not be told."""
        rounds = self.samples.get(key, {}).items()
        return {number: float(usage.peak_nbytes) for number, usage in rounds if usage.peak_nbytes is not None}


def median_ratio(over: Mapping[int, float], under: Mapping[int, float]) -> float | None:
    """Return the median of the ratios in those rounds that both have, None if there are none.

    Example:
        >>> median_ratio({0: 2.0, 1: 9.0, 2: 8.0, 3: 1.0}, {0: 1.0, 1: 3.0, 2: 2.0})
        3.0
    """
    return _median({number: over[number] / under[number] for number in over if number in under})


def median_difference(left: Mapping[int, float], right: Mapping[int, float]) -> float | None:
    """Return the median of the differences in those rounds that both have, None if there are none."""
    return _median({number: left[number] - right[number] for number in left if number in right})


def best_of(rounds: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the smallest value of each round.

    Example:
        >>> best_of([{0: 3.0, 1: 4.0}, {0: 2.0}])
        {0: 2.0, 1: 4.0}
    """
    numbers = sorted({number for values in rounds for number in values})
    return {number: min(values[number] for values in rounds if number in values) for number in numbers}


def _median(values: Mapping[int, float]) -> float | None:
    return statistics.median(values.values()) if values else None


class Figure(Protocol):
    """A number that follows from a scenario's outcome."""

    @property
    def unit(self) -> str:
        """Follows the number in a report."""

    def value(self, outcome: Outcome) -> float | None:
        """Return the number, None where something that it needs did not run."""


@dataclass(frozen=True)
class Ratio:
    """The time of one run, or of the best of several, divided by that of another."""

    over: tuple[Key, ...]
    under: Key
    unit: str = "x"

    def value(self, outcome: Outcome) -> float | None:
        """Return the median over the rounds."""
        return median_ratio(best_of([outcome.seconds(key) for key in self.over]), outcome.seconds(self.under))


@dataclass(frozen=True)
class PerByteRatio:
    """The time for a byte in one run divided by that in another."""

    over: Key
    under: Key
    unit: str = "x"

    def value(self, outcome: Outcome) -> float | None:
        """Return the median over the rounds."""
        ratio = median_ratio(outcome.seconds(self.over), outcome.seconds(self.under))
        if ratio is None:
            return None
        return ratio * outcome.inputs[self.under[0]]["nbytes"] / outcome.inputs[self.over[0]]["nbytes"]


@dataclass(frozen=True)
class MemoryAbove:
    """Memory above that of another run, less what the entries may take, in MiB."""

    run: Key
    base: Key
    unit: str = " MiB"

    def value(self, outcome: Outcome) -> float | None:
        """Return the median over the rounds."""
        above = median_difference(outcome.peaks(self.run), outcome.peaks(self.base))
        if above is None:
            return None
        return (above - NBYTES_PER_ENTRY * outcome.inputs[self.run[0]]["entries"]) / (1 << 20)


@dataclass(frozen=True)
class Peak:
    """Memory of a run, in MB."""

    run: Key
    unit: str = " MB"

    def value(self, outcome: Outcome) -> float | None:
        """Return the median over the rounds."""
        peak = _median(outcome.peaks(self.run))
        return None if peak is None else peak / 1e6


@dataclass(frozen=True)
class MicrosecondsPerEntry:
    """Time above that of another run, for one entry of the index."""

    run: Key
    base: Key
    unit: str = " us"

    def value(self, outcome: Outcome) -> float | None:
        """Return the median over the rounds."""
        above = median_difference(outcome.seconds(self.run), outcome.seconds(self.base))
        return None if above is None else 1e6 * above / outcome.inputs[self.run[0]]["entries"]


@dataclass(frozen=True)
class BytesPerEntry:
    """Memory above that of another run, for one entry of the index."""

    run: Key
    base: Key
    unit: str = " B"

    def value(self, outcome: Outcome) -> float | None:
        """Return the median over the rounds."""
        above = median_difference(outcome.peaks(self.run), outcome.peaks(self.base))
        return None if above is None else above / outcome.inputs[self.run[0]]["entries"]
