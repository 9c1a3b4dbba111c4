from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.casting.plain import Bits16, Bits32, assert_bits_equal, tensorflow_cast
from tfbundle.casting.bfloat16 import Bfloat16Caster
from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.half import HalfCaster
from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.casting.widen import Bfloat16Widener, HalfWidener, SingleWidener, WidenCaster

WIDENERS: dict[str, type[WidenCaster]] = {"float16": HalfWidener, "bfloat16": Bfloat16Widener}
INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80}
EVERYTHING = np.arange(65536, dtype=np.uint16)


def widen(name: str, source: Bits16, starts: list[int] | None = None) -> tuple[Bits32, StatsTable]:
    target = np.full(len(source), 0xDEADBEEF, np.uint32)
    return target, WIDENERS[name]().cast(source, target, starts or [0])


def plain_widening(name: str, source: Bits16) -> Bits32:
    """Look it up in what ``tf.cast`` makes of every pattern."""
    table: Bits32 = tensorflow_cast(EVERYTHING, name, "float32")
    found: Bits32 = table[source]
    return found


def plain_stats(name: str, source: Bits16) -> CastStats:
    magnitude = source & 0x7FFF
    finite = magnitude[magnitude < INFINITY[name]].astype(np.uint32)
    values = finite.astype(np.uint16).view(np.float16) if name == "float16" else (finite << 16).view(np.float32)
    return CastStats(
        len(source),
        inf=int((magnitude == INFINITY[name]).sum()),
        nan=int((magnitude > INFINITY[name]).sum()),
        largest=float(values.max(initial=0)),
    )


def half_weights(size: int) -> Bits16:
    """Weights with zeros but nothing subnormal, infinite or NaN."""
    values = np.random.default_rng(size).standard_normal(size).astype(np.float16)
    values[np.abs(values) < 2.0**-14] = 0
    return values.view(np.uint16)


@pytest.mark.parametrize("name", WIDENERS)
def test_every_pattern_is_what_tensorflow_makes_of_it(name: str) -> None:
    found, stats = widen(name, EVERYTHING)
    assert_bits_equal(found, plain_widening(name, EVERYTHING), EVERYTHING)
    assert list(stats) == [plain_stats(name, EVERYTHING)]


@pytest.mark.parametrize("name", WIDENERS)
def test_every_pattern_among_many_ordinary_numbers(name: str) -> None:
    """Where what is special is little, it goes another way."""
    step = 128
    source = half_weights(BLOCK_ELEMENTS)
    for start in range(0, 65536, 1024):
        source[::step][:1024] = EVERYTHING[start : start + 1024]
        found, stats = widen(name, source)
        assert_bits_equal(found, plain_widening(name, source), source)
        assert list(stats) == [plain_stats(name, source)]


@pytest.mark.parametrize("name", WIDENERS)
@pytest.mark.parametrize("size", [1, 7, 8, 9, BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS + 1])
def test_sizes(name: str, size: int) -> None:
    for source in (half_weights(size), np.random.default_rng(size).integers(0, 65536, size, np.uint16)):
        found, stats = widen(name, source)
        assert_bits_equal(found, plain_widening(name, source), source)
        assert list(stats) == [plain_stats(name, source)]


@given(
    st.lists(st.one_of(st.integers(0, 65535), st.sampled_from([0, 0x7C00, 0x7C01, 0xFC00])), min_size=1),
    st.sampled_from(list(WIDENERS)),
    st.data(),
)
def test_any_segments(patterns: list[int], name: str, data: st.DataObject) -> None:
    source = np.array(patterns, np.uint16)
    starts = sorted(data.draw(st.sets(st.integers(0, len(patterns) - 1))) | {0})
    found, stats = widen(name, source, starts)
    assert_bits_equal(found, plain_widening(name, source), source)
    assert list(stats) == [plain_stats(name, part) for part in np.split(source, starts[1:])]


def test_there_and_back() -> None:
    wide, _ = widen("float16", EVERYTHING)
    back = np.empty(65536, np.uint16)
    HalfCaster().cast(wide, back)
    nan = EVERYTHING & 0x7FFF > 0x7C00
    assert_bits_equal(back, np.where(nan, EVERYTHING | 0x200, EVERYTHING), EVERYTHING)


def test_bfloat16_there_and_back() -> None:
    wide, _ = widen("bfloat16", EVERYTHING)
    back = np.empty(65536, np.uint16)
    Bfloat16Caster().cast(wide, back)
    nan = EVERYTHING & 0x7FFF > 0x7F80
    assert_bits_equal(back, np.where(nan, EVERYTHING & 0x8000 | 0x7FC0, EVERYTHING), EVERYTHING)


@pytest.mark.parametrize("name", WIDENERS)
def test_errstate_of_the_caller_does_not_matter(name: str) -> None:
    mostly_ordinary = np.concatenate([half_weights(70000), EVERYTHING[:100]])
    with np.errstate(all="raise"):
        widen(name, EVERYTHING)
        widen(name, mostly_ordinary)


SINGLES = {
    "zero": (0x00000000, 0x0000000000000000),
    "one": (0x3F800000, 0x3FF0000000000000),
    "smallest subnormal, 2^-149": (0x00000001, 0x36A0000000000000),
    "largest subnormal": (0x007FFFFF, 0x380FFFFFC0000000),
    "largest": (0x7F7FFFFF, 0x47EFFFFFE0000000),
    "infinity": (0x7F800000, 0x7FF0000000000000),
    "signalling NaN becomes quiet": (0x7F800001, 0x7FF8000020000000),
    "quiet NaN": (0x7FD5A000, 0x7FFAB40000000000),
}


def test_singles_of_both_signs() -> None:
    source = np.array([bits | sign << 31 for bits, _ in SINGLES.values() for sign in (0, 1)], np.uint32)
    target = np.empty(len(source), np.uint64)
    (stats,) = SingleWidener().cast(source, target)
    expected = [bits | sign << 63 for _, bits in SINGLES.values() for sign in (0, 1)]
    assert [hex(bits) for bits in target.tolist()] == [hex(bits) for bits in expected]
    assert stats == CastStats(16, inf=2, nan=4, largest=float.fromhex("0x1.fffffep127"))
