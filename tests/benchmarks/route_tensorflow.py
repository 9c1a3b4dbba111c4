"""Contenders: the ways to halve a checkpoint with TensorFlow alone.

Runs as ``python -m tests.benchmarks.route_tensorflow ROUTE SOURCE TARGET``. SaveV2 takes all tensors of a file at once,
so every route holds the whole result in memory; none holds all of the source.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

BATCH_NBYTES = 1 << 28


def restore(tf: Any, source: str) -> Iterator[tuple[str, Any]]:
    """Read batches of tensors with the operation that restores variables, and cast with ``tf.cast``."""
    reader = tf.train.load_checkpoint(source)
    dtypes = reader.get_variable_to_dtype_map()
    for names in _iter_batches(dtypes, reader.get_variable_to_shape_map()):
        values = tf.raw_ops.RestoreV2(
            prefix=source,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            dtypes=[dtypes[name] for name in names],
        )
        yield from zip(names, (_cast(tf, value) for value in values), strict=True)


def load(tf: Any, source: str) -> Iterator[tuple[str, Any]]:
    """Read tensors with ``tf.train.load_checkpoint``, and cast with ``tf.cast``."""
    reader = tf.train.load_checkpoint(source)
    for name in sorted(reader.get_variable_to_shape_map()):
        yield name, _cast(tf, tf.constant(reader.get_tensor(name)))


def numpy(tf: Any, source: str) -> Iterator[tuple[str, Any]]:
    """Read tensors with ``tf.train.load_checkpoint``, and cast with ``astype``."""
    import numpy as np

    reader = tf.train.load_checkpoint(source)
    for name in sorted(reader.get_variable_to_shape_map()):
        value = reader.get_tensor(name)
        with np.errstate(all="ignore"):
            yield name, value.astype(np.float16) if value.dtype == np.float32 else value


def save(tf: Any, target: str, tensors: Iterator[tuple[str, Any]]) -> None:
    """Write a checkpoint."""
    names, values = zip(*tensors, strict=True)
    tf.raw_ops.SaveV2(prefix=target, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)


def _cast(tf: Any, value: Any) -> Any:
    return tf.cast(value, tf.float16) if value.dtype == tf.float32 else value


def _iter_batches(dtypes: dict[str, Any], shapes: dict[str, list[int]]) -> Iterator[list[str]]:
    batch: list[str] = []
    nbytes = 0
    for name in sorted(shapes):
        batch.append(name)
        size = dtypes[name].size
        for dim in shapes[name]:
            size *= dim
        nbytes += size
        if nbytes >= BATCH_NBYTES:
            yield batch
            batch, nbytes = [], 0
    if batch:
        yield batch


ROUTES: dict[str, Callable[[Any, str], Iterator[tuple[str, Any]]]] = {"restore": restore, "load": load, "numpy": numpy}


if __name__ == "__main__":
    import tensorflow

    save(tensorflow, sys.argv[3], ROUTES[sys.argv[1]](tensorflow, sys.argv[2]))
