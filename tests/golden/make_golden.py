"""Write the files that ``test_golden.py`` reads, with TensorFlow.

Run ``python -m tests.golden.make_golden`` by hand; the files are committed. What they hold is said here in plain
numbers and bytes, which the tests import: what TensorFlow was given is what must come out.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILES = Path(__file__).resolve().parent / "files"

NATIVE: dict[str, list[Any]] = {
    "float32": [0.0, -0.0, 1.5, -2.25, 65504.0, 3.0e38],
    "float64": [0.0, -0.0, 1.5, -2.25, 1e300, 5e-324],
    "float16": [0.0, -0.0, 1.5, -2.25, 65504.0, 6e-8],
    "int8": [0, 1, -1, 127, -128, 42],
    "int16": [0, 1, -1, 32767, -32768, 42],
    "int32": [0, 1, -1, 2**31 - 1, -(2**31), 42],
    "int64": [0, 1, -1, 2**63 - 1, -(2**63), 42],
    "uint8": [0, 1, 255, 128, 127, 42],
    "uint16": [0, 1, 65535, 32768, 32767, 42],
    "uint32": [0, 1, 2**32 - 1, 2**31, 2**31 - 1, 42],
    "uint64": [0, 1, 2**64 - 1, 2**63, 2**63 - 1, 42],
    "bool": [False, True, True, False, True, False],
    "complex64": [0, 1 + 2j, -1j, 1.5, -2.25 + 1j, 3e38j],
    "complex128": [0, 1 + 2j, -1j, 1.5, -2.25 + 1j, 1e300j],
}
"""Elements, row by row, of a tensor of shape [2, 3] of each dtype that numpy has; each is a name as well."""

FOREIGN: dict[str, tuple[list[float], str]] = {
    "bfloat16": ([1, 2, 3], "803f 0040 4040"),
    "float8_e5m2": ([1, 2, 3], "3c 40 42"),
    "float8_e4m3fn": ([1, 2, 3], "38 40 44"),
    "float8_e4m3fnuz": ([1, 2, 3], "40 48 4c"),
    "float8_e4m3b11fnuz": ([1, 2, 3], "58 60 64"),
    "float8_e5m2fnuz": ([1, 2, 3], "40 44 46"),
    "float4_e2m1fn": ([1, 2, 3], "02 04 05"),
    "int4": ([-1, -8, 7], "0f 08 07"),
    "uint4": ([15, 8, 0], "0f 08 00"),
    "int2": ([-1, -2, 1], "03 02 01"),
    "uint2": ([3, 2, 0], "03 02 00"),
}
"""Values and stored bytes of a tensor of shape [3] of each dtype that numpy lacks."""

QUANTIZED = {"qint8": "i1", "quint8": "u1", "qint16": "i2", "quint16": "u2", "qint32": "i4"}
"""Numpy codes of tensors of shape [3] that hold 1, 2 and 100."""

STRINGS: dict[str, NDArray[np.object_]] = {
    "scalar": np.array(b"hello", object),
    "empty": np.array(b"", object),
    "vector": np.array([b"a", b"", b"bcd", b"x" * 200], object),
    "matrix": np.array([[b"\0", b"\xff\xfe"], ["é".encode(), b"end\0"]], object),
    "none": np.empty((0, 2), object),
    "long": np.array([b"y" * 20_000], object),
}

SHAPES: list[tuple[int, ...]] = [(), (1,), (0,), (3, 0, 2), (1, 1, 1, 1), (2, 3, 4), (1,) * 8]
"""Of int32 tensors called ``shape/<number>`` that count from 1."""

NUM_ROWS = 600
"""Of int32 scalars called ``row/<number, five digits>`` that hold that number."""

NAMES = [b"\xff\xfe", b"a b", "é".encode(), b"\x01", b"a/b.c:0", b"a", b"a/", b"z" * 300]
"""Of uint8 scalars, in the order of saving; each holds its place in this list."""


def counted(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return the int32 array of that shape which counts from 1."""
    return np.arange(1, int(np.prod(shape)) + 1, dtype=np.int32).reshape(shape)


