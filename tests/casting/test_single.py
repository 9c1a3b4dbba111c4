from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.single import SingleCaster
from tfbundle.casting.stats import CastStats

# float64 value or pattern, float32 pattern, what is counted
KNOWN: dict[str, tuple[float | int, int, dict[str, int]]] = {
    "zero": (0.0, 0x00000000, {}),
    "one": (1.0, 0x3F800000, {}),
    "one and half a step: a tie, down to even": (1 + 2.0**-24, 0x3F800000, {}),
    "just above that tie": (1 + 2.0**-24 + 2.0**-52, 0x3F800001, {}),
    "one and a half step: a tie, up to even": (1 + 3 * 2.0**-24, 0x3F800002, {}),
    "smallest float64": (5e-324, 0x00000000, {"underflow": 1}),
    "2^-150: half the smallest, a tie, to zero": (2.0**-150, 0x00000000, {"underflow": 1}),
    "just above 2^-150": (2.0**-150 * (1 + 2.0**-52), 0x00000001, {"subnormal": 1}),
    "2^-149: the smallest subnormal": (2.0**-149, 0x00000001, {"subnormal": 1}),
    "largest subnormal": (2.0**-126 - 2.0**-149, 0x007FFFFF, {"subnormal": 1}),
    "just below half a step below 2^-126": (2.0**-126 - 2.0**-150 - 2.0**-179, 0x007FFFFF, {"subnormal": 1}),
    "half a step below 2^-126: a tie, up to it": (2.0**-126 - 2.0**-150, 0x00800000, {}),
    "2^-126": (2.0**-126, 0x00800000, {}),
    "the largest": ((2 - 2.0**-23) * 2.0**127, 0x7F7FFFFF, {}),
    "just below the tie": ((2 - 2.0**-24 - 2.0**-52) * 2.0**127, 0x7F7FFFFF, {}),
    "a tie, up to infinity": ((2 - 2.0**-24) * 2.0**127, 0x7F800000, {"overflow": 1}),
    "largest float64": (1.7976931348623157e308, 0x7F800000, {"overflow": 1}),
    "infinity": (float("inf"), 0x7F800000, {"inf": 1}),
    "signalling NaN becomes quiet": (0x7FF0000000000001, 0x7FC00000, {"nan": 1}),
    "upper bits of NaN stay": (0x7FF4B40020000000, 0x7FE5A001, {"nan": 1}),
    "NaN with all bits": (0x7FFFFFFFFFFFFFFF, 0x7FFFFFFF, {"nan": 1}),
}


def pattern(value: float) -> int:
    return value if isinstance(value, int) else int(np.float64(value).view(np.uint64))


def cast(
    patterns: list[int], how: OnOverflow = "inf", starts: tuple[int, ...] = (0,)
) -> tuple[list[int], list[CastStats]]:
    target = np.full(len(patterns), 0xDEADBEEF, np.uint32)
    table = SingleCaster(how).cast(np.array(patterns, np.uint64), target, starts)
    return target.tolist(), list(table)


@pytest.mark.parametrize("name", KNOWN)
def test_known_values_of_both_signs(name: str) -> None:
    value, expected, counts = KNOWN[name]
    bits, fields = pattern(value), dict[str, Any](counts)
    largest = 0.0 if counts.keys() & {"nan", "inf"} else float(value)
    found, stats = cast([bits, bits | 1 << 63], starts=(0, 1))
    assert [hex(result) for result in found] == [hex(expected), hex(expected | 1 << 31)]
    assert stats == [CastStats(1, largest=largest, **fields)] * 2


def test_known_values_beside_each_other() -> None:
    found, (stats,) = cast([pattern(value) for value, _, _ in KNOWN.values()])
    assert found == [expected for _, expected, _ in KNOWN.values()]
    assert stats == CastStats(len(KNOWN), 2, 2, 4, 1, 3, 1.7976931348623157e308)


def test_finite_overflow_becomes_the_largest() -> None:
    tie = (2 - 2.0**-24) * 2.0**127
    values = np.array([tie, -tie, 1e300, np.inf, -np.inf, np.nan, 1.0]).view(np.uint64)
    found, (stats,) = cast(values.tolist(), "clamp")
    expected = [0x7F7FFFFF, 0xFF7FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x3F800000]
    assert [hex(result) for result in found] == [hex(result) for result in expected]
    assert (stats.overflow, stats.inf, stats.nan, stats.largest) == (3, 2, 1, 1e300)


def test_special_values_at_the_edge_of_blocks() -> None:
    source = np.ones(2 * BLOCK_ELEMENTS + 3).view(np.uint64)
    special = np.array([pattern(value) for value, _, _ in KNOWN.values()], np.uint64)
    for edge in (BLOCK_ELEMENTS, 2 * BLOCK_ELEMENTS - 9):
        source[edge - 10 : edge - 10 + len(special)] = special
    target = np.empty(len(source), np.uint32)
    stats = SingleCaster().cast(source, target).total()
    with np.errstate(all="ignore"):
        expected = source.view(np.float64).astype(np.float32).view(np.uint32)
    assert np.array_equal(target, expected)
    assert stats == CastStats(len(source), 4, 4, 8, 2, 6, 1.7976931348623157e308)
