"""Times the cast of float32 to float16 alone, beside numpy's own.

Runs as ``python -m tests.benchmarks.kernel ROUNDS ELEMENTS`` and prints samples as JSON: input, contender, round,
seconds and processor seconds for one element. Both write into memory that is there already, since ``astype`` proper
would pay for fresh pages too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.contenders import HALF_CASTER, NUMPY_CAST
from tfbundle.casting.half import HalfCaster

REPEATS = 8

Bits = NDArray[np.uint32]
Sample = tuple[str, str, int, float, float]


def make_inputs(elements: int) -> dict[str, Bits]:
    """Return bit patterns by the name of what they have in common."""
    rng = np.random.default_rng(0)
    sign = rng.choice(np.array([-1, 1], np.float32), elements)
    weights = rng.standard_normal(elements, np.float32) * np.float32(0.05)
    values = {
        "normal": sign * rng.uniform(1e-3, 1, elements),
        "weights": weights,
        "subnormal": sign * 10 ** rng.uniform(-7.2, -4.3, elements),
        "underflowing": sign * 10 ** rng.uniform(-20, -8, elements),
        "overflowing": sign * 10 ** rng.uniform(5, 30, elements),
        "NaN in every 64": np.where(np.arange(elements) % 64 == 0, np.float32(np.nan), weights),
    }
    bits = {name: array.astype(np.float32).view(np.uint32) for name, array in values.items()}
    return bits | {"random bits": rng.integers(0, 2**32, elements, np.uint32)}


def time_round(bits: Bits, target: NDArray[np.uint16], caster: HalfCaster) -> dict[str, tuple[float, float]]:
    """Return seconds and processor seconds of each contender."""
    values, halves = bits.view(np.float32), target.view(np.float16)
    calls: dict[str, Callable[[], object]] = {
        HALF_CASTER: lambda: caster.cast(bits, target),
        NUMPY_CAST: lambda: np.copyto(halves, values, casting="unsafe"),
    }
    return {name: _time(call) for name, call in calls.items()}


def _time(call: Callable[[], object]) -> tuple[float, float]:
    """Time a call whose block is in the cache, as one is that was just read."""
    call()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(REPEATS):
        call()
    return (time.perf_counter() - wall) / REPEATS, (time.process_time() - cpu) / REPEATS


def run(rounds: int, elements: int) -> list[Sample]:
    """Return all samples, after one round that does not count."""
    inputs = make_inputs(elements)
    target = np.zeros(elements, np.uint16)
    caster = HalfCaster()
    samples: list[Sample] = []
    with np.errstate(all="ignore"):
        for number in range(-1, rounds):
            for name, bits in inputs.items():
                for contender, (wall, cpu) in time_round(bits, target, caster).items():
                    samples.append((name, contender, number, wall / elements, cpu / elements))
    return [sample for sample in samples if sample[2] >= 0]


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))
