from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.requirements import tensorflow, tensorflow_module
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import (
    DATA_TYPES,
    ELEMENT_NBYTES,
    SWAP_NBYTES,
    data_type,
    data_type_of,
    dtype_name,
    named_data_type,
    numpy_dtype,
    raw_numpy_dtype,
)

# bytes an element and bytes that are swapped together, as files hold them
WIDTHS = {
    "float32": (4, 4),
    "float64": (8, 8),
    "int32": (4, 4),
    "uint8": (1, 1),
    "int16": (2, 2),
    "int8": (1, 1),
    "string": (0, 1),
    "complex64": (8, 4),
    "int64": (8, 8),
    "bool": (1, 1),
    "qint8": (1, 1),
    "quint8": (1, 1),
    "qint32": (4, 4),
    "bfloat16": (2, 2),
    "qint16": (2, 2),
    "quint16": (2, 2),
    "uint16": (2, 2),
    "complex128": (16, 8),
    "float16": (2, 2),
    "resource": (0, 1),
    "variant": (0, 1),
    "uint32": (4, 4),
    "uint64": (8, 8),
    "float8_e5m2": (1, 1),
    "float8_e4m3fn": (1, 1),
    "float8_e4m3fnuz": (1, 1),
    "float8_e4m3b11fnuz": (1, 1),
    "float8_e5m2fnuz": (1, 1),
    "int4": (1, 1),
    "uint4": (1, 1),
    "int2": (1, 1),
    "uint2": (1, 1),
    "float4_e2m1fn": (1, 1),
}
NUMPY_TYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "complex64": np.complex64,
    "complex128": np.complex128,
}
FOREIGN = {
    "bfloat16": "u2",
    "qint8": "i1",
    "quint8": "u1",
    "qint16": "i2",
    "quint16": "u2",
    "qint32": "i4",
    **{name: "u1" for name in WIDTHS if name.startswith(("float8", "float4", "int4", "uint4", "int2", "uint2"))},
}


@pytest.fixture
def no_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    numpy_dtype.cache_clear()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    yield
    monkeypatch.undo()
    numpy_dtype.cache_clear()


def test_table_is_complete() -> None:
    assert sorted(DATA_TYPES) == list(range(1, 34))
    assert [DATA_TYPES[number].name for number in sorted(DATA_TYPES)] == list(WIDTHS)


@pytest.mark.parametrize("dtype", DATA_TYPES.values(), ids=lambda dtype: dtype.name)
def test_widths(dtype: Any) -> None:
    assert (dtype.nbytes, dtype.swap) == WIDTHS[dtype.name]
    assert dtype.is_memcpy == (dtype.name not in ("string", "resource", "variant"))


def test_names_and_widths_are_those_of_tensorflow() -> None:
    tf = tensorflow()
    for number, dtype in DATA_TYPES.items():
        theirs = tf.dtypes.as_dtype(number)
        assert dtype.name == theirs.name
        if dtype.is_memcpy:
            assert dtype.nbytes == theirs.size, dtype.name


def test_tensorflow_has_no_dtype_that_is_missing_here() -> None:
    enum = tensorflow_module("core.framework.types_pb2").DataType
    assert {number for number in enum.values() if 0 < number < 100} == set(DATA_TYPES)


@pytest.mark.parametrize(("name", "scalar"), NUMPY_TYPES.items())
def test_types_that_numpy_has(name: str, scalar: type[np.generic]) -> None:
    dtype = named_data_type(name)
    assert numpy_dtype(dtype.number) == np.dtype(scalar)
    assert data_type_of(np.dtype(scalar)) == dtype
    assert data_type_of(np.dtype(scalar).newbyteorder(">")) == dtype


@pytest.mark.parametrize("name", FOREIGN)
def test_types_that_numpy_lacks(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = named_data_type(name)
    found = numpy_dtype(dtype.number)
    if name.startswith("q"):
        assert found == np.dtype(FOREIGN[name])
    else:
        assert found == np.dtype(getattr(ml_dtypes, name))
    assert found.itemsize == dtype.nbytes
    assert data_type_of(found) == dtype


@pytest.mark.usefixtures("no_ml_dtypes")
@pytest.mark.parametrize(("name", "code"), FOREIGN.items())
def test_types_that_numpy_lacks_without_ml_dtypes(name: str, code: str) -> None:
    dtype = named_data_type(name)
    found = numpy_dtype(dtype.number)
    assert found == np.dtype(code)
    assert data_type_of(found) == dtype
    assert data_type_of(np.zeros(2, found).dtype) == dtype
    assert data_type_of(raw_numpy_dtype(dtype)) == dtype


@pytest.mark.usefixtures("no_ml_dtypes")
def test_native_types_do_not_need_ml_dtypes() -> None:
    assert numpy_dtype(1) == np.float32


def test_plain_integers_are_no_quantized_ones() -> None:
    assert [data_type_of(np.dtype(code)).name for code in ("i1", "u1", "i2", "u2", "i4")] == [
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
    ]


@pytest.mark.parametrize("code", ["O", "S5", "U5", "S0", "U0"])
def test_text_and_objects_are_strings(code: str) -> None:
    assert data_type_of(np.dtype(code)).name == "string"


@pytest.mark.parametrize("code", ["M8[s]", "m8[s]", "V4", "i4,f4", "g"])
def test_types_that_tensorflow_lacks(code: str) -> None:
    message = f"numpy dtype {np.dtype(code)} has no counterpart in TensorFlow"
    with pytest.raises(UnsupportedError, match=f"^{re.escape(message)}$"):
        data_type_of(np.dtype(code))


@pytest.mark.parametrize("number", [0, -1, 34, 999])
def test_unknown_numbers(number: int) -> None:
    with pytest.raises(FormatError, match=f"^unknown dtype {number}, expected 1 to 33$"):
        data_type(number)
    with pytest.raises(FormatError):
        numpy_dtype(number)
    assert dtype_name(number) == f"dtype {number}"


@pytest.mark.parametrize("number", [101, 119, 133])
def test_reference_types(number: int) -> None:
    with pytest.raises(FormatError, match=f"^reference dtype {number}, expected 1 to 33$"):
        data_type(number)


@pytest.mark.parametrize("number", [7, 20, 21])
def test_types_without_numbers_have_no_numpy_dtype(number: int) -> None:
    with pytest.raises(UnsupportedError, match="has no numpy dtype"):
        numpy_dtype(number)


@pytest.mark.parametrize("name", ["", "float", "half", "Float32", "float31"])
def test_unknown_names(name: str) -> None:
    message = f"^no dtype is called {name!r}; known are float32, float64, int32, .*, uint2, float4_e2m1fn$"
    with pytest.raises(UnsupportedError, match=message):
        named_data_type(name)


@pytest.mark.parametrize("dtype", DATA_TYPES.values(), ids=lambda dtype: dtype.name)
def test_names(dtype: Any) -> None:
    assert dtype_name(dtype.number) == dtype.name
    assert named_data_type(dtype.name) is data_type(dtype.number) is dtype


def test_used_bits() -> None:
    narrow = {dtype.name: dtype.bits for dtype in DATA_TYPES.values() if dtype.bits != 8}
    assert narrow == {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}


def test_columns_of_widths() -> None:
    assert len(ELEMENT_NBYTES) == len(SWAP_NBYTES) == 256
    for number in range(256):
        nbytes, swap = WIDTHS[dtype_name(number)] if number in DATA_TYPES else (0, 1)
        assert (ELEMENT_NBYTES[number], SWAP_NBYTES[number]) == (nbytes, swap)
