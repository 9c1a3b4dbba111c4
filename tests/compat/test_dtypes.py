"""Dtype objects, each attribute of each type against TensorFlow's."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from tests.support.requirements import tensorflow
from tfbundle.compat import StandInError, tf
from tfbundle.compat.dtypes import DTYPES, DType, as_dtype
from tfbundle.format.dtypes import DATA_TYPES

NUMBERS = [*DATA_TYPES, *(100 + number for number in DATA_TYPES)]
ATTRIBUTES = [
    *("name", "size", "as_datatype_enum", "as_numpy_dtype", "min", "max", "limits", "is_bool", "is_complex"),
    *("is_floating", "is_integer", "is_numeric", "is_numpy_compatible", "is_quantized", "is_unsigned"),
]
THINGS: list[Any] = [
    *("float", "half", "double", "float32_ref", "bfloat16", "string", "int4", "U5", "float99", ""),
    *(float, bool, object, int, str, bytes, None, 3, 3.0, 0, 1000, True, [], np.nan),
    *(np.float16, np.int32, np.str_, np.bytes_, np.bool_, np.object_, np.void, np.datetime64, np.longlong),
    *(np.dtype("f4"), np.dtype(">f4"), np.dtype("S3"), np.dtype("U3"), np.dtype("M8[s]"), np.dtype("i4,i4")),
    *(np.dtype([("qint8", "i1")]), np.dtype([("other", "i1")]), np.zeros(3, np.int8), np.float64(1), np.array("a")),
]


@pytest.fixture(scope="module")
def real() -> Any:
    return tensorflow()


def outcome(look: Any) -> Any:
    """Return a value as text with its type, or the class of the error."""
    try:
        value = look()
    except Exception as error:
        return type(error)
    return type(value), repr(value)


def as_text(found: Any) -> Any:
    """Return an outcome without the module that a class of DType is in."""
    return found[1] if isinstance(found, tuple) and found[0].__name__ == "DType" else found


@pytest.mark.parametrize("number", NUMBERS)
def test_attributes_are_tensorflows(real: Any, number: int) -> None:
    theirs, ours = real.DType(number), tf.DType(number)
    for attribute in ATTRIBUTES:
        expected = outcome(lambda name=attribute: getattr(theirs, name))
        assert outcome(lambda name=attribute: getattr(ours, name)) == expected, attribute
    for attribute in ("base_dtype", "real_dtype"):
        assert repr(getattr(ours, attribute)) == repr(getattr(theirs, attribute))
    assert (repr(ours), str(ours), int(ours), hash(ours)) == (repr(theirs), str(theirs), int(theirs), hash(theirs))


@pytest.mark.parametrize("thing", THINGS, ids=repr)
def test_what_stands_for_a_type(real: Any, thing: Any) -> None:
    assert as_text(outcome(lambda: tf.as_dtype(thing))) == as_text(outcome(lambda: real.as_dtype(thing)))
    assert (tf.float32 == thing, tf.string != thing) == (real.float32 == thing, real.string != thing)


def test_compatibility(real: Any) -> None:
    for left in NUMBERS:
        for right in (1, 101, 7, 19):
            expected = real.DType(left).is_compatible_with(real.DType(right))
            assert tf.DType(left).is_compatible_with(tf.DType(right)) == expected
            assert tf.DType(left).is_subtype_of(tf.DType(right)) == real.DType(left).is_subtype_of(real.DType(right))
    assert tf.float32.most_specific_common_supertype([tf.float32]) is tf.float32
    assert tf.float32.most_specific_common_supertype([tf.float16]) is None


def test_same_object_for_the_same_type() -> None:
    assert tf.float32 is tf.DType(1) is as_dtype("float") is tf.dtypes.float32 is tf.compat.v1.float32
    assert tf.half is tf.float16
    assert {tf.float32: "x"}[as_dtype(np.float32)] == "x"
    assert isinstance(tf.int8, tf.DType)
    assert {tf.qint8, tf.quint16} <= tf.QUANTIZED_DTYPES


@pytest.mark.parametrize("name", DTYPES)
def test_pickles(name: str) -> None:
    assert pickle.loads(pickle.dumps(DTYPES[name])) is DTYPES[name]


@pytest.mark.parametrize("number", [0, 34, 100, 999, -1])
def test_no_such_number(number: int) -> None:
    with pytest.raises(TypeError, match="does not correspond to a valid"):
        DType(number)


def test_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    with pytest.raises(StandInError, match=r"numpy has no bfloat16; pip install 'tfbundle\[dtypes\]'"):
        tf.bfloat16.as_numpy_dtype  # noqa: B018
    assert tf.float32.as_numpy_dtype is np.float32
