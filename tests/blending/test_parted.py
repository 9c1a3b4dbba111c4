from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import tfbundle
from tests.support.handmade import flip
from tfbundle import ChecksumError, FormatError, UnsupportedError
from tfbundle.blending.parted import PartedTensor, iter_blended


def write(prefix: Path, values: NDArray[Any], cut: int, axis: int) -> PartedTensor:
    with tfbundle.create(prefix, if_exists="replace") as writer:
        for start, stop in ((0, cut), (cut, values.shape[axis])):
            where = tuple(slice(start, stop) if at == axis else slice(None) for at in range(values.ndim))
            extents = tuple((start, stop - start) if at == axis else (0, -1) for at in range(values.ndim))
            writer.add_slice("w", values[where], shape=values.shape, extents=extents)
    return PartedTensor(tfbundle.open(prefix), b"w")


@given(st.data(), st.sampled_from(["float32", "float64", "complex128", "int8"]))
def test_bytes_in_order(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype: str) -> None:
    shape = data.draw(st.sampled_from([(7,), (5, 6), (3, 4, 5), (2, 600, 700)]))
    axis = data.draw(st.integers(0, len(shape) - 1))
    values = (np.arange(np.prod(shape)) % 113).reshape(shape).astype(dtype)
    folder = tmp_path_factory.mktemp("parted")
    tensors = [write(folder / "1", values, data.draw(st.integers(1, shape[axis] - 1)), axis)]
    tfbundle.save(folder / "2", {"w": values + values.dtype.type(2)})
    tensors.append(PartedTensor(tfbundle.open(folder / "2"), b"w"))
    assert b"".join(window.tobytes() for window in tensors[0].iter_windows()) == values.tobytes()
    found = list(iter_blended(tensors))
    expected = values + values.dtype.type(2 if dtype == "int8" else 1)
    assert b"".join(window.tobytes() for window, _ in found) == expected.tobytes()
    assert {unlike for _, unlike in found} == ({0} if dtype == "int8" else {None})
    assert sum(len(window) for window, _ in found) == tensors[0].nbytes


@pytest.mark.parametrize("offset", [0, 50])
def test_either_slice_damaged(tmp_path: Path, offset: int) -> None:
    tensor = write(tmp_path / "m", np.ones((4, 5), np.float32), 2, 0)
    flip(tmp_path / "m.data-00000-of-00001", offset)
    with pytest.raises(ChecksumError, match=rf"tensor 'w', slice {2 if offset else 0},2:-"):
        list(tensor.iter_windows())


def test_gaps_and_strings(tmp_path: Path) -> None:
    with tfbundle.create(tmp_path / "m") as writer:
        writer.add_slice("gap", np.ones(2), shape=(4,), extents=((0, 2),))
        writer.add("s", np.array([b"x"]))
    bundle = tfbundle.open(tmp_path / "m")
    with pytest.raises(FormatError, match=r"m\.index: tensor 'gap': Does not have sufficient slices"):
        PartedTensor(bundle, b"gap")
    with pytest.raises(UnsupportedError, match="'s' of dtype string is partitioned in different ways"):
        PartedTensor(bundle, b"s")


def test_empty_tensor(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w": np.zeros((0, 3))})
    assert list(PartedTensor(tfbundle.open(tmp_path / "m"), b"w").iter_windows()) == []
