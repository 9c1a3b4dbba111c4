from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

import tfbundle as package
from tests.support.commands import Command
from tests.support.handmade import files_of, numpy_cast
from tests.support.requirements import tensorflow


def test_nothing_remains(tfbundle: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = tfbundle("demo")
    assert (found.status, found.errors) == (0, "")
    assert os.listdir(tmp_path) == []
    for phrase in ("float32 -> float16", "before", "after", "sound: ", "optimizer state"):
        assert phrase in found.output
    found.check_printable()


def test_files_stay_where_asked(tfbundle: Command, tmp_path: Path) -> None:
    assert tfbundle("demo", tmp_path / "demo").status == 0
    before = package.load(tmp_path / "demo" / "float32" / "model.ckpt-1000")
    after = package.load(tmp_path / "demo" / "float16" / "model.ckpt-1000")
    assert before.keys() == after.keys()
    dtypes = {name: value.dtype for name, value in after.items()}
    assert dtypes["dense/kernel"] == np.float16
    assert dtypes["dense/kernel/Adam_1"] == np.float32
    for name, value in before.items():
        expected = numpy_cast(value) if dtypes[name] == np.float16 else value
        assert after[name].tolist() == expected.tolist()


def test_tensorflow_reads_the_result(tfbundle: Command, tmp_path: Path) -> None:
    tf = tensorflow()
    tfbundle("demo", tmp_path)
    reader = tf.train.load_checkpoint(str(tmp_path / "float16"))
    assert reader.get_tensor("conv1/weights").dtype == np.float16
    assert reader.get_tensor("labels").tolist() == [b"cat", b"dog", b"bird"]


def test_same_every_time(tfbundle: Command, tmp_path: Path) -> None:
    tfbundle("demo", tmp_path / "a")
    tfbundle("demo", tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_existing_files(tfbundle: Command, tmp_path: Path) -> None:
    tfbundle("demo", tmp_path)
    tfbundle("demo", tmp_path).check_error(3, "exists already", "--force")
    assert tfbundle("demo", tmp_path, "--force").status == 0


def test_json(tfbundle: Command) -> None:
    found = tfbundle("demo", "--json").json
    assert found["verify"]["ok"]
    assert {tensor["action"] for tensor in found["halve"]["tensors"]} == {"cast", "keep", "copy"}
