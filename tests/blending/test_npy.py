from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tfbundle import BundleError, BundleNotFoundError, FormatError, TruncatedError, UnsupportedError
from tfbundle.blending.npy import read_npy
from tfbundle.storage.local import LocalFile, LocalStorage


def read(path: Path) -> NDArray[Any]:
    return read_npy(str(path), LocalStorage())


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        np.arange(3, dtype=">f8"),
        np.float16(2.5),
        np.zeros((0, 4)),
        np.array([b"ab", b"c"]),
        np.array(["é", "long text"]),
        np.array([True, False]),
        np.ones(2, np.complex64),
    ],
    ids=lambda array: str(array.dtype),
)
def test_what_numpy_saves(array: NDArray[Any], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    found = read(tmp_path / "a.npy")
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array)


def test_version_2(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.arange(3), version=(2, 0))
    assert read(tmp_path / "a.npy").tolist() == [0, 1, 2]


def test_python_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([print, None], object), allow_pickle=True)
    with pytest.raises(UnsupportedError, match=r"a\.npy: holds pickled Python objects; save text"):
        read(tmp_path / "a.npy")


def test_other_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    with pytest.raises(UnsupportedError, match="an archive of arrays"):
        read(tmp_path / "a.npz")
    for contents in (b"", b"1 2 3\n", b"\x80\x04]\x94."):
        (tmp_path / "b").write_bytes(contents)
        with pytest.raises(FormatError, match=r"no \.npy file"):
            read(tmp_path / "b")
    with pytest.raises(BundleNotFoundError):
        read(tmp_path / "missing.npy")
    with pytest.raises(UnsupportedError, match="not a regular file"):
        read(tmp_path)


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-1])
    with pytest.raises(TruncatedError, match=r"\[4\] of int64 takes 32 bytes, 31 are there"):
        read(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(data + data)
    with pytest.raises(FormatError, match="takes 32 bytes, 192 are there"):
        read(tmp_path / "a.npy")


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1" + "0" * 30 + ")}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 99 + "0)}",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f4', 'shape': ()}",
        "(" * 500,
        "",
        "__import__('os')",
        "{'descr': '|O', 'fortran_order': False, 'shape': ()}",
    ],
)
def test_hostile_headers(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(header(text))
    with pytest.raises(BundleError) as caught:
        read(tmp_path / "a.npy")
    assert len(str(caught.value).splitlines()) == 1


@given(st.data())
def test_damaged_bytes_raise_one_kind_of_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    stream = io.BytesIO()
    np.save(stream, np.arange(3, dtype=np.float32))
    damaged = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 90))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    path.write_bytes(damaged)
    try:
        read(path)
    except BundleError as error:
        assert len(str(error).splitlines()) == 1, error


def test_only_the_header_is_read_beside_the_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.zeros(1 << 20))
    sizes = []
    read_bytes = LocalFile.read

    def watched(file: LocalFile, offset: int, nbytes: int) -> bytes:
        sizes.append(nbytes)
        return read_bytes(file, offset, nbytes)

    monkeypatch.setattr(LocalFile, "read", watched)
    assert not read(tmp_path / "a.npy").any()
    assert sizes == [1 << 16]
