"""``cast`` against ``tf.cast``: every pair of dtypes, and what real graphs restore."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tfbundle
from tests.support.handmade import HandmadeBundle, HandmadeTensor
from tests.support.requirements import tensorflow
from tests.support.wire import varint_field
from tfbundle import CastPolicy, Layout, RunOptions, Selection, cast

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
BITS = {"float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32, "float64": np.uint64}


@pytest.fixture(scope="module")
def tf() -> Any:
    return tensorflow()


def interesting(tf: Any, dtype: str) -> Any:
    """Values at and between the limits of all floats, and random bits; NaN apart, which ``tf.cast`` is not sure of."""
    limits = [0.0, 1.0, 2.0**-24, 2.0**-25, 2.0**-14, 65504, 65519.99, 65520, 65536, 3.38e38, 3.4e38, 1e-40, 1e-45]
    ties = [1 + 2.0**-11, 1 + 2.0**-8, 1 + 2.0**-24, 2.0**-133 * 1.5]
    exact = np.array([*limits, *ties, np.inf, 1e300, 1e-310], np.float64)
    with np.errstate(all="ignore"):
        values = np.concatenate([exact, np.nextafter(exact, 0), np.nextafter(exact, np.inf)])
    values = np.concatenate([values, -values])
    bits = np.random.default_rng(5).integers(0, 1 << 16, (3000, 4), np.uint16).view(BITS[dtype]).reshape(-1)
    random = tf.bitcast(bits, dtype) if dtype == "bfloat16" else tf.constant(bits.view(dtype))
    both = tf.concat([tf.cast(tf.constant(values), dtype), random], 0)
    return tf.where(tf.math.is_nan(both), tf.ones_like(both), both)


def bits_of(tf: Any, tensor: Any) -> NDArray[Any]:
    name = tensor.dtype.name
    found: NDArray[Any] = tf.bitcast(tensor, tf.as_dtype(BITS[name])).numpy() if name in BITS else tensor.numpy()
    return found


def save(tf: Any, prefix: Path, **tensors: Any) -> str:
    """Save tensors with TensorFlow's own operation."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    return str(prefix)


def restore(tf: Any, prefix: Path, name: str, dtype: str) -> Any:
    """Restore one tensor with TensorFlow's own operation, which refuses another dtype."""
    (found,) = tf.raw_ops.RestoreV2(prefix=str(prefix), tensor_names=[name], shape_and_slices=[""], dtypes=[dtype])
    return found


def cast_as_tensorflow(tf: Any, values: Any, target: str) -> NDArray[Any]:
    """Return what ``tf.cast`` makes of values; numpy does those that TensorFlow may flush to zero before."""
    found: NDArray[Any] = tf.cast(values, target).numpy()
    before = values.numpy()
    with np.errstate(all="ignore"):
        tiny = np.abs(before.astype(np.float64)) < 2.0**-126
        found[tiny] = before[tiny].astype(np.float32 if target != "float64" else np.float64).astype(found.dtype)
    return found


@pytest.mark.parametrize(("source", "target"), list(permutations(FLOATS, 2)))
def test_floats(tf: Any, tmp_path: Path, source: str, target: str) -> None:
    values = interesting(tf, source)
    prefix = save(tf, tmp_path / "source", w=values, step=tf.constant(7, tf.int64))
    report = cast(prefix, tmp_path / "target", policy=CastPolicy(target, (source,), on_overflow="inf"))
    expected = cast_as_tensorflow(tf, values, target)
    found = restore(tf, tmp_path / "target", "w", target).numpy()
    assert found.tobytes() == expected.tobytes()
    assert restore(tf, tmp_path / "target", "step", "int64") == 7

    before, after = values.numpy().astype(np.float64), expected.astype(np.float64)
    counted = report.tensors[1].stats
    assert counted is not None
    assert counted.elements == before.size
    assert counted.overflow == np.count_nonzero(np.isfinite(before) & np.isinf(after))
    assert counted.underflow == np.count_nonzero((before != 0) & (after == 0))
    smallest = {"float16": 2.0**-14, "float64": 2.0**-1022}.get(target, 2.0**-126)
    is_inexact = (source, target) != ("bfloat16", "float32")  # whose subnormal numbers are the same
    assert counted.subnormal == is_inexact * np.count_nonzero((after != 0) & (np.abs(after) < smallest))
    assert counted.inf == np.count_nonzero(np.isinf(before))
    assert counted.largest == np.abs(before[np.isfinite(before)]).max()


