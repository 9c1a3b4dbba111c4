from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.exported import safetensors_bytes
from tfbundle.errors import BundleError, FormatError, UnsupportedError
from tfbundle.exporters.safetensors_header import (
    _BITS,
    LENGTH_NBYTES,
    MAX_HEADER_NBYTES,
    SafetensorsHeader,
    StoredTensor,
    decode_header,
    encode_header,
    header_nbytes,
)

safetensors = pytest.importorskip("safetensors")


def entry(dtype: str = "U8", shape: list[Any] | None = None, offsets: list[Any] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [2] if shape is None else shape, "data_offsets": offsets or [0, 2]}


def decode(data: bytes) -> SafetensorsHeader:
    nbytes = header_nbytes(data[:LENGTH_NBYTES], len(data))
    end = LENGTH_NBYTES + nbytes
    return decode_header(data[LENGTH_NBYTES:end], len(data) - end)


def judge(data: bytes) -> bool:
    """Tell whether the library takes a file."""
    try:
        safetensors.deserialize(data)
    except (safetensors.SafetensorError, KeyError):
        return False
    return True


GOOD: dict[str, bytes] = {
    "no tensor": safetensors_bytes({}),
    "one": safetensors_bytes({"w": entry()}, b"ab"),
    "spaces": safetensors_bytes(' { "w" : {"shape":[ 1 , 2 ],\n"data_offsets":[0,2],"dtype":"U8"} }\t', b"ab"),
    "metadata": safetensors_bytes({"__metadata__": {"a": "ä\n", "": ""}, "w": entry()}, b"ab"),
    "no metadata": safetensors_bytes({"__metadata__": {}, "w": entry()}, b"ab"),
    "another order": safetensors_bytes({"b": entry(offsets=[2, 4]), "a": entry()}, b"abcd"),
    "no elements": safetensors_bytes({"z": entry(shape=[0, 5], offsets=[0, 0]), "w": entry()}, b"ab"),
    "scalar": safetensors_bytes({"w": entry("F32", [], [0, 4])}, b"abcd"),
    "an empty name": safetensors_bytes({"": entry()}, b"ab"),
    "names of all kinds": safetensors_bytes({"../x\x1b[2J\u202e\0": entry()}, b"ab"),
    "escapes": safetensors_bytes('{"\\u0041\\ud83d\\ude00\\"":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', b"ab"),
    "a name of 1 MB": safetensors_bytes({"n" * (1 << 20): entry()}, b"ab"),
    "padding": safetensors_bytes({"w": entry()}, b"ab", b" " * 7),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_both_take(name: str) -> None:
    data = GOOD[name]
    assert judge(data)
    found = decode(data)
    theirs = dict(safetensors.deserialize(data))
    assert {each.name for each in found.tensors} == set(theirs)
    start = LENGTH_NBYTES + header_nbytes(data[:LENGTH_NBYTES], len(data))
    for tensor in found.tensors:
        view = theirs[tensor.name]
        assert (tensor.dtype, list(tensor.shape)) == (view["dtype"], view["shape"])
        assert data[start + tensor.start : start + tensor.end] == bytes(view["data"])


@pytest.mark.parametrize("dtype", [name for name, bits in _BITS.items()])
def test_every_dtype_is_one_of_the_library(dtype: str) -> None:
    nbytes = _BITS[dtype] * 4 // 8
    data = safetensors_bytes({"w": entry(dtype, [4], [0, nbytes])}, bytes(nbytes))
    assert judge(data)
    assert decode(data).tensors == [StoredTensor("w", dtype, (4,), 0, nbytes)]
    wrong = safetensors_bytes({"w": entry(dtype, [4], [0, nbytes + 1])}, bytes(nbytes + 1))
    assert not judge(wrong)
    with pytest.raises(FormatError, match=f"expected {nbytes} for {dtype}"):
        decode(wrong)


W = '{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'
BAD: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "0 bytes are too few"),
    "seven bytes": (b"\2\0\0\0\0\0\0", "7 bytes are too few"),
    "a header of 2^64": (b"\xff" * 8 + b"{}", "a header of 18446744073709551615 bytes, expected at most 100000000"),
    "a header too large": ((MAX_HEADER_NBYTES + 1).to_bytes(8, "little") + b"{}", "expected at most 100000000"),
    "a header cut off": (b"\3\0\0\0\0\0\0\0{}", "a header of 3 bytes in a file of 10"),
    "no header": (bytes(8), "expected '{', found its end"),
    "no JSON": (safetensors_bytes("hello"), "expected '{'"),
    "a list": (safetensors_bytes("[]"), "expected '{'"),
    "no UTF-8": (safetensors_bytes(b'{"\xff":' + W.encode() + b"}", b"ab"), "no UTF-8, at byte 2"),
    "half a pair": (safetensors_bytes('{"\\ud800":' + W + "}", b"ab"), "Unicode"),
    "a control character": (safetensors_bytes('{"\n":' + W + "}", b"ab"), "Unicode"),
    "more behind": (safetensors_bytes('{"w":' + W + "}{", b"ab"), "expected the end"),
    "not closed": (safetensors_bytes('{"w":' + W, b"ab"), "expected ','"),
    "a comma too many": (safetensors_bytes('{"w":' + W + ",}", b"ab"), "expected a string"),
    "a string not closed": (safetensors_bytes('{"w', b"ab"), "expected a string"),
    "metadata twice": (safetensors_bytes('{"__metadata__":{},"__metadata__":{}}'), "lists '__metadata__' twice"),
    "metadata of numbers": (safetensors_bytes({"__metadata__": {"a": 1}}), "expected a string"),
    "metadata of null": (safetensors_bytes({"__metadata__": {"a": None}}), "expected a string"),
    "nested metadata": (safetensors_bytes({"__metadata__": {"a": {}}}), "expected a string"),
    "a tensor that is none": (safetensors_bytes({"w": 1}), "expected '{'"),
    "a list of a tensor": (safetensors_bytes({"w": []}), "expected '{'"),
    "lacks a shape": (safetensors_bytes({"w": {"dtype": "U8", "data_offsets": [0, 2]}}, b"ab"), "lacks shape"),
    "lacks offsets": (safetensors_bytes({"w": {"dtype": "U8", "shape": [2]}}, b"ab"), "lacks shape or data_offsets"),
    "lacks a dtype": (safetensors_bytes({"w": {"shape": [2], "data_offsets": [0, 2]}}, b"ab"), "dtype ''"),
    "a field twice": (safetensors_bytes('{"w":{"dtype":"U8","dtype":"U8"}}'), "lists 'dtype' twice"),
    "an unknown dtype": (safetensors_bytes({"w": entry("U7")}, b"ab"), "dtype 'U7'"),
    "a dtype of 1 MB": (safetensors_bytes({"w": entry("U" * (1 << 20))}, b"ab"), "dtype 'UUU"),
    "one offset": (safetensors_bytes({"w": entry(offsets=[0])}, b"ab"), "lacks"),
    "three offsets": (safetensors_bytes({"w": entry(offsets=[0, 2, 4])}, b"ab"), "at most 2 numbers"),
    "offsets turned round": (safetensors_bytes({"w": entry(offsets=[2, 0])}, b"ab"), "data_offsets 2 to 0"),
    "does not begin at 0": (safetensors_bytes({"w": entry(offsets=[1, 3])}, b"abc"), "where 0 is next"),
    "a hole": (safetensors_bytes({"a": entry(), "b": entry(offsets=[3, 5])}, b"abcde"), "3 to 5, where 2 is next"),
    "an overlap": (safetensors_bytes({"a": entry(), "b": entry(offsets=[1, 3])}, b"abc"), "1 to 3, where 2 is next"),
    "the same bytes": (safetensors_bytes({"a": entry(), "b": entry()}, b"ab"), "0 to 2, where 2 is next"),
    "cut off": (safetensors_bytes({"w": entry()}, b"a"), "tensors take 2 bytes, 1 follow"),
    "bytes behind": (safetensors_bytes({"w": entry()}, b"abc"), "tensors take 2 bytes, 3 follow"),
    "beyond the file": (safetensors_bytes({"w": entry(shape=[2**62], offsets=[0, 2**62])}), f"take {2**62} bytes"),
    "another size": (safetensors_bytes({"w": entry("U16")}, b"ab"), "2 bytes, expected 4 for U16"),
    "a product of 2^64": (safetensors_bytes({"w": entry(shape=[2**32, 2**32])}, b"ab"), "too many elements"),
    "a product that wraps to 2": (safetensors_bytes({"w": entry(shape=[2**63, 2**1])}, b"ab"), "a number from 0"),
    "a negative size": (safetensors_bytes({"w": entry(shape=[-2])}, b"ab"), "a number from 0"),
    "a negative offset": (safetensors_bytes({"w": entry(offsets=[-1, 1])}, b"ab"), "a number from 0"),
    "a fraction": (safetensors_bytes({"w": entry(shape=[2.0])}, b"ab"), "a number from 0"),
    "an exponent": (safetensors_bytes('{"w":{"dtype":"U8","shape":[2e0],"data_offsets":[0,2]}}', b"ab"), "a number"),
    "a leading zero": (safetensors_bytes('{"w":{"dtype":"U8","shape":[02],"data_offsets":[0,2]}}', b"ab"), "a number"),
    "a boolean": (safetensors_bytes({"w": entry(shape=[True])}, b"ab"), "a number"),
    "NaN": (safetensors_bytes('{"w":{"dtype":"U8","shape":[NaN],"data_offsets":[0,2]}}', b"ab"), "a number"),
    "a number of 5,000 digits": (
        safetensors_bytes('{"w":{"dtype":"U8","shape":[' + "9" * 5000 + '],"data_offsets":[0,2]}}', b"ab"),
        "a number from 0",
    ),
    "a million sizes": (safetensors_bytes({"w": entry(shape=[1] * 1_000_000 + [2])}, b"ab"), "at most 254 numbers"),
    "nested lists": (safetensors_bytes("[" * 200_000), "expected '{'"),
    "nested lists for a tensor": (safetensors_bytes('{"w":' + "[" * 200_000), "expected '{'"),
    "nested objects": (safetensors_bytes('{"w":' * 200_000), "field 'w'"),
}
STRICTER: dict[str, tuple[bytes, str]] = {
    "an unknown field": (safetensors_bytes({"w": {**entry(), "x": 1}}, b"ab"), "field 'x'"),
    "twice": (safetensors_bytes('{"w":' + W + ',"w":' + W + "}", b"ab"), "lists 'w' twice"),
    "a key of metadata twice": (safetensors_bytes('{"__metadata__":{"a":"","a":""}}'), "lists 'a' twice"),
    "null for metadata": (safetensors_bytes({"__metadata__": None}), "expected '{'"),
}
"""What the library takes, and this package does not."""


