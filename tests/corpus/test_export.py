"""Every checkpoint of the corpus through safetensors, ``.npz`` and ``.npy`` files, and back, bit for bit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.corpus import ExpectedTensor, Item, v1_items, v2_items
from tests.support.exported import read_npy_directory, read_safetensors
from tests.support.requirements import corpus_root
from tfbundle import BundleError, BundleNotFoundError, ExportOptions, Selection

pytest.importorskip("safetensors")

ITEMS = [*v2_items(), *v1_items()]


def read_npz(path: str) -> dict[str, Any]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "m.safetensors": lambda path: {name: data for name, (_, _, data) in read_safetensors(path).items()},
    "m.npz": lambda path: {name: array.tobytes() for name, array in read_npz(path).items()},
    "m/": lambda path: {name: array.tobytes() for name, array in read_npy_directory(path).items()},
}
INCOMPLETE = {"one_row_only"}
"""Tensors that lack slices, which nobody can read."""


def test_corpus_is_there() -> None:
    corpus_root()
    assert len({item.directory for item in ITEMS}) == 61


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: some items have hundreds of tensors, and as many files."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.label)
def test_there_and_back(item: Item, name: str, tmp_path: Path) -> None:
    target = f"{tmp_path}/{name}"
    incomplete = tuple(INCOMPLETE & item.tensors.keys())
    selection, files = Selection(drop=incomplete), ExportOptions(skip_unsupported=True)
    try:
        report = tfbundle.export(item.prefix, target, selection=selection, files=files)
    except BundleNotFoundError:
        assert "index_only" in item.directory
        return
    found = READERS[name](target)
    kept = {tensor.name for tensor in report.tensors if tensor.action != "drop"}
    assert set(found) == kept
    assert _unsupported(report) <= {tensor for tensor, expected in item.tensors.items() if _is_odd(expected)}
    for tensor, expected in item.tensors.items():
        if tensor in kept and expected.sha256 is not None:
            assert hashlib.sha256(found[tensor]).hexdigest() == expected.sha256, tensor
    tfbundle.import_tensors(target, tmp_path / "back" / "m")
    _check_equal(item.prefix, str(tmp_path / "back" / "m"), kept)


def _unsupported(report: tfbundle.ExportReport) -> set[str]:
    reasons = {tensor.name: tensor.reason for tensor in report.select("drop")}
    return {name for name, reason in reasons.items() if not reason.startswith("--drop")}


NARROW = ["qint8", "quint8", "qint16", "quint16", "qint32", "complex128", "int4", "uint4", "int2", "uint2"]
NARROW += ["float4_e2m1fn", "float8_e4m3b11fnuz"]


def _is_odd(expected: ExpectedTensor) -> bool:
    """Tell whether there are files that cannot hold a tensor."""
    return expected.dtype in ("string", "variant", "resource", *NARROW) or len(expected.shape) > 32


def _check_equal(before: str, after: str, names: set[str]) -> None:
    with tfbundle.open(before) as left, tfbundle.open(after) as right:
        assert set(right) == names
        for name in names:
            first, second = left.entries[name], right.entries[name]
            assert (first.dtype, first.shape) == (second.dtype, second.shape), name
            try:
                assert left[name].tobytes() == right[name].tobytes(), name
            except BundleError:  # more dimensions than an array has
                assert left.payload(name) == right.payload(name), name
    assert tfbundle.verify(after).ok
