"""Element types: number, name, stored width, and the numpy dtype that holds them.

Elements are stored in C order at their full width; types narrower than a byte take a byte each, in its low bits.
Types that numpy lacks become ``ml_dtypes`` types where that package is installed, else raw integers whose
dtype carries the type's name as metadata, so that writing such an array back keeps its type.

Source: TensorFlow ``core/framework/types.proto``, ``core/util/tensor_bundle/tensor_bundle.cc``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tfbundle.errors import FormatError, UnsupportedError

_METADATA_KEY = "tfbundle"


class DataType(NamedTuple):
    """One row of the table of element types.

    Attributes:
        number: value of the ``DataType`` enum.
        name: as ``tf.DType.name`` has it, such as ``"float32"``.
        nbytes: stored bytes an element, 0 where that varies.
        storage: numpy type code of the stored element, empty where there is none.
        native: whether numpy itself has the type.
        swap: bytes that are reversed together in a big-endian bundle.
        bits: how many, lowest first, of a stored byte are used; the others are zero.
    """

    number: int
    name: str
    nbytes: int
    storage: str
    native: bool = True
    swap: int = 1
    bits: int = 8

    @property
    def is_memcpy(self) -> bool:
        """Whether the payload is the elements' bytes and nothing else."""
        return self.nbytes > 0


def _numeric(number: int, name: str, storage: str, *, native: bool = True, bits: int = 8) -> DataType:
    nbytes = np.dtype(storage).itemsize
    return DataType(number, name, nbytes, storage, native, nbytes // 2 if storage[0] == "c" else nbytes, bits)


FLOAT32 = _numeric(1, "float32", "f4")
STRING = DataType(7, "string", 0, "")
BOOL = _numeric(10, "bool", "?")
BFLOAT16 = _numeric(14, "bfloat16", "u2", native=False)
FLOAT16 = _numeric(19, "float16", "f2")
RESOURCE = DataType(20, "resource", 0, "")
VARIANT = DataType(21, "variant", 0, "")

DATA_TYPES: dict[int, DataType] = {
    dtype.number: dtype
    for dtype in (
        FLOAT32,
        _numeric(2, "float64", "f8"),
        _numeric(3, "int32", "i4"),
        _numeric(4, "uint8", "u1"),
        _numeric(5, "int16", "i2"),
        _numeric(6, "int8", "i1"),
        STRING,
        _numeric(8, "complex64", "c8"),
        _numeric(9, "int64", "i8"),
        BOOL,
        _numeric(11, "qint8", "i1", native=False),
        _numeric(12, "quint8", "u1", native=False),
        _numeric(13, "qint32", "i4", native=False),
        BFLOAT16,
        _numeric(15, "qint16", "i2", native=False),
        _numeric(16, "quint16", "u2", native=False),
        _numeric(17, "uint16", "u2"),
        _numeric(18, "complex128", "c16"),
        FLOAT16,
        RESOURCE,
        VARIANT,
        _numeric(22, "uint32", "u4"),
        _numeric(23, "uint64", "u8"),
        _numeric(24, "float8_e5m2", "u1", native=False),
        _numeric(25, "float8_e4m3fn", "u1", native=False),
        _numeric(26, "float8_e4m3fnuz", "u1", native=False),
        _numeric(27, "float8_e4m3b11fnuz", "u1", native=False),
        _numeric(28, "float8_e5m2fnuz", "u1", native=False),
        _numeric(29, "int4", "u1", native=False, bits=4),
        _numeric(30, "uint4", "u1", native=False, bits=4),
        _numeric(31, "int2", "u1", native=False, bits=2),
        _numeric(32, "uint2", "u1", native=False, bits=2),
        _numeric(33, "float4_e2m1fn", "u1", native=False, bits=4),
    )
}
_KNOWN = [DATA_TYPES.get(number, DataType(number, "", 0, "")) for number in range(256)]
ELEMENT_NBYTES = np.array([dtype.nbytes for dtype in _KNOWN], np.int64)
"""``DataType.nbytes`` by number, for columns of them; 0 where there is no such type."""
SWAP_NBYTES = np.array([dtype.swap for dtype in _KNOWN], np.int64)
"""``DataType.swap`` by number."""

_BY_NAME = {dtype.name: dtype for dtype in DATA_TYPES.values()}


def data_type(number: int) -> DataType:
    """Return the element type with that enum value.

    Raises:
        FormatError: there is none, or it is a reference type, which no bundle holds.

    Example:
        >>> data_type(19).name
        'float16'
    """
    try:
        return DATA_TYPES[number]
    except KeyError:
        kind = "reference dtype" if number - 100 in DATA_TYPES else "unknown dtype"
        raise FormatError(f"{kind} {number}, expected 1 to {max(DATA_TYPES)}") from None


def dtype_name(number: int) -> str:
    """Return the type's name, or a placeholder for a number that names none."""
    return DATA_TYPES[number].name if number in DATA_TYPES else f"dtype {number}"


def named_data_type(name: str) -> DataType:
    """Return the element type of that name.

    Raises:
        UnsupportedError: there is none.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnsupportedError(f"no dtype is called {name!r}; known are {', '.join(_BY_NAME)}") from None


MAX_ARRAY_RANK = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
"""How many dimensions an array can have; a stored tensor can have 254."""


@cache
def numpy_dtype(number: int) -> np.dtype[Any]:
    """Return the numpy dtype in which elements of that type are handed out.

    Raises:
        UnsupportedError: elements of that type are no numbers (string, variant, resource).
        FormatError: no such type.
    """
    dtype = data_type(number)
    if not dtype.is_memcpy:
        raise UnsupportedError(f"dtype {dtype.name} has no numpy dtype")
    if dtype.native:
        return np.dtype(dtype.storage)
    try:
        import ml_dtypes
    except ImportError:
        return raw_numpy_dtype(dtype)
    scalar = getattr(ml_dtypes, dtype.name, None)
    return raw_numpy_dtype(dtype) if scalar is None else np.dtype(scalar)


def raw_numpy_dtype(dtype: DataType) -> np.dtype[Any]:
    """Return the integer dtype of the stored elements, with the type's name as metadata."""
    return np.dtype(dtype.storage, metadata={_METADATA_KEY: dtype.name})


def data_type_of(dtype: np.dtype[Any]) -> DataType:
    """Return the element type that stores arrays of that numpy dtype.

    Raises:
        UnsupportedError: TensorFlow has none.

    Example:
        >>> data_type_of(np.dtype("float16")).number
        19
    """
    if dtype.metadata and _METADATA_KEY in dtype.metadata:
        return _BY_NAME[dtype.metadata[_METADATA_KEY]]
    if dtype.kind in "OSU":
        return STRING
    found = _BY_NAME.get(dtype.name)
    if found is None:
        raise UnsupportedError(f"numpy dtype {dtype} has no counterpart in TensorFlow")
    return found
