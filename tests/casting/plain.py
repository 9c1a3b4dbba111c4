"""What casts must do, told by plain numpy, and numbers to try them on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.support.requirements import tensorflow
from tfbundle.casting.caster import BLOCK_ELEMENTS
from tfbundle.casting.stats import CastStats

Bits = NDArray[Any]
Bits32 = NDArray[np.uint32]
Bits16 = NDArray[np.uint16]

SIZES = [1, 2, 3, 7, 15, 16, 17, 31, 33, BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS, BLOCK_ELEMENTS + 1, 2 * BLOCK_ELEMENTS + 5]


class Limits(NamedTuple):
    """Magnitudes at which the outcome of a cast changes."""

    overflow: float
    underflow: float
    normal: float


HALF = Limits(65520.0, 2.0**-25, 2.0**-14 - 2.0**-25)
BFLOAT16 = Limits((2 - 2.0**-8) * 2.0**127, 2.0**-134, 2.0**-126 - 2.0**-134)


def plain_stats(source: Bits32, limits: Limits = HALF) -> CastStats:
    """Count with comparisons of float64 values, in which everything here is exact."""
    with np.errstate(invalid="ignore"):  # signalling NaN
        magnitude = np.abs(source.view(np.float32).astype(np.float64))
    nan, inf = np.isnan(magnitude), np.isinf(magnitude)
    finite = magnitude[~nan & ~inf]
    return CastStats(
        len(source),
        int((finite >= limits.overflow).sum()),
        int(((finite > 0) & (finite <= limits.underflow)).sum()),
        int(((finite > limits.underflow) & (finite < limits.normal)).sum()),  # that tie goes up to a normal number
        int(inf.sum()),
        int(nan.sum()),
        float(finite.max(initial=0.0)),
    )


def plain_half(source: Bits32) -> Bits16:
    """Cast as numpy does, but for NaN, which become as TensorFlow leaves them."""
    with np.errstate(all="ignore"):
        values = source.view(np.float32)
        numbers = values.astype(np.float16).view(np.uint16)
    quiet = source >> 16 & 0x8000 | 0x7E00 | source >> 13 & 0x3FF
    return np.where(np.isnan(values), quiet, numbers).astype(np.uint16)


def plain_bfloat16(source: Bits32) -> Bits16:
    """Look at upper and lower half."""
    upper, lower = source >> 16, source & 0xFFFF
    rounded = upper + ((lower > 0x8000) | (lower == 0x8000) & (upper % 2 == 1))
    quiet = upper & 0x8000 | 0x7FC0
    return np.where(np.isnan(source.view(np.float32)), quiet, rounded).astype(np.uint16)


def tensorflow_cast(source: Bits, dtype_from: str, dtype_to: str) -> Bits:
    tf = tensorflow()
    values = tf.constant(source.view(getattr(tf, dtype_from).as_numpy_dtype))
    result = tf.cast(values, dtype_to).numpy()
    bits: Bits = result.view(f"u{result.itemsize}")
    return bits


class Float(NamedTuple):
    """A float dtype's bit patterns."""

    bits: type[np.unsignedinteger[Any]]
    infinity: int
    smallest_normal: float


FLOATS = {
    "float16": Float(np.uint16, 0x7C00, 2.0**-14),
    "bfloat16": Float(np.uint16, 0x7F80, 2.0**-126),
    "float32": Float(np.uint32, 0x7F800000, 2.0**-126),
    "float64": Float(np.uint64, 0x7FF0000000000000, 2.0**-1022),
}


def plain_values(source: Bits, dtype: str) -> NDArray[np.float64]:
    """Return the numbers that bit patterns stand for; float64 holds them all exactly."""
    if dtype == "bfloat16":
        source, dtype = source.astype(np.uint32) << 16, "float32"
    with np.errstate(invalid="ignore"):
        values: NDArray[np.float64] = source.view(dtype).astype(np.float64)
    return values


def plain_single(values: NDArray[np.float64]) -> Bits32:
    """Return the patterns of what is subnormal as a float32: multiples of 2^-149."""
    steps: Bits32 = np.rint(np.abs(values) * 2.0**149).astype(np.uint32)
    steps[np.signbit(values)] |= np.uint32(1 << 31)
    return steps