@pytest.mark.parametrize("name", BAD)
def test_what_both_refuse(name: str) -> None:
    data, message = BAD[name]
    if name != "a million sizes":
        assert not judge(data)
    with pytest.raises(FormatError) as caught:
        decode(data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", STRICTER)
def test_what_only_the_library_takes(name: str) -> None:
    data, message = STRICTER[name]
    assert judge(data)
    with pytest.raises(FormatError, match=message):
        decode(data)


pieces = st.sampled_from([b"", b'"', b"{", b"}", b"0", b"9", b",", b"\\", b"\xff"]) | st.binary(max_size=3)


@given(st.data())
def test_damaged_headers(data: st.DataObject) -> None:
    """Nothing but ``BundleError`` comes out, and what is taken is taken by the library too, and means the same."""
    start = bytearray(data.draw(st.sampled_from([value for value in GOOD.values() if len(value) < 1000])))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(start)))
        piece = data.draw(
            st.sampled_from([b"", b'"', b"{", b"}", b"0", b"9", b",", b"\\", b"\xff"]) | st.binary(max_size=3)
        )
        start[at : at + data.draw(st.integers(0, 3))] = piece
    check_against_library(bytes(start))


@given(st.binary(max_size=100))
def test_any_bytes(data: bytes) -> None:
    check_against_library(data)
    check_against_library(safetensors_bytes(data, b"ab"))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["U8", "F4", "F32"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "w", ""]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(json_values, st.binary(max_size=8))