@pytest.mark.parametrize(("source", "target"), list(permutations(INTEGERS, 2)))
def test_integers(tf: Any, tmp_path: Path, source: str, target: str) -> None:
    low = max(np.iinfo(source).min, np.iinfo(target).min)
    high = min(np.iinfo(source).max, np.iinfo(target).max)
    values = tf.constant(np.array([low, high, 0, 1, high // 3, low // 3], source))
    prefix = save(tf, tmp_path / "source", n=values, other=tf.constant([1.5]))
    cast(prefix, tmp_path / "target", policy=CastPolicy(target, (source,)))
    found = restore(tf, tmp_path / "target", "n", target)
    assert np.array_equal(found.numpy(), tf.cast(values, target).numpy())
    assert found.numpy().tolist() == [low, high, 0, 1, high // 3, low // 3]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_partitioned(tf: Any, tmp_path: Path, dtype: str) -> None:
    """Slices are joined where TensorFlow cannot put them together, and kept where it can."""
    values = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
    with tfbundle.create(tmp_path / "m") as writer:
        for start in (0, 3):
            writer.add_slice("w", values[start : start + 3], shape=(6, 4), extents=((start, 3), (0, -1)))
    report = cast(tmp_path / "m", tmp_path / "target", policy=CastPolicy(dtype))
    assert report.tensors[0].joined == (dtype == "float16")
    expected = tf.cast(values, dtype)
    found = restore(tf, tmp_path / "target", "w", dtype)
    assert np.array_equal(bits_of(tf, found), bits_of(tf, expected))


@pytest.mark.parametrize(("source", "code"), [("float64", ">f8"), ("float16", ">f2"), ("int32", ">i4")])
def test_big_endian(tf: Any, tmp_path: Path, source: str, code: str) -> None:
    values = np.array([1, -2, 3], code)
    number = tf.as_dtype(source).as_datatype_enum
    tensor = HandmadeTensor(b"w", number, (3,), values.tobytes())
    prefix = HandmadeBundle([tensor], header_extra=varint_field(2, 1)).write(tmp_path / "big")
    target = "int64" if source == "int32" else "float32"
    cast(prefix, tmp_path / "little", policy=CastPolicy(target, (source,)))
    assert restore(tf, tmp_path / "little", "w", target).numpy().tolist() == [1, -2, 3]


def test_keras_model_and_back(tf: Any, tmp_path: Path) -> None:
    """A float32 model's weights go to bfloat16 and back into a float32 model: those of ``tf.cast`` there and back."""
    model = tf.keras.Sequential([tf.keras.layers.Input((5,)), tf.keras.layers.Dense(4), tf.keras.layers.Dense(2)])
    prefix = tf.train.Checkpoint(model=model).write(str(tmp_path / "model"))
    before = [tf.constant(weight) for weight in model.weights]
    cast(prefix, tmp_path / "brain", policy=CastPolicy("bfloat16"))
    cast(tmp_path / "brain", tmp_path / "back", policy=CastPolicy("float32"))
    for weight in model.weights:
        weight.assign(tf.zeros_like(weight))
    tf.train.Checkpoint(model=model).read(str(tmp_path / "back")).assert_existing_objects_matched()
    for weight, value in zip(model.weights, before, strict=True):
        assert np.array_equal(weight.numpy(), tf.cast(tf.cast(value, tf.bfloat16), tf.float32).numpy())


def test_global_step_of_another_dtype(tf: Any, tmp_path: Path) -> None:
    """A graph with an int64 step restores a checkpoint whose step was int32."""
    prefix = save(
        tf, tmp_path / "old", global_step=tf.constant(123_456, tf.int32), labels=tf.constant([1, 2], tf.int32)
    )
    cast(prefix, tmp_path / "new", policy=CastPolicy("int64"), selection=Selection(only=("global_step",)))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        step = tf.compat.v1.get_variable("global_step", (), tf.int64)
        labels = tf.compat.v1.get_variable("labels", (2,), tf.int32)
        tf.compat.v1.train.Saver().restore(session, str(tmp_path / "new"))
        assert session.run([step, labels])[0] == 123_456


def test_widening_takes_smaller_windows(tf: Any, tmp_path: Path) -> None:
    """Eightfold; several workers make the same of it."""
    values = np.random.default_rng(1).integers(0, 255, 3_000_001, np.uint8)
    prefix = save(tf, tmp_path / "m", n=tf.constant(values))
    for jobs in (1, 3):
        target = tmp_path / f"wide{jobs}"
        cast(prefix, target, policy=CastPolicy("int64", ("uint8",)), options=RunOptions(jobs=jobs), layout=Layout())
        assert np.array_equal(restore(tf, target, "n", "int64").numpy(), values)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_all_patterns_of_16_bits_there_and_back(tf: Any, tmp_path: Path, dtype: str) -> None:
    """To float32 and back: what was a number is the same, bit for bit; NaN stays NaN with its sign."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    prefix = save(tf, tmp_path / "m", w=tf.bitcast(patterns, dtype))
    cast(prefix, tmp_path / "wide", policy=CastPolicy("float32"))
    cast(tmp_path / "wide", tmp_path / "back", policy=CastPolicy(dtype))
    wide = restore(tf, tmp_path / "wide", "w", "float32").numpy()
    back = bits_of(tf, restore(tf, tmp_path / "back", "w", dtype))
    is_nan = np.isnan(tf.bitcast(patterns, dtype).numpy().astype(np.float32))
    assert np.array_equal(np.isnan(wide), is_nan)
    assert np.array_equal(back[~is_nan], patterns[~is_nan])
    assert np.isnan(tf.bitcast(back[is_nan], dtype).numpy().astype(np.float32)).all()
    assert np.array_equal(back[is_nan] >> 15, patterns[is_nan] >> 15)


def test_float32_to_bfloat16_and_back(tf: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(0, 1 << 32, 100_000, np.uint32).view(np.float32)
    values = values[np.isfinite(values) & (np.abs(values) >= 2.0**-126)]
    prefix = save(tf, tmp_path / "m", w=tf.constant(values))
    cast(prefix, tmp_path / "narrow", policy=CastPolicy("bfloat16", on_overflow="inf"))
    cast(tmp_path / "narrow", tmp_path / "back", policy=CastPolicy("float32"))
    expected = tf.cast(tf.cast(values, tf.bfloat16), tf.float32).numpy()
    assert restore(tf, tmp_path / "back", "w", "float32").numpy().tobytes() == expected.tobytes()
