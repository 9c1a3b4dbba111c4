from __future__ import annotations

import numpy as np
import pytest

from tests.casting.plain import (
    BFLOAT16,
    SIZES,
    assert_bits_equal,
    plain_stats,
    random_bits,
    random_weights,
    tensorflow_cast,
)
from tfbundle.casting.bfloat16 import Bfloat16Caster
from tfbundle.casting.policy import OnOverflow

# float32 pattern, bfloat16 pattern
KNOWN = {
    "zero": (0x00000000, 0x0000),
    "one": (0x3F800000, 0x3F80),
    "one and half a step: a tie, down to even": (0x3F808000, 0x3F80),
    "just above that tie": (0x3F808001, 0x3F81),
    "one and a half step: a tie, up to even": (0x3F818000, 0x3F82),
    "just below that": (0x3F817FFF, 0x3F81),
    "smallest float32 subnormal": (0x00000001, 0x0000),
    "2^-134: half the smallest, a tie, to zero": (0x00008000, 0x0000),
    "just above 2^-134": (0x00008001, 0x0001),
    "just below half a step below 2^-126": (0x007F7FFF, 0x007F),
    "half a step below 2^-126: a tie, up to it": (0x007F8000, 0x0080),
    "the largest": (0x7F7F0000, 0x7F7F),
    "just below the tie": (0x7F7F7FFF, 0x7F7F),
    "a tie, up to infinity": (0x7F7F8000, 0x7F80),
    "infinity": (0x7F800000, 0x7F80),
    "signalling NaN": (0x7F800001, 0x7FC0),
    "NaN with all bits, which a carry would turn into zero": (0x7FFFFFFF, 0x7FC0),
}


def cast(bits: list[int], on_overflow: OnOverflow = "inf") -> list[str]:
    target = np.empty(len(bits), np.uint16)
    Bfloat16Caster(on_overflow).cast(np.array(bits, np.uint32), target)
    return [hex(value) for value in target.tolist()]


@pytest.mark.parametrize("name", KNOWN)
def test_known_values_of_both_signs(name: str) -> None:
    bits, expected = KNOWN[name]
    assert cast([bits, bits | 1 << 31]) == [hex(expected), hex(expected | 0x8000)]


@pytest.mark.parametrize("name", KNOWN)
def test_known_values_are_counted(name: str) -> None:
    source = np.array([KNOWN[name][0], KNOWN[name][0] | 1 << 31], np.uint32)
    assert list(Bfloat16Caster().cast(source, np.empty(2, np.uint16))) == [plain_stats(source, BFLOAT16)]


def test_finite_overflow_becomes_the_largest() -> None:
    found = cast([0x7F7F8000, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0x3F800000], "clamp")
    assert found == ["0x7f7f", "0xff7f", "0x7f80", "0xff80", "0x7fc0", "0x3f80"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weights", [True, False])
def test_numbers_are_what_tensorflow_makes_of_them(size: int, weights: bool) -> None:
    source = random_weights(size, size) if weights else random_bits(size, size)
    source = source[~np.isnan(source.view(np.float32))]
    target = np.empty(len(source), np.uint16)
    Bfloat16Caster().cast(source, target)
    assert_bits_equal(target, tensorflow_cast(source, "float32", "bfloat16"), source)


def test_source_stays_as_it_was() -> None:
    source = random_bits(2, 1000)
    before = source.copy()
    source.flags.writeable = False
    Bfloat16Caster("clamp").cast(source, np.empty(1000, np.uint16))
    assert np.array_equal(source, before)