def test_any_json(header: object, payload: bytes) -> None:
    check_against_library(safetensors_bytes(header, payload))


entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*_BITS, "X"]),
        "shape": st.lists(st.integers(-1, 4) | st.sampled_from([2**31, 2**63, 2**64]), max_size=3),
        "data_offsets": st.lists(st.integers(-1, 16) | st.sampled_from([2**63, 2**64]), min_size=1, max_size=3),
    }
)


@given(st.dictionaries(st.text(max_size=3), entries, max_size=3), st.binary(max_size=16))
def test_any_entries(header: object, payload: bytes) -> None:
    check_against_library(safetensors_bytes(header, payload))


def check_against_library(data: bytes) -> None:
    try:
        found = decode(data)
    except BundleError as error:
        assert "\n" not in str(error)
        return
    assert judge(data)
    theirs = dict(safetensors.deserialize(data))
    assert {each.name: list(each.shape) for each in found.tensors} == {
        key: view["shape"] for key, view in theirs.items()
    }


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(st.tuples(names, st.sampled_from(["F32", "BF16", "BOOL"]), st.lists(st.integers(0, 3), max_size=3))),
    st.dictionaries(names, names),
)
def test_round_trip(tensors: list[tuple[str, str, list[int]]], metadata: dict[str, str]) -> None:
    stored, end = [], 0
    for name, dtype, shape in {each[0]: each for each in tensors if each[0] != "__metadata__"}.values():
        nbytes = int(np.prod(shape, dtype=int)) * _BITS[dtype] // 8
        stored.append(StoredTensor(name, dtype, tuple(shape), end, end + nbytes))
        end += nbytes
    data = encode_header(stored, metadata) + bytes(end)
    found = decode(data)
    assert sorted(found.tensors) == sorted(stored)
    assert found.metadata == metadata
    assert (header_nbytes(data, len(data)) + LENGTH_NBYTES) % 8 == 0
    assert judge(data)
    assert len(json.loads(data[LENGTH_NBYTES : len(data) - end])) == len(stored) + bool(metadata)


def test_names_that_are_no_text() -> None:
    with pytest.raises(UnsupportedError, match="Unicode"):
        encode_header([StoredTensor("\udcff", "U8", (), 0, 1)], {})


def test_too_large_a_header_is_not_written() -> None:
    with pytest.raises(UnsupportedError, match="--max-shard-size"):
        encode_header([], {"a": "x" * MAX_HEADER_NBYTES})


def test_time_and_memory_grow_with_the_header_alone() -> None:
    many = {f"t{number}": entry("U8", [], [number, number + 1]) for number in range(30_000)}
    data = safetensors_bytes(many, bytes(30_000))
    deep = safetensors_bytes('{"__metadata__":{"a":"' + "\\n" * 300_000 + '"}}')
    lists = safetensors_bytes('{"w":[' + "[]," * 300_000)
    for case, most in ((data, 16), (deep, 16), (lists, 4)):
        tracemalloc.start()
        begin = time.process_time()
        with contextlib.suppress(FormatError):
            decode(case)
        seconds = time.process_time() - begin
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most * len(case), len(case)
        assert seconds < 20
