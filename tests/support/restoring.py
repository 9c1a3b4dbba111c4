"""Arrays that TensorFlow saves and restores, names of any bytes included."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbundle.format.naming import name_to_key


def save_with_tensorflow(tf: Any, prefix: str, tensors: dict[str, Any]) -> None:
    """Write a bundle."""
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=[name_to_key(name) for name in tensors],
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.constant(value, dtype_of(tf, value)) for value in tensors.values()],
    )


def restore_with_tensorflow(tf: Any, prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Read tensors of the same names and dtypes, whole."""
    restored = tf.raw_ops.RestoreV2(
        prefix=prefix,
        tensor_names=[name_to_key(name) for name in tensors],
        shape_and_slices=[""] * len(tensors),
        dtypes=[dtype_of(tf, value) for value in tensors.values()],
    )
    return {name: as_array(tensor) for name, tensor in zip(tensors, restored, strict=True)}


def dtype_of(tf: Any, value: Any) -> Any:
    """Return TensorFlow's dtype for an array's."""
    return tf.string if value.dtype == object else tf.dtypes.as_dtype(value.dtype)


def as_array(tensor: Any) -> Any:
    """Return a tensor as an array; strings as an object array of bytes."""
    value = tensor.numpy()
    return np.array(value, object) if tensor.dtype == "string" else np.asarray(value)
