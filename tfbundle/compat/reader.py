"""``CheckpointReader``: names, shapes, dtypes and values of a checkpoint, as TensorFlow's class hands them out.

Source: TensorFlow ``c/checkpoint_reader.cc``, ``python/util/py_checkpoint_reader_wrapper.cc``,
``python/training/py_checkpoint_reader.py`` (``error_translator``), ``core/util/tensor_slice_reader.cc``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from tfbundle.compat.dtypes import DType, as_dtype, ml_type
from tfbundle.compat.heads import Head, order_heads, read_head
from tfbundle.compat.op_errors import InternalError, NotFoundError
from tfbundle.compat.opening import open_checkpoint, unknown_error
from tfbundle.compat.text import as_bytes
from tfbundle.errors import (
    BundleError,
    FormatError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
    escape,
)
from tfbundle.format.dtypes import STRING, DataType, data_type
from tfbundle.format.naming import key_to_name


class CheckpointReader:
    """Reads a checkpoint. Made by ``NewCheckpointReader``; thread-safe.

    Dictionaries are in TensorFlow's order, which is that of a hash table.
    """

    def __init__(self, filename: Any) -> None:
        self._bundle, self._heads = open_checkpoint(as_bytes(filename))

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """Return the shape of every tensor, by name.

        Raises:
            UnicodeDecodeError: a name is no UTF-8.
        """
        return {key.decode("utf-8"): list(shape) for key, _, shape in self._heads_in_order}

    def get_variable_to_dtype_map(self) -> dict[str, DType]:
        """Return the dtype of every tensor, by name.

        Raises:
            UnicodeDecodeError: a name is no UTF-8.
        """
        return {key.decode("utf-8"): as_dtype(dtype) for key, dtype, _ in self._heads_in_order}

    def has_tensor(self, tensor_str: str | bytes) -> bool:
        """Tell whether there is a tensor of that name."""
        return key_to_name(as_bytes(tensor_str)) in self._bundle

    def get_tensor(self, tensor_str: str | bytes) -> Any:
        """Read a tensor.

        Returns:
            An array; of a tensor without dimensions numpy's scalar, or bytes where it is a string.

        Raises:
            NotFoundError: no such tensor.
            InternalError: it is nothing that an array can hold.
            IndexError: a data file is too short.
            ValueError: slices of it are missing.
            OpError: other damage, or a data file is missing.
            StandInError: numpy lacks the dtype, and ``ml_dtypes`` is not installed.
        """
        name = key_to_name(as_bytes(tensor_str))
        with self._translated(name):
            entry = self._bundle.entry(name)
            dtype = data_type(entry.dtype)
            if entry.slices:
                self._check_slices(name)
            value = np.asarray(self._bundle.read(name))
        return _as_tensorflow(value, dtype)[()]

    def debug_string(self) -> bytes:
        """Return a line for each row of the checkpoint: name, dtype and shape."""
        lines = self._iter_v1_lines() if self._bundle.is_v1 else self._iter_lines()
        return b"".join(lines)

    @cached_property
    def _heads_in_order(self) -> list[Head]:
        """The heads in the order of TensorFlow's table, which for a V1 checkpoint is filled from another such table."""
        heads = order_heads(self._heads)
        return order_heads(heads) if self._bundle.is_v1 else heads

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Raise what TensorFlow raises; the package's own error is its cause."""
        try:
            yield
        except TensorNotFoundError as error:
            shown = escape(name)
            text = (
                f"{shown} not found in checkpoint file"
                if self._bundle.is_v1
                else f"Key {shown} not found in checkpoint"
            )
            raise NotFoundError(None, None, text) from error
        except TruncatedError as error:
            raise IndexError(str(error)) from error
        except UnsupportedError as error:
            raise InternalError(None, None, str(error)) from error
        except (BundleError, OSError) as error:
            raise unknown_error(str(error)) from error

    def _check_slices(self, name: str) -> None:
        try:
            self._bundle.check_slices(name)
        except FormatError as error:
            raise ValueError(str(error)) from error

    def _iter_lines(self) -> Iterator[bytes]:
        """Yield lines of all rows but of those that have slices, whose slices have rows of their own."""
        for key in self._bundle.index.keys_in_order:
            head, num_slices = read_head(self._bundle.index, key)
            if not num_slices:
                yield _line(head)

    def _iter_v1_lines(self) -> Iterator[bytes]:
        for head in order_heads(self._heads):
            num_slices = len(self._bundle.index[head.key].slices)
            yield _line(head, f", {num_slices} slices" if num_slices > 1 else "")


def NewCheckpointReader(filepattern: Any) -> CheckpointReader:  # noqa: N802 the name scripts know
    """Open a checkpoint: the prefix of one with an index, or the file of a V1 checkpoint, or a pattern of its shards.

    Raises:
        NotFoundError: there is none.
        DataLossError: there is a file that is no checkpoint.
        OpError: it is damaged.

    Example:
        >>> NewCheckpointReader("no/such/checkpoint")
        Traceback (most recent call last):
        tfbundle.compat.op_errors.NotFoundError: Unsuccessful TensorSliceReader constructor: Failed to find any \
matching files for no/such/checkpoint
    """
    return CheckpointReader(filepattern)


_NAMES = {1: "FLOAT", 2: "DOUBLE", 19: "HALF"}


def _line(head: Head, end: str = "") -> bytes:
    name = _NAMES.get(head.dtype) or data_type(head.dtype).name.upper()
    return head.key + f" (DT_{name}) [{','.join(map(str, head.shape))}]{end}\n".encode()


def _as_tensorflow(value: np.ndarray[Any, Any], dtype: DataType) -> np.ndarray[Any, Any]:
    """Return an array with the dtype that TensorFlow gives it: plain integers where numbers are quantised."""
    if dtype == STRING or dtype.native:
        return value
    wanted = np.dtype(dtype.storage) if dtype.name.startswith("q") else np.dtype(ml_type(dtype))
    return value.view(wanted)
