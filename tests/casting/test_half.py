from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.casting.plain import (
    SIZES,
    Bits16,
    Bits32,
    add_stats,
    assert_bits_equal,
    plain_stats,
    random_bits,
    random_weights,
    tensorflow_cast,
)
from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.half import HalfCaster
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import CastStats

# float32 pattern, float16 pattern; magnitudes, ties to even
KNOWN = {
    "zero": (0x00000000, 0x0000),
    "one": (0x3F800000, 0x3C00),
    "one and half a step: a tie, down to even": (0x3F801000, 0x3C00),
    "just above that tie": (0x3F801001, 0x3C01),
    "one and a half step: a tie, up to even": (0x3F803000, 0x3C02),
    "largest below two rounds up": (0x3FFFFFFF, 0x4000),
    "smallest float32 subnormal": (0x00000001, 0x0000),
    "largest float32 subnormal": (0x007FFFFF, 0x0000),
    "2^-25: half the smallest, a tie, to zero": (0x33000000, 0x0000),
    "just above 2^-25": (0x33000001, 0x0001),
    "just below 2^-25": (0x32FFFFFF, 0x0000),
    "2^-24: the smallest subnormal": (0x33800000, 0x0001),
    "1.5 * 2^-24: a tie, up to even": (0x33C00000, 0x0002),
    "2^-15": (0x38000000, 0x0200),
    "largest subnormal": (0x387FC000, 0x03FF),
    "half a step below 2^-14: a tie, up to the smallest normal": (0x387FE000, 0x0400),
    "just below that": (0x387FDFFF, 0x03FF),
    "2^-14: the smallest normal": (0x38800000, 0x0400),
    "65504: the largest": (0x477FE000, 0x7BFF),
    "65519.996: just below the tie": (0x477FEFFF, 0x7BFF),
    "65520: a tie, up to infinity": (0x477FF000, 0x7C00),
    "65536": (0x47800000, 0x7C00),
    "largest float32": (0x7F7FFFFF, 0x7C00),
    "infinity": (0x7F800000, 0x7C00),
    "quiet NaN": (0x7FC00000, 0x7E00),
    "quiet NaN with payload": (0x7FD5A000, 0x7EAD),
    "NaN whose payload is in the low bits": (0x7FC00001, 0x7E00),
    "signalling NaN becomes quiet": (0x7F800001, 0x7E00),
    "signalling NaN with payload": (0x7FA5A000, 0x7F2D),
    "NaN with all bits": (0x7FFFFFFF, 0x7FFF),
}
SPECIAL = np.array([bits for bits, _ in KNOWN.values()], np.uint32)
SPECIAL = np.concatenate([SPECIAL, SPECIAL | np.uint32(1 << 31)])
NUMBERS = SPECIAL[(SPECIAL & 0x7FFFFFFF) < 0x477FF000]


def cast(source: Bits32, on_overflow: OnOverflow = "inf") -> tuple[Bits16, CastStats]:
    target = np.full(len(source), 0xDEAD, np.uint16)
    (stats,) = HalfCaster(on_overflow).cast(source, target)
    return target, stats


def tensorflow_half(source: Bits32) -> Bits16:
    return tensorflow_cast(source, "float32", "float16")


@pytest.mark.parametrize("name", KNOWN)
def test_known_values_of_both_signs(name: str) -> None:
    bits, expected = KNOWN[name]
    found, _ = cast(np.array([bits, bits | 1 << 31], np.uint32))
    assert [hex(value) for value in found.tolist()] == [hex(expected), hex(expected | 0x8000)]


def test_known_values_beside_each_other() -> None:
    expected = np.array([bits for _, bits in KNOWN.values()], np.uint16)
    found, stats = cast(SPECIAL)
    assert_bits_equal(found, np.concatenate([expected, expected | np.uint16(0x8000)]), SPECIAL)
    assert stats == plain_stats(SPECIAL)


def test_special_values_are_what_tensorflow_makes_of_them() -> None:
    assert_bits_equal(cast(SPECIAL)[0], tensorflow_half(SPECIAL), SPECIAL)