def float_patterns() -> NDArray[np.uint32]:
    """Return float32 patterns around everything that matters to a cast, and random ones."""
    edges = [0, 1, 0x33000000, 0x33800000, 0x387FC000, 0x387FE000, 0x38800000, 0x3F800000, 0x477FE000, 0x477FF000]
    edges += [0x477FFFFF, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF]
    around = [max(0, edge + step) & 0x7FFFFFFF for edge in edges for step in (-1, 0, 1)]
    signed = [bits | sign << 31 for bits in around for sign in (0, 1)]
    random = np.random.default_rng(2026).integers(0, 2**32, 1500, np.uint32)
    halves = np.random.default_rng(7).integers(0x33000000, 0x47900000, 1500, np.uint32)
    return np.concatenate([np.array(signed, np.uint32), random, halves])


def main() -> None:
    """Write all files anew."""
    from tests.support.requirements import tensorflow

    tf = tensorflow()
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()

    def save(name: str, tensors: dict[Any, Any], slices: list[str] | None = None) -> None:
        tf.raw_ops.SaveV2(
            prefix=str(FILES / name),
            tensor_names=list(tensors),
            shape_and_slices=slices or [""] * len(tensors),
            tensors=list(tensors.values()),
        )

    save("native", {name: tf.constant(np.array(values, name).reshape(2, 3)) for name, values in NATIVE.items()})
    save(
        "foreign",
        {
            name: tf.constant(np.array(values).astype(tf.dtypes.as_dtype(name).as_numpy_dtype))
            for name, (values, _) in FOREIGN.items()
        },
    )
    save(
        "quantized",
        {
            name: tf.bitcast(tf.constant(np.array([1, 2, 100], code)), tf.dtypes.as_dtype(name))
            for name, code in QUANTIZED.items()
        },
    )
    save("strings", {name: tf.constant(array, tf.string) for name, array in STRINGS.items()})
    save("shapes", {f"shape/{number}": tf.constant(counted(shape)) for number, shape in enumerate(SHAPES)})
    save("rows", {f"row/{number:05d}": tf.constant(np.int32(number)) for number in range(NUM_ROWS)})
    save("names", {name: tf.constant(np.uint8(number)) for number, name in enumerate(NAMES)})
    patterns = float_patterns()
    floats = tf.constant(patterns.view(np.float32))
    save("casts", {"before": floats, "after": tf.cast(floats, tf.float16)})
    vector = tf.raw_ops.TensorListFromTensor(
        tensor=tf.constant([1.0, 2.0, 3.0]), element_shape=tf.constant([], tf.int32)
    )
    save("variant", {"list": vector})
    _save_slices(tf)
    _save_shards(tf, save)
    _save_objects(tf)


def _save_slices(tf: Any) -> None:
    whole = np.arange(12, dtype=np.float32).reshape(4, 3)
    tf.raw_ops.SaveV2(
        prefix=str(FILES / "slices"),
        tensor_names=["w", "w"],
        shape_and_slices=["4 3 0,2:-", "4 3 2,2:-"],
        tensors=[whole[:2], whole[2:]],
    )


def _save_shards(tf: Any, save: Any) -> None:
    save("part_a", {"one": tf.constant([1.0, 2.0]), "three": tf.constant(3)})
    save("part_b", {"two": tf.constant(["second", "shard"])})
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(FILES / "part_a"), str(FILES / "part_b")], destination_prefix=str(FILES / "shards")
    )


def _save_objects(tf: Any) -> None:
    """Save two checkpoints of one object; run where the files go, so that no path of this machine gets into them."""
    home = Path.cwd()
    os.chdir(FILES)
    try:
        checkpoint = tf.train.Checkpoint(w=tf.Variable([1.0, 2.0], name="w"))
        manager = tf.train.CheckpointManager(checkpoint, "objects", max_to_keep=2)
        manager.save()
        checkpoint.w.assign([3.0, 4.0])
        manager.save()
    finally:
        os.chdir(home)


if __name__ == "__main__":
    main()
