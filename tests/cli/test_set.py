from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle as package
from tests.support.commands import HOSTILE_NAMES, Command, write_hostile
from tests.support.handmade import bundle_files


@pytest.fixture
def npy(tmp_path: Path) -> Any:
    def save(*values: Any, dtype: str = "float32") -> Path:
        path = tmp_path / "value.npy"
        np.save(path, np.array(values, dtype))
        return path

    return save


def test_in_place(tfbundle: Command, source: str, npy: Any) -> None:
    found = tfbundle("set", source, "dense/bias", npy(1, 2, 3, 4))
    assert (found.status, found.errors) == (0, "")
    assert found.output == f"{source}: set dense/bias (float32 [4]); 3 shards, 16 B in them not used any more\n"
    assert package.load(source)["dense/bias"].tolist() == [1, 2, 3, 4]


def test_copy(tfbundle: Command, source: str, npy: Any, tmp_path: Path) -> None:
    before = bundle_files(source)
    arguments = ("set", source, "step:0", npy(9, dtype="int64"), "--output", tmp_path / "out" / "m")
    found = tfbundle(*arguments)
    assert found.output == (
        f"{tmp_path / 'out' / 'm'}: set step (int64 [1]); 2 shards\n"
        f"note: {tmp_path / 'out' / 'checkpoint'} names it as the latest checkpoint\n"
    )
    assert bundle_files(source) == before
    assert package.load(tmp_path / "out" / "m")["step"].tolist() == [9]
    tfbundle(*arguments).check_error(3, "exists already")
    report = tfbundle(*arguments, "--force", "--json").json
    assert (report["name"], report["dtype"], report["shape"], report["unused_nbytes"]) == ("step", "int64", [1], 0)
    tfbundle("set", source, "step", npy(9, dtype="int64"), "--force").check_error(2, "--force is for")


def test_other_kinds(tfbundle: Command, source: str, npy: Any) -> None:
    tfbundle("set", source, "step", npy(1)).check_error(2, "tensor 'step' is int64, the array float32", "--allow-dtype")
    tfbundle("set", source, "step", npy(1, 2, dtype="int64")).check_error(2, "--allow-shape")
    found = tfbundle("set", source, "step", npy(1, 2), "--allow-dtype", "--allow-shape")
    assert "set step (float32 [2], was int64 [1])" in found.output
    tfbundle("set", source, "dense/bia", npy(1)).check_error(3, "did you mean dense/bias", "--add")
    assert "set dense/bia (float32 [1], new)" in tfbundle("set", source, "dense/bia", npy(1), "--add").output
    assert tfbundle("set", source, "labels", npy("a", "ü", dtype="U1"), "--quiet").output == ""
    assert package.load(source)["labels"].tolist() == [b"a", "ü".encode()]


def test_files_that_are_no_arrays(tfbundle: Command, source: str, tmp_path: Path) -> None:
    before = bundle_files(source)
    path = tmp_path / "x.npy"
    tfbundle("set", source, "step", path).check_error(3, "x.npy: No such file or directory")
    path.write_bytes(b"text")
    tfbundle("set", source, "step", path).check_error(4, "no .npy file")
    np.save(path, np.array([{}], object), allow_pickle=True)
    tfbundle("set", source, "step", path).check_error(5, "holds pickled Python objects")
    np.save(path, np.array([5]))
    path.write_bytes(path.read_bytes()[:-1])
    tfbundle("set", source, "step", path).check_error(4, "takes 8 bytes, 7 are there")
    assert bundle_files(source) == before


def test_names_do_no_harm_to_a_terminal(tfbundle: Command, npy: Any, tmp_path: Path) -> None:
    prefix = write_hostile(tmp_path / "m")
    for name in HOSTILE_NAMES:
        if b"\0" not in name:
            text = name.decode("utf-8", "surrogateescape")
            found = tfbundle("set", prefix, text, npy(1, 2, 3))
            assert found.status == 0
            found.check_printable()
            tfbundle("set", prefix, text + "x", npy(1)).check_printable()
            assert tfbundle("set", prefix, text, npy(3, 2, 1), "--json").json["shape"] == [3]