@pytest.mark.parametrize("size", SIZES)
def test_random_patterns_are_what_tensorflow_makes_of_them(size: int) -> None:
    source = random_bits(size, size)
    found, stats = cast(source)
    assert_bits_equal(found, tensorflow_half(source), source)
    assert stats == plain_stats(source)


@pytest.mark.parametrize("scale", [1e-8, 2.0**-24, 1e-5, 1.0, 3e4])
@pytest.mark.parametrize("size", [17, BLOCK_ELEMENTS + 1])
def test_weights_are_what_tensorflow_makes_of_them(size: int, scale: float) -> None:
    source = random_weights(size, size, scale)
    found, stats = cast(source)
    assert_bits_equal(found, tensorflow_half(source), source)
    assert stats == plain_stats(source)


def test_numbers_are_what_numpy_makes_of_them() -> None:
    source = random_bits(5, 2 * BLOCK_ELEMENTS)
    source = source[~np.isnan(source.view(np.float32))]
    with np.errstate(over="ignore"):
        expected = source.view(np.float32).astype(np.float16).view(np.uint16)
    assert_bits_equal(cast(source)[0], expected, source)


@given(st.lists(st.one_of(st.sampled_from(SPECIAL.tolist()), st.integers(0, 2**32 - 1)), min_size=1, max_size=40))
def test_neighbours_do_not_matter(patterns: list[int]) -> None:
    source = np.array(patterns, np.uint32)
    alone = [cast(source[at : at + 1]) for at in range(len(source))]
    found, stats = cast(source)
    assert found.tolist() == [int(target[0]) for target, _ in alone]
    assert stats == add_stats(*(one for _, one in alone))
    assert stats == plain_stats(source)


def test_special_values_at_the_edge_of_blocks() -> None:
    source = random_weights(1, 3 * BLOCK_ELEMENTS + 5)
    for edge in (0, BLOCK_ELEMENTS, 2 * BLOCK_ELEMENTS, 3 * BLOCK_ELEMENTS, len(source)):
        source[max(0, edge - 3) : edge + 3] = np.resize(SPECIAL, 6)[: len(source[max(0, edge - 3) : edge + 3])]
    found, stats = cast(source)
    one_by_one = np.concatenate([cast(source[start : start + 1000])[0] for start in range(0, len(source), 1000)])
    assert_bits_equal(found, one_by_one, source)
    assert stats == plain_stats(source)


class TestClamp:
    def test_finite_overflow_becomes_the_largest(self) -> None:
        values = np.array([65519.996, 65520, -65520, 1e38, -1e38, np.inf, -np.inf, np.nan, 1], np.float32)
        found, stats = cast(values.view(np.uint32), "clamp")
        result = found.view(np.float16)
        assert result[:7].tolist() == [65504, 65504, -65504, 65504, -65504, np.inf, -np.inf]
        assert np.isnan(result[7])
        assert result[8] == 1
        assert (stats.overflow, stats.inf, stats.nan, stats.largest) == (4, 2, 1, float(np.float32(1e38)))

    def test_everything_else_is_the_same(self) -> None:
        source = random_bits(3, BLOCK_ELEMENTS + 77)
        plain, stats = cast(source)
        clamped, clamped_stats = cast(source, "clamp")
        overflow = np.isfinite(source.view(np.float32)) & (plain & 0x7FFF == 0x7C00)
        expected = np.where(overflow, plain & 0x8000 | 0x7BFF, plain).astype(np.uint16)
        assert_bits_equal(clamped, expected, source)
        assert stats == clamped_stats
        assert stats.overflow == overflow.sum()

    def test_error_stores_infinity_and_counts(self) -> None:
        found, stats = cast(np.array([0x477FF000], np.uint32), "error")
        assert found.tolist() == [0x7C00]
        assert stats.overflow == 1


def draw_sizes(seed: int, total: int) -> list[int]:
    rng = np.random.default_rng(seed)
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(int(rng.choice([1, 2, 3, 100, 5000, BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS, 2 * BLOCK_ELEMENTS])))
    return sizes


