from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import HandmadeBundle, all_below, bundle_files, floats, integers, strings
from tfbundle import ChecksumError
from tfbundle.blending.compact import write_compact
from tfbundle.blending.fit import fit_array

TENSORS = [floats("a", [1], gap=9), strings("s", [b"x", b"y"], shard=1), integers("n", [4], shard=1), floats("z", [])]


def compact(folder: Path, key: bytes, values: list[float]) -> int:
    HandmadeBundle(TENSORS, 2).write(folder / "m")
    with tfbundle.open(folder / "m") as bundle:
        old = bundle.index.get(key)
        tensor = fit_array(key, np.array(values, np.float32), old, ["shape", "dtype"])
        return write_compact(bundle, tensor, str(folder / "out" / "m"), "error")


def test_replaced_tensor_comes_last_in_its_shard(tmp_path: Path) -> None:
    assert compact(tmp_path, b"n", [6, 7]) == 2
    expected = [floats("a", [1]), TENSORS[1], floats("n", [6, 7], shard=1), TENSORS[3]]
    assert bundle_files(tmp_path / "out" / "m") == HandmadeBundle(expected, 2).files()


def test_new_tensor(tmp_path: Path) -> None:
    compact(tmp_path, b"new", [6, 7])
    expected = [floats("a", [1]), *TENSORS[1:], floats("new", [6, 7])]
    assert bundle_files(tmp_path / "out" / "m") == HandmadeBundle(expected, 2).files()


def test_damaged_payload_is_not_copied(tmp_path: Path) -> None:
    HandmadeBundle([floats("a", [1]), floats("b", [1], crc=1)]).write(tmp_path / "m")
    before = all_below(tmp_path)
    with tfbundle.open(tmp_path / "m") as bundle, pytest.raises(ChecksumError, match="tensor 'b'"):
        tensor = fit_array(b"a", np.zeros(1, np.float32), bundle.index[b"a"])
        write_compact(bundle, tensor, str(tmp_path / "out" / "m"), "error")
    assert all_below(tmp_path) == before
