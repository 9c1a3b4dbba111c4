from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle as package
from tests.support.commands import HOSTILE_NAMES, Command, write_hostile
from tests.support.handmade import HandmadeBundle, flip, floats
from tests.support.requirements import corpus_root
from tfbundle.cli.show import parse_where


def test_numbers(tfbundle: Command, source: str) -> None:
    found = tfbundle("show", source, "dense/bias")
    assert (found.status, found.errors) == (0, "")
    head, values = found.output.splitlines()
    assert head == "dense/bias: float32 [4], 16 bytes at 0 of shard 1"
    assert [float(value) for value in values.strip("[]").split(",")] == pytest.approx([1e-9, 6e-8, 0.5, 0])


def test_closing_of_a_tensor_name(tfbundle: Command, source: str) -> None:
    assert tfbundle("show", source, "step:0").output == tfbundle("show", source, "step").output


def test_key_without_its_ending(tfbundle: Command, tmp_path: Path) -> None:
    source = HandmadeBundle([floats("a/w/.ATTRIBUTES/VARIABLE_VALUE", [1])]).write(tmp_path / "m")
    assert tfbundle("show", source, "a/w").output.startswith("a/w/.ATTRIBUTES/VARIABLE_VALUE: float32 [1]")


def test_strings(tfbundle: Command, source: str) -> None:
    assert tfbundle("show", source, "labels").output.splitlines()[1:] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("0", np.linspace(-2, 2, 12).reshape(3, 4)[0]),
        ("-1,1:3", np.linspace(-2, 2, 12).reshape(3, 4)[-1, 1:3]),
        ("::2", np.linspace(-2, 2, 12).reshape(3, 4)[::2]),
        ("...,0", np.linspace(-2, 2, 12).reshape(3, 4)[..., 0]),
        (" 1 , 2 ", np.linspace(-2, 2, 12).reshape(3, 4)[1, 2]),
    ],
)
def test_where(tfbundle: Command, source: str, where: str, expected: Any) -> None:
    found = tfbundle("show", source, "dense/kernel", f"--where={where}", "--json").json
    np.testing.assert_allclose(found["value"], expected, rtol=1e-6)


@pytest.mark.parametrize("where", ["x", "1:2:3:4", "1.5", "", ",", "None", "0:2]", "__import__('os')"])
def test_malformed_where(where: str) -> None:
    with pytest.raises(ValueError, match="expected integers, slices and"):
        parse_where(where)


@pytest.mark.parametrize("where", ["3", "-4", "0,0,0", "x"])
def test_where_that_does_not_fit(tfbundle: Command, source: str, where: str) -> None:
    tfbundle("show", source, "dense/kernel", f"--where={where}").check_error(2)


def test_json(tfbundle: Command, source: str) -> None:
    found = tfbundle("show", source, "step", "--json").json
    assert (found["name"], found["dtype"], found["shape"], found["value"]) == ("step", "int64", [1], [5])


def test_json_of_strings(tfbundle: Command, source: str) -> None:
    assert tfbundle("show", source, "labels", "--json").json["value"] == ["cat", "dog"]


def test_json_of_what_json_lacks(tfbundle: Command, tmp_path: Path) -> None:
    source = HandmadeBundle([floats("w", [[np.nan, np.inf], [-np.inf, 1]])]).write(tmp_path / "source")
    assert tfbundle("show", source, "w", "--json").json["value"] == [["nan", "inf"], ["-inf", 1.0]]


@pytest.mark.parametrize("dtype", ["complex64", "bool", "uint64", "float16"])
def test_json_of_other_dtypes(tfbundle: Command, tmp_path: Path, dtype: str) -> None:
    package.save(tmp_path / "source", {"w": np.ones(2, dtype)})
    expected = {"complex64": [[1.0, 0.0]] * 2, "bool": [True, True], "uint64": [1, 1], "float16": [1.0, 1.0]}
    assert tfbundle("show", tmp_path / "source", "w", "--json").json["value"] == expected[dtype]


def test_every_dtype(tfbundle: Command) -> None:
    prefix = corpus_root() / "synth" / "raw_every_dtype" / "all"
    with package.open(prefix) as bundle:
        names = {name: info.shape for name, info in bundle.entries.items()}
    assert len(names) > 25
    for name, shape in names.items():
        assert tfbundle("show", prefix, name).output.startswith(f"{name}: ")
        value = tfbundle("show", prefix, name, "--json").json["value"]
        assert np.shape(np.array(value, object))[: len(shape)] == shape


def test_missing_name(tfbundle: Command, source: str) -> None:
    found = tfbundle("show", source, "dense/bia")
    found.check_error(3, "Key dense/bia not found in checkpoint", "did you mean dense/bias")


def test_damaged_tensor(tfbundle: Command, source: str) -> None:
    flip(f"{source}.data-00001-of-00002", 1)
    tfbundle("show", source, "dense/bias").check_error(4, "tensor 'dense/bias'", "Checksum does not match")
    assert tfbundle("show", source, "labels").status == 0


def test_long_tensors_are_cut(tfbundle: Command, tmp_path: Path) -> None:
    values = np.arange(2000, dtype=np.int64)
    package.save(tmp_path / "m", {"n": values, "s": np.array([b"x"] * 1500, object), "long": np.array(b"y" * 900)})
    short = tfbundle("show", tmp_path / "m", "n").output
    assert len(short) < 500
    assert "--all" in short
    full = tfbundle("show", tmp_path / "m", "n", "--all").output.split(":", 1)[1]
    assert [int(word) for word in full[full.index("\n") :].strip("\n []").split(",")] == values.tolist()
    assert len(tfbundle("show", tmp_path / "m", "s").output.splitlines()) == 1002
    assert len(tfbundle("show", tmp_path / "m", "s", "--all").output.splitlines()) == 1501
    assert "900 bytes in all; --all" in tfbundle("show", tmp_path / "m", "long").output
    assert tfbundle("show", tmp_path / "m", "long", "--all").output.splitlines()[1] == "y" * 900


def test_hostile_names_and_values(tfbundle: Command, tmp_path: Path) -> None:
    source = write_hostile(tmp_path / "source")
    for name in (b"strings", *HOSTILE_NAMES):
        for options in ([], ["--all"], ["--json"]):
            found = tfbundle("show", source, name.decode("utf-8", "surrogateescape"), *options)
            assert found.status == 0
            found.check_printable()
    value = tfbundle("show", source, "strings", "--json").json["value"]
    assert value[1] == "two\nlines\r"
    assert value[4] == {"hex": b"no \xff\xc3 UTF-8".hex()}
    missing = tfbundle("show", source, "\x1b[2J\x07")
    missing.check_error(3, r"\x1b[2J")
    missing.check_printable()
