"""What deviations are, told by the fractions of Python, one number after the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.casting.plain import FLOATS, Bits, plain_values
from tfbundle.casting.deviation import Deviation


def numbers(bits: Bits, dtype: str) -> list[Any]:
    """Return them as Python's."""
    found: list[Any] = plain_values(bits, dtype).tolist() if dtype in FLOATS else bits.view(dtype).tolist()
    return found


def exponent_of(value: float) -> int:
    found = value.bit_length() - 1 if isinstance(value, int) else math.frexp(value)[1] - 1
    return min(max(found, -160), 160)


def plain_deviation(before: Sequence[Any], after: Sequence[Any]) -> Deviation:
    errors: list[Fraction] = []
    ratios: list[Fraction] = []
    for x, result in zip(before, after, strict=True):
        if math.isfinite(x) and math.isfinite(result):
            errors.append(abs(Fraction(result) - Fraction(x)))
            ratios += [errors[-1] / abs(Fraction(x))] if x else []
    largest = max(errors, default=Fraction(0))
    mean = sum((error / (largest or 1)) ** 2 for error in errors) / max(len(errors), 1)
    counter = Counter(exponent_of(x) for x in before if math.isfinite(x) and x)
    first, last = (min(counter), max(counter)) if counter else (0, -1)
    return Deviation(
        len(errors),
        sum(x == 0 for x in before),
        float(largest),
        float(max(ratios, default=Fraction(0))),
        float(largest) * math.sqrt(mean),
        first,
        tuple(counter[exponent] for exponent in range(first, last + 1)),
    )


def assert_deviates(found: Deviation, before: Sequence[Any], after: Sequence[Any], rel: float = 1e-6) -> None:
    expected = plain_deviation(before, after)
    for name in ("max_absolute", "max_relative", "rms"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=rel, abs=1e-323), name
    for name in ("compared", "zeros", "first_exponent", "exponents"):
        assert getattr(found, name) == getattr(expected, name), name


def weights(seed: int, size: int, scale: float = 1.0) -> Bits:
    values = np.random.default_rng(seed).standard_normal(size) * scale
    return values.astype(np.float32).view(np.uint32)
