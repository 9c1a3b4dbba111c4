"""What was saved is what is opened: any names, shapes, dtypes and bit patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.partitions import Piece, partitions
from tests.support.requirements import tensorflow
from tests.support.restoring import restore_with_tensorflow
from tests.support.tables import open_bytes
from tests.support.tensors import bundles, byte_names, same, text_names
from tfbundle.bundle.opening import load, open_bundle
from tfbundle.bundle.writer import create_bundle, save
from tfbundle.format.index import decode_index
from tfbundle.format.naming import name_to_key

names = st.one_of(text_names, byte_names)
thorough = settings(max_examples=settings().max_examples * 5 // 2)
"""500 examples in the profile ``ci``."""

JOINED = ["float32", "float64", "int32", "int64", "uint8", "int16", "int8", "complex64", "bool"]
"""Dtypes of which TensorFlow puts slices together."""


@st.composite
def partitioned(draw: st.DrawFn) -> tuple[NDArray[Any], list[Piece]]:
    """Draw the values of a tensor, and how it is cut."""
    shape, pieces = draw(partitions())
    dtype = np.dtype(draw(st.sampled_from(JOINED)))
    count = int(np.prod(shape)) * dtype.itemsize
    data = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), np.uint8)
    return (data & 1 if dtype.kind == "b" else data).view(dtype).reshape(shape), pieces


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("ml_dtypes")
    return str(tmp_path_factory.mktemp("round_trip") / "model")


@given(bundles(names), st.sampled_from([1, 8, 64]))
def test_saved_and_opened(prefix: str, tensors: dict[str, Any], alignment: int) -> None:
    with create_bundle(prefix, if_exists="replace", alignment=alignment) as writer:
        for name, value in tensors.items():
            writer.add(name, value)
    found = load(prefix)
    assert set(found) == set(tensors)
    assert list(found) == sorted(found, key=name_to_key)
    assert [name for name in tensors if not same(found[name], tensors[name])] == []


@given(bundles(names))
def test_entries_tell_what_the_arrays_are(prefix: str, tensors: dict[str, Any]) -> None:
    save(prefix, tensors, if_exists="replace")
    with open_bundle(prefix) as bundle:
        for name, info in bundle.entries.items():
            assert info.shape == tensors[name].shape
            assert info.dtype == ("string" if tensors[name].dtype == object else tensors[name].dtype.name)
            if info.dtype != "string":
                assert info.nbytes == tensors[name].nbytes


@given(bundles(names))
def test_opened_and_saved_again_is_the_same_bundle(prefix: str, tensors: dict[str, Any]) -> None:
    save(prefix, dict(sorted(tensors.items(), key=lambda item: name_to_key(item[0]))), if_exists="replace")
    before = {path.name: path.read_bytes() for path in Path(prefix).parent.iterdir()}
    save(prefix, load(prefix), if_exists="replace")
    assert {path.name: path.read_bytes() for path in Path(prefix).parent.iterdir()} == before


@given(bundles(names))
def test_payloads_carry_a_bundle_too(prefix: str, tensors: dict[str, Any]) -> None:
    save(prefix, tensors, if_exists="replace")
    with open_bundle(prefix) as bundle, create_bundle(prefix + "-copy", if_exists="replace") as writer:
        for name in tensors:
            info = bundle.entries[name]
            writer.add_payload(name, info.dtype, info.shape, bundle.payload(name))
    copied, original = Path(prefix + "-copy.index").read_bytes(), Path(prefix + ".index").read_bytes()
    assert copied == original
    assert len(decode_index(open_bytes(copied))) == len(tensors)


@thorough
@given(bundles(names), st.dictionaries(names, partitioned(), max_size=2), st.sampled_from([1, 8, 64]))
def test_tensorflow_restores_what_was_saved(
    prefix: str, tensors: dict[str, Any], cut: dict[str, tuple[NDArray[Any], list[Piece]]], alignment: int
) -> None:
    tf = tensorflow()
    cut = {name: value for name, value in cut.items() if name not in tensors}
    with create_bundle(prefix, if_exists="replace", alignment=alignment) as writer:
        for name, value in tensors.items():
            writer.add(name, value)
        for name, (value, pieces) in cut.items():
            for piece in pieces:
                writer.add_slice(name, value[piece.where], shape=value.shape, extents=piece.extents)
    expected = {**tensors, **{name: value for name, (value, _) in cut.items()}}
    found, restored = load(prefix), restore_with_tensorflow(tf, prefix, expected)
    assert set(found) == set(expected)
    assert [name for name in expected if not same(found[name], expected[name])] == []
    assert [name for name in expected if not same(restored[name], expected[name])] == []