def plain_cast(source: Bits, dtype_from: str, dtype_to: str) -> Bits:
    """Cast as TensorFlow does, but for subnormal float32, which it takes for zero: these become what they should."""
    found = tensorflow_cast(source, dtype_from, dtype_to)
    values = plain_values(source, dtype_from)
    tiny = (np.abs(values) < 2.0**-126) & (values != 0)
    if "float64" not in (dtype_from, dtype_to) or not tiny.any():
        return found
    middle = plain_single(values[tiny])
    whole = middle.view(np.float32).astype(np.float64).view(np.uint64)
    exact = {"float32": middle, "bfloat16": plain_bfloat16(middle), "float64": whole, "float16": found[tiny]}[dtype_to]
    sign = 1 << 8 * found.itemsize - 1
    assert ((found[tiny] == exact) | (found[tiny] == exact & np.array(sign, exact.dtype))).all()
    found[tiny] = exact
    return found


def plain_cast_stats(source: Bits, dtype_from: str, dtype_to: str) -> CastStats:
    """Compare what was there before with what is there after."""
    before = np.abs(plain_values(source, dtype_from))
    after = np.abs(plain_values(plain_cast(source, dtype_from, dtype_to), dtype_to))
    finite = np.isfinite(before)
    widened = dtype_to == "float64" or (dtype_to == "float32" and dtype_from != "float64")
    subnormal = (after > 0) & (after < FLOATS[dtype_to].smallest_normal)
    return CastStats(
        len(source),
        int((finite & np.isinf(after)).sum()),
        int(((before > 0) & (after == 0)).sum()),
        0 if widened else int(subnormal.sum()),
        int(np.isinf(before).sum()),
        int(np.isnan(before).sum()),
        float(before[finite].max(initial=0.0)),
    )


def random_bits(seed: int, size: int) -> Bits32:
    return np.random.default_rng(seed).integers(0, 2**32, size, np.uint32)


def random_weights(seed: int, size: int, scale: float = 1.0) -> Bits32:
    return (np.random.default_rng(seed).standard_normal(size) * scale).astype(np.float32).view(np.uint32)


RANGES = {
    "zero": (0, 1),
    "tiny": (1, 0x33000001),
    "small": (0x33000001, 0x387FE000),
    "small in bfloat16": (1, 0x7F8000),
    "turning normal": (0x387FDF00, 0x38800100),
    "large": (0x477FE000, 0x7F800000),
    "very large": (0x7F7F0000, 0x7F800000),
    "inf": (0x7F800000, 0x7F800001),
    "nan": (0x7F800001, 0x80000000),
}
"""Magnitudes of a kind, by their patterns; the second is beyond them."""

DENSITIES = {"one": 1e-9, "few": 0.001, "many": 0.05, "half": 0.5, "all": 1.0}


def mixture(seed: int, size: int, shares: dict[str, str]) -> Bits32:
    """Return weights, among them some of each of several kinds at random places; later kinds replace earlier ones."""
    rng = np.random.default_rng(seed)
    source = random_weights(seed, size)
    source = np.where(source & 0x7FFFFFFF < 0x38800000, np.uint32(0x3F800001), source)
    for kind, density in shares.items():
        count = max(1, int(size * DENSITIES[density]))
        places = slice(None) if count == size else rng.choice(size, count, replace=False)
        source[places] = rng.integers(*RANGES[kind], count, np.uint32) | rng.integers(0, 2, count, np.uint32) << 31
    return source


def assert_bits_equal(found: Bits, expected: Bits, source: Bits) -> None:
    wrong = np.flatnonzero(found != expected)
    assert not len(wrong), [(hex(source[at]), hex(found[at]), hex(expected[at]), int(at)) for at in wrong[:5]]


def add_stats(*parts: CastStats) -> CastStats:
    """Return the statistics of parts taken together, field by field."""
    counts = ("elements", "overflow", "underflow", "subnormal", "inf", "nan")
    sums: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in counts}
    return CastStats(**sums, largest=max(part.largest for part in parts))
