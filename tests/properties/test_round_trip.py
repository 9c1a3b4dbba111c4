"""What was saved is what is opened: any names, shapes, dtypes and bit patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tables import open_bytes
from tests.support.tensors import bundles, byte_names, same, text_names
from tfbundle.bundle.reader import load, open_bundle
from tfbundle.bundle.writer import create_bundle, save
from tfbundle.format.index import decode_index
from tfbundle.format.naming import name_to_key

names = st.one_of(text_names, byte_names)


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
