from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import tfbundle
from tests.support.handmade import FLOAT32, HandmadeBundle, HandmadeTensor, flip, floats, strings
from tests.support.partitions import Piece, partitioned_bundle, partitions
from tests.support.wire import varint_field
from tfbundle import ChecksumError, FormatError, TensorNotFoundError, TruncatedError, UnsupportedError
from tfbundle.bundle.reader import BundleReader
from tfbundle.format.windows import iter_windows

BIG_ENDIAN = varint_field(2, 1)


def stream(bundle: BundleReader, name: str, most: int = 5) -> NDArray[Any]:
    """Read a float32 tensor window by window, as one array without dimensions."""
    shape = bundle.entries[name].shape
    found = [np.zeros(0, np.float32)]
    reader = bundle.stream(name)
    for window in iter_windows(shape, most):
        out = np.empty(window.num_elements * 4, np.uint8)
        reader.read_into(window, out)
        found.append(out.view(np.float32))
    reader.finish()
    return np.concatenate(found)


@given(partitions(), st.data())
def test_any_partition(drawn: tuple[tuple[int, ...], list[Piece]], data: st.DataObject) -> None:
    shape, pieces = drawn
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    shards = data.draw(st.lists(st.integers(0, 1), min_size=len(pieces), max_size=len(pieces)))
    with tempfile.TemporaryDirectory() as folder:
        prefix = partitioned_bundle("w", values, FLOAT32, pieces, shards).write(f"{folder}/m")
        with tfbundle.open(prefix) as bundle:
            assert stream(bundle, "w", data.draw(st.integers(1, 40))).tolist() == values.reshape(-1).tolist()


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 0, 2), (3, 4)])
def test_plain_tensor(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    with tfbundle.open(HandmadeBundle([floats("w", values, gap=3)]).write(tmp_path / "m")) as bundle:
        assert stream(bundle, "w").tolist() == values.reshape(-1).tolist()


def test_big_endian(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32)
    tensor = HandmadeTensor(b"w", FLOAT32, (12,), values.astype(">f4").tobytes())
    with tfbundle.open(HandmadeBundle([tensor], header_extra=BIG_ENDIAN).write(tmp_path / "m")) as bundle:
        assert stream(bundle, "w").tolist() == values.tolist()


HALVES = [Piece(((0, 3), (0, 2)), np.s_[0:3, 0:2]), Piece(((0, 3), (2, 2)), np.s_[0:3, 2:4])]


@pytest.mark.parametrize("offset", [0, 23, 24, 47])
def test_damage_in_any_slice(tmp_path: Path, offset: int) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    prefix = partitioned_bundle("w", values, FLOAT32, HALVES, [0, 0]).write(tmp_path / "m")
    flip(f"{prefix}.data-00000-of-00001", offset)
    with tfbundle.open(prefix) as bundle, pytest.raises(ChecksumError, match="tensor 'w', slice"):
        stream(bundle, "w")


def test_damage_is_told_once_a_slice_is_behind(tmp_path: Path) -> None:
    rows = [Piece(((0, 2),), np.s_[0:2,]), Piece(((2, 4),), np.s_[2:6,])]
    prefix = partitioned_bundle("w", np.ones(6, np.float32), FLOAT32, rows, [0, 0]).write(tmp_path / "m")
    flip(f"{prefix}.data-00000-of-00001", 0)
    with tfbundle.open(prefix) as bundle:
        reader = bundle.stream("w")
        windows = iter_windows((6,), 2)
        reader.read_into(next(windows), np.empty(8, np.uint8))
        with pytest.raises(ChecksumError):
            reader.read_into(next(windows), np.empty(8, np.uint8))


def test_wrong_checksum_of_no_elements(tmp_path: Path) -> None:
    prefix = HandmadeBundle([floats("w", [], crc=1)]).write(tmp_path / "m")
    with tfbundle.open(prefix) as bundle, pytest.raises(ChecksumError):
        stream(bundle, "w")


def test_gap_between_slices(tmp_path: Path) -> None:
    values = np.ones((3, 4), np.float32)
    prefix = partitioned_bundle("w", values, FLOAT32, HALVES[:1], [0]).write(tmp_path / "m")
    with tfbundle.open(prefix) as bundle, pytest.raises(FormatError, match="6 of 12 elements are stored"):
        bundle.stream("w")


def test_truncated(tmp_path: Path) -> None:
    prefix = HandmadeBundle([floats("w", [1, 2])]).write(tmp_path / "m")
    Path(f"{prefix}.data-00000-of-00001").write_bytes(bytes(7))
    with tfbundle.open(prefix) as bundle, pytest.raises(TruncatedError, match="data-00000-of-00001: tensor 'w'"):
        stream(bundle, "w")


def test_what_has_no_numbers(tmp_path: Path) -> None:
    with tfbundle.open(HandmadeBundle([strings("s", [b"a"])]).write(tmp_path / "m")) as bundle:
        with pytest.raises(UnsupportedError, match="string"):
            bundle.stream("s")
        with pytest.raises(TensorNotFoundError):
            bundle.stream("t")
        with pytest.raises(TensorNotFoundError):
            bundle.open_row("t")
