"""Every pair of dtypes, against TensorFlow."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.casting.plain import (
    FLOATS,
    Bits,
    assert_bits_equal,
    plain_cast,
    plain_cast_stats,
    plain_values,
    tensorflow_cast,
)
from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.casters import can_cast, make_caster
from tfbundle.casting.stats import CastStats, StatsTable
from tfbundle.errors import UnsupportedError

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
PAIRS = list(permutations(FLOATS, 2))
INTEGER_PAIRS = list(permutations(INTEGERS, 2))
pairs = pytest.mark.parametrize(("source", "target"), PAIRS)
integer_pairs = pytest.mark.parametrize(("source", "target"), INTEGER_PAIRS)

# magnitudes at which something changes, in one of the dtypes
EDGES = [0.0, 1.0, 65504.0, 65519.999, 65520.0, 65536.0, 2.0**-14, 2.0**-24, 2.0**-25, 2.0**-126, 2.0**-133, 2.0**-134]
EDGES += [2.0**-149, 2.0**-150, 2.0**-126 - 2.0**-150, 2.0**-126 - 2.0**-149, 2.0**-126 - 2.0**-134, 2.0**-1074]
EDGES += [(2 - 2.0**-23) * 2.0**127, (2 - 2.0**-24) * 2.0**127, (2 - 2.0**-7) * 2.0**127, (2 - 2.0**-8) * 2.0**127]
EDGES += [1 + 2.0**-11, 1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-40, 2.0**-1022, 1.7976931348623157e308, np.inf]


def special_bits(dtype: str) -> Bits:
    """Return the edges with their neighbours, both signs, and some NaN."""
    bits, infinity, _ = FLOATS[dtype]
    if bits is np.uint16:
        return np.arange(1 << 16, dtype=np.uint16)
    with np.errstate(all="ignore"):
        edges = np.array(EDGES, np.float64).astype(dtype).view(bits)
    near = [edges, edges + bits(1), edges[edges > 0] - bits(1), edges[edges > 0] - bits(2)]
    quiet = np.arange(1, 200, dtype=bits) * bits((infinity & -infinity) // 256)
    sign = bits(1 << 8 * edges.itemsize - 1)
    nan = np.concatenate([quiet, quiet | bits(1), [bits(1)]]) | bits(infinity)
    found = np.concatenate([*near, nan])
    return np.concatenate([found, found | sign])


def random_values(dtype: str, size: int) -> Bits:
    """Return random bits, exponents near the middle among them: float64 has few that others have too."""
    rng = np.random.default_rng(size)
    found = np.frombuffer(rng.bytes(size * np.dtype(FLOATS[dtype].bits).itemsize), FLOATS[dtype].bits).copy()
    if dtype == "float64":
        half = size // 2
        found[:half] &= np.uint64(0x800FFFFFFFFFFFFF)
        found[:half] |= rng.integers(1023 - 160, 1023 + 140, half).astype(np.uint64) << np.uint64(52)
    return found


def is_nan(source: Bits, dtype: str) -> Any:
    bits, infinity, _ = FLOATS[dtype]
    return source & bits((1 << 8 * source.itemsize - 1) - 1) > bits(infinity)


def cast(source: Bits, pair: tuple[str, str], how: str = "inf", starts: Any = (0,)) -> tuple[Bits, StatsTable]:
    target = np.frombuffer(b"\xad" * len(source) * np.dtype(FLOATS[pair[1]].bits).itemsize, FLOATS[pair[1]].bits).copy()
    return target, make_caster(*pair, how).cast(source, target, starts)  # type: ignore[arg-type]


def check(source: Bits, pair: tuple[str, str]) -> None:
    found, table = cast(source, pair)
    expected = plain_cast(source, *pair)
    if pair == ("float32", "bfloat16"):  # what TensorFlow does to NaN depends on the processor
        expected = np.where(is_nan(source, "float32"), found, expected)
    assert_bits_equal(found, expected, source)
    assert list(table) == [plain_cast_stats(source, *pair)]


@pairs
def test_special_values_are_what_tensorflow_makes_of_them(source: str, target: str) -> None:
    check(special_bits(source), (source, target))


@pairs
@pytest.mark.parametrize("size", [1, 7, 5000, BLOCK_ELEMENTS + 9])
def test_random_bits_are_what_tensorflow_makes_of_them(source: str, target: str, size: int) -> None:
    check(random_values(source, size), (source, target))


@pairs
@pytest.mark.parametrize("how", ["clamp", "error", "keep"])
def test_what_becomes_of_overflow(source: str, target: str, how: str) -> None:
    bits = np.concatenate([special_bits(source), random_values(source, 10000)])
    infinite, table = cast(bits, (source, target))
    found, other_table = cast(bits, (source, target), how)
    to = FLOATS[target]
    no_sign = to.bits((1 << 8 * infinite.itemsize - 1) - 1)
    overflow = (infinite & no_sign == to.bits(to.infinity)) & np.isfinite(plain_values(bits, source))
    expected = infinite - overflow.astype(to.bits) if how == "clamp" else infinite
    assert_bits_equal(found, expected, bits)
    assert list(table) == list(other_table)
    assert table[0].overflow == overflow.sum()


def test_float64_is_rounded_twice_on_its_way_to_16_bits() -> None:
    """Just above a tie of float16; as a float32 it is the tie itself, which goes down to even."""
    source = np.array([1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-40]).view(np.uint64)
    assert cast(source, ("float64", "float16"))[0][0] == 0x3C00
    assert cast(source, ("float64", "bfloat16"))[0][1] == 0x3F80
    assert source.view(np.float64).astype(np.float16)[0] == 1 + 2.0**-10


@pytest.mark.parametrize("wide", ["float32", "float64"])
@pytest.mark.parametrize("narrow", ["float16", "bfloat16"])
def test_there_and_back(narrow: str, wide: str) -> None:
    everything = np.arange(1 << 16, dtype=np.uint16)
    there, _ = cast(everything, (narrow, wide))
    back, stats = cast(there, (wide, narrow))
    quiet = everything | 0x200 if narrow == "float16" else everything & 0x8000 | 0x7FC0
    assert_bits_equal(back, np.where(is_nan(everything, narrow), quiet, everything), everything)
    assert stats[0].overflow == stats[0].underflow == 0


def test_single_there_and_back() -> None:
    source = np.concatenate([special_bits("float32"), random_values("float32", 100000)])
    back, stats = cast(cast(source, ("float32", "float64"))[0], ("float64", "float32"))
    quiet = np.where(is_nan(source, "float32"), source | np.uint32(0x400000), source)
    assert_bits_equal(back, quiet, source)
    assert stats[0].overflow == stats[0].underflow == 0


@given(st.data(), st.sampled_from(PAIRS))
def test_any_segments(data: st.DataObject, pair: tuple[str, str]) -> None:
    bits, special = FLOATS[pair[0]].bits, special_bits(pair[0])
    patterns = st.one_of(st.sampled_from(special.tolist()), st.integers(0, int(np.iinfo(bits).max)))
    source = np.array(data.draw(st.lists(patterns, min_size=1, max_size=30)), bits)
    starts = sorted(data.draw(st.sets(st.integers(0, len(source) - 1))) | {0})
    found, table = cast(source, pair, "inf", starts)
    assert found.tolist() == [int(cast(source[at : at + 1], pair)[0][0]) for at in range(len(source))]
    assert list(table) == [plain_cast_stats(part, *pair) for part in np.split(source, starts[1:])]


@pairs
def test_ten_thousand_tensors(source: str, target: str) -> None:
    bits = random_values(source, BLOCK_ELEMENTS + 5000)
    starts = np.arange(0, len(bits), 26)
    found, table = cast(bits, (source, target), "inf", starts)
    assert_bits_equal(found, cast(bits, (source, target))[0], bits)
    assert table.total() == plain_cast_stats(bits, source, target)
    for row in (0, 1, 5000, len(starts) - 1):
        assert table[row] == plain_cast_stats(bits[26 * row : 26 * row + 26], source, target)


@pairs
def test_caller_may_be_strict_and_sources_read_only(source: str, target: str) -> None:
    bits = special_bits(source)
    before = bits.copy()
    bits.flags.writeable = False
    for how in ("inf", "clamp"):
        with np.errstate(all="raise"):
            cast(bits, (source, target), how)
    assert np.array_equal(bits, before)


@pairs
def test_nothing_to_cast(source: str, target: str) -> None:
    assert list(cast(np.empty(0, FLOATS[source].bits), (source, target))[1]) == [CastStats()]


@integer_pairs
def test_integers_are_what_tensorflow_makes_of_them(source: str, target: str) -> None:
    info = np.iinfo(source)
    edges = [edge + by for name in INTEGERS for edge in (np.iinfo(name).min, np.iinfo(name).max) for by in (-1, 0, 1)]
    near = np.array([edge for edge in edges if info.min <= edge <= info.max], source)
    anything = np.frombuffer(np.random.default_rng(1).bytes(3000 * near.itemsize), source)
    values = np.concatenate([near, anything])
    bits, found = values.view(f"u{values.itemsize}"), np.empty(len(values), target)
    table = make_caster(source, target).cast(bits, found.view(f"u{found.itemsize}"))
    assert_bits_equal(found.view(f"u{found.itemsize}"), tensorflow_cast(values, source, target), bits)
    lost = sum(int(value) != int(result) for value, result in zip(values.tolist(), found.tolist(), strict=True))
    largest = max(abs(value) for value in values.tolist())
    assert list(table) == [CastStats(len(values), overflow=lost, largest=float(largest))]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("float32", "int32"),
        ("int32", "float32"),
        ("bool", "int8"),
        ("int8", "bool"),
        ("string", "float32"),
        ("float32", "string"),
        ("complex64", "float32"),
        ("float32", "float8_e5m2"),
        ("float32", ""),
    ],
)
def test_no_such_cast(source: str, target: str) -> None:
    assert not can_cast(source, target)
    with pytest.raises(UnsupportedError) as caught:
        make_caster(source, target)
    assert str(caught.value) == (f"cannot cast {source} to {target}: floats become floats, and integers integers, only")


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
def test_nothing_is_cast_to_itself(name: str) -> None:
    assert not can_cast(name, name)
    with pytest.raises(UnsupportedError, match=f"cannot cast {name} to {name}: it is that already"):
        make_caster(name, name)


def test_all_others_can_be_cast() -> None:
    assert all(can_cast(*pair) for pair in [*PAIRS, *INTEGER_PAIRS])
