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
from tfbundle import BundleReader, ChecksumError, FormatError
from tfbundle.blending.blend import Difference
from tfbundle.blending.parted import PartedTensor


def write(prefix: Path, values: NDArray[Any], cut: int, axis: int) -> BundleReader:
    with tfbundle.create(prefix, if_exists="replace") as writer:
        for start, stop in ((0, cut), (cut, values.shape[axis])):
            where = tuple(slice(start, stop) if at == axis else slice(None) for at in range(values.ndim))
            extents = tuple((start, stop - start) if at == axis else (0, -1) for at in range(values.ndim))
            writer.add_slice("w", values[where], shape=values.shape, extents=extents)
    return tfbundle.open(prefix)


def join(tensor: PartedTensor) -> bytes:
    return b"".join(window.tobytes() for window in tensor.iter_windows())


@given(st.data(), st.sampled_from(["float32", "float64", "complex128", "int8"]))
def test_bytes_in_order(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype: str) -> None:
    shape = data.draw(st.sampled_from([(7,), (5, 6), (3, 4, 5), (2, 600, 700)]))
    axis = data.draw(st.integers(0, len(shape) - 1))
    values = (np.arange(np.prod(shape)) % 113).reshape(shape).astype(dtype)
    folder = tmp_path_factory.mktemp("parted")
    bundles = [write(folder / "1", values, data.draw(st.integers(1, shape[axis] - 1)), axis)]
    assert join(PartedTensor(bundles, b"w")) == values.tobytes()
    tfbundle.save(folder / "2", {"w": values + values.dtype.type(2)})
    bundles.append(tfbundle.open(folder / "2"))
    tensor = PartedTensor(bundles, b"w")
    assert tensor.nbytes == 2 * values.nbytes
    assert join(tensor) == (values + values.dtype.type(2 if dtype == "int8" else 1)).tobytes()
    assert tensor.difference == (Difference(0, 0) if dtype == "int8" else None)


@pytest.mark.parametrize("place", [0, 5, 299_999, 300_000, 599_999])
def test_place_of_the_first_difference(tmp_path: Path, place: int) -> None:
    values = np.zeros((2, 300_000), np.int64)
    bundles = [write(tmp_path / "1", values, 1, 0), write(tmp_path / "3", values, 7, 1)]
    values.reshape(-1)[place:] = 1 << 16
    bundles.insert(1, write(tmp_path / "2", values, 1, 0))
    tensor = PartedTensor(bundles, b"w")
    join(tensor)
    assert tensor.difference == Difference(1, 8 * place + 2)


@pytest.mark.parametrize("offset", [0, 50])
def test_either_slice_damaged(tmp_path: Path, offset: int) -> None:
    bundle = write(tmp_path / "m", np.ones((4, 5), np.float32), 2, 0)
    flip(tmp_path / "m.data-00000-of-00001", offset)
    with pytest.raises(ChecksumError, match=rf"tensor 'w', slice {2 if offset else 0},2:-"):
        join(PartedTensor([bundle], b"w"))


def test_gaps(tmp_path: Path) -> None:
    with tfbundle.create(tmp_path / "m") as writer:
        writer.add_slice("gap", np.ones(2), shape=(4,), extents=((0, 2),))
    with pytest.raises(FormatError, match=r"m\.index: tensor 'gap': Does not have sufficient slices"):
        PartedTensor([tfbundle.open(tmp_path / "m")], b"gap")


def test_empty_tensor(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w": np.zeros((0, 3))})
    assert join(PartedTensor([tfbundle.open(tmp_path / "m")], b"w")) == b""