class TestSegments:
    @pytest.mark.parametrize("seed", range(6))
    def test_each_tensor_is_counted_as_if_alone(self, seed: int) -> None:
        sizes = draw_sizes(seed, 5 * BLOCK_ELEMENTS)
        rng = np.random.default_rng(seed)
        parts = [
            np.resize(SPECIAL, size)
            if kind == 0
            else random_bits(at, size)
            if kind == 1
            else random_weights(at, size, float(rng.choice([1e-7, 1.0])))
            for at, (size, kind) in enumerate(zip(sizes, rng.integers(0, 3, len(sizes)), strict=True))
        ]
        source = np.concatenate(parts)
        starts = [0, *np.cumsum(sizes)[:-1].tolist()]
        target = np.empty(len(source), np.uint16)
        stats = HalfCaster().cast(source, target, starts)
        alone = [cast(part) for part in parts]
        assert list(stats) == [one for _, one in alone] == [plain_stats(part) for part in parts]
        assert_bits_equal(target, np.concatenate([part for part, _ in alone]), source)

    @pytest.mark.parametrize(
        "sizes",
        [
            [BLOCK_ELEMENTS, BLOCK_ELEMENTS],
            [BLOCK_ELEMENTS - 1, 2, BLOCK_ELEMENTS - 1],
            [1, BLOCK_ELEMENTS, 1],
            [3 * BLOCK_ELEMENTS + 5, 1],
            [1] * 50,
        ],
    )
    def test_tensors_that_meet_at_the_edge_of_a_block(self, sizes: list[int]) -> None:
        parts = [random_bits(at, size) for at, size in enumerate(sizes)]
        starts = [0, *np.cumsum(sizes)[:-1].tolist()]
        target = np.empty(sum(sizes), np.uint16)
        assert list(HalfCaster().cast(np.concatenate(parts), target, starts)) == [plain_stats(part) for part in parts]

    def test_tensors_all_of_one_kind(self) -> None:
        kinds: dict[str, list[Any]] = {
            "zero": [0, 1 << 31],
            "nan": [0x7FC00001, 0xFF800001],
            "inf": [0x7F800000, 0xFF800000],
            "overflow": [0x477FF000, 0xFF7FFFFF],
            "underflow": [1, 0x33000000],
            "subnormal": [0x33000001, 0x387FDFFF],
            "normal": [0x387FE000, 0x477FEFFF],
        }
        source = np.array([bits for pair in kinds.values() for bits in pair], np.uint32)
        target = np.empty(len(source), np.uint16)
        stats = HalfCaster().cast(source, target, list(range(0, len(source), 2)))
        for (kind, pair), found in zip(kinds.items(), stats, strict=True):
            expected = plain_stats(np.array(pair, np.uint32))
            assert found == expected
            for field in ("nan", "inf", "overflow", "underflow", "subnormal"):
                assert getattr(found, field) == (2 if field == kind else 0)


def test_one_caster_casts_again_and_again() -> None:
    caster = HalfCaster()
    for size in (BLOCK_ELEMENTS, 5, 1, BLOCK_ELEMENTS + 3):
        source = random_bits(size + 1, size)
        target = np.empty(size, np.uint16)
        assert list(caster.cast(source, target)) == [plain_stats(source)]
        assert_bits_equal(target, cast(source)[0], source)


def test_source_stays_as_it_was() -> None:
    source = random_bits(2, BLOCK_ELEMENTS + 9)
    before = source.copy()
    source.flags.writeable = False
    cast(source)
    assert np.array_equal(source, before)


def test_target_may_be_part_of_a_larger_array() -> None:
    target = np.full(SPECIAL.size + 4, 0xBEEF, np.uint16)
    HalfCaster().cast(SPECIAL, target[2:-2])
    assert target[:2].tolist() == target[-2:].tolist() == [0xBEEF, 0xBEEF]
    assert_bits_equal(target[2:-2], cast(SPECIAL)[0], SPECIAL)


@pytest.mark.parametrize("state", [{"over": "raise"}, {"all": "raise"}])
def test_errstate_of_the_caller_does_not_matter(state: Any) -> None:
    with np.errstate(**state):
        assert_bits_equal(cast(SPECIAL)[0], tensorflow_half(SPECIAL), SPECIAL)
