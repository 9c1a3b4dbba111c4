"""Hypothesis strategies for the tensors of a bundle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tfbundle.format.dtypes import DATA_TYPES, numpy_dtype

NATIVE = [number for number, dtype in DATA_TYPES.items() if dtype.is_memcpy and dtype.native]
FOREIGN = [
    number
    for number, dtype in DATA_TYPES.items()
    if dtype.is_memcpy and not dtype.native and not dtype.name.startswith("q")
]
SUB_BYTE = {"int4": 0x0F, "uint4": 0x0F, "float4_e2m1fn": 0x0F, "int2": 0x03, "uint2": 0x03, "bool": 0x01}

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
text_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
byte_names = st.binary(min_size=1, max_size=30).map(lambda key: key.decode("utf-8", "surrogateescape"))


@st.composite
def numbers(draw: st.DrawFn, dtypes: list[int] = NATIVE + FOREIGN) -> NDArray[Any]:
    """Draw an array of any bit patterns that its element type has."""
    dtype = DATA_TYPES[draw(st.sampled_from(dtypes))]
    shape = draw(shapes)
    nbytes = math.prod(shape) * dtype.nbytes
    data = np.frombuffer(draw(st.binary(min_size=nbytes, max_size=nbytes)), np.uint8) & SUB_BYTE.get(dtype.name, 0xFF)
    return data.astype(np.uint8).view(numpy_dtype(dtype.number)).reshape(shape)


@st.composite
def strings(draw: st.DrawFn) -> NDArray[Any]:
    """Draw an object array of bytes."""
    shape = draw(shapes)
    array = np.empty(shape, object)
    values = st.one_of(st.binary(max_size=10), st.integers(0, 400).map(lambda size: b"x" * size))
    for at in np.ndindex(shape):
        array[at] = draw(values)
    return array


def bundles(names: st.SearchStrategy[str], dtypes: list[int] = NATIVE + FOREIGN) -> st.SearchStrategy[dict[str, Any]]:
    """Draw tensors by name, in any order."""
    return st.dictionaries(names, st.one_of(numbers(dtypes), numbers(dtypes), strings()), min_size=1, max_size=6)


def same(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Tell whether two arrays agree in dtype, shape and every bit."""
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return False
    if left.dtype == object:
        return bool(left.tolist() == right.tolist())
    return left.tobytes() == right.tobytes()
