"""Samples of calls within one process: input, contender, round, seconds and processor seconds for one unit of work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

Sample = tuple[str, str, int, float, float]


def sample(calls: Mapping[str, Callable[[], object]], units: int, rounds: int, name: str = "") -> list[Sample]:
    """Let calls take turns, after one round that does not count.

    Args:
        calls: by the name of the contender.
        units: of work that each does: bytes, tensors, tasks.
        rounds: how many.
        name: of the input.

    Example:
        >>> [(contender, number) for _, contender, number, _, _ in sample({"nothing": list}, 1, 2)]
        [('nothing', 0), ('nothing', 1)]
    """
    samples: list[Sample] = []
    for number in range(-1, rounds):
        for contender, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            samples.append((name, contender, number, wall / units, cpu / units))
    return [one for one in samples if one[2] >= 0]


def tell(samples: list[Sample]) -> None:
    """Print samples for the suite."""
    print(json.dumps(samples))
