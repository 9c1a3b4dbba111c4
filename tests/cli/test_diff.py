from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import HOSTILE_NAMES, Command, write_hostile
from tests.support.handmade import HandmadeBundle, flip, floats, integers, strings


@pytest.fixture
def other(tmp_path: Path) -> str:
    """Prefix of a bundle that differs from ``source`` in every way."""
    tensors = [
        floats("dense/kernel", np.linspace(-2, 2, 12).reshape(4, 3)),
        floats("dense/bias", [1e-9, 6e-8, 0.75, 0]),
        floats("step", [5]),
        strings("labels", [b"cat", b"cow"]),
        floats("new", [1]),
    ]
    return HandmadeBundle(tensors).write(tmp_path / "other" / "model")


def test_equal(tfbundle: Command, source: str) -> None:
    found = tfbundle("diff", source, source)
    assert (found.status, found.errors) == (0, "")
    assert found.output == f"{source} and {source} are equal: 5 tensors in both\n"
    quick = tfbundle("diff", source, source, "--quick")
    assert quick.output == f"{source} and {source} are equal: 5 tensors in both, 5 of them not read\n"


def test_every_kind(tfbundle: Command, source: str, other: str) -> None:
    found = tfbundle("diff", source, other)
    assert (found.status, found.errors) == (1, "")
    assert found.output.splitlines() == [
        f"{source} and {other} differ: 4 tensors in both",
        "only in A: 1 tensor",
        "  dense/kernel/Adam",
        "only in B: 1 tensor",
        "  new",
        "another dtype: 1 tensor",
        "  int64  ->  float32  step",
        "another shape: 1 tensor",
        "  [3,4]  ->  [4,3]  dense/kernel",
        "other values: 2 tensors",
        "  1 of 4  by up to 0.25 at [2]  relative 0.333 at [2]  dense/bias",
        "  1 of 2  the first at [1]                             labels",
    ]


def test_tolerance(tfbundle: Command, source: str, other: str) -> None:
    arguments = ("diff", source, other, "--only", "dense/bias")
    assert tfbundle(*arguments, "--atol", "0.2").status == 1
    found = tfbundle(*arguments, "--atol", "0.25")
    assert found.status == 0
    assert found.output.splitlines()[1:] == [
        "near enough, but not the same: 1 tensor",
        "  1 of 4  by up to 0.25 at [2]  relative 0.333 at [2]  dense/bias",
    ]
    assert tfbundle(*arguments, "--rtol", "0.34").status == 0


def test_dtype_alone(tfbundle: Command, source: str, other: str) -> None:
    assert tfbundle("diff", source, other, "--only", "step").status == 1
    assert tfbundle("diff", source, other, "--only", "step", "--ignore-dtype").status == 0


def test_bits(tfbundle: Command, tmp_path: Path) -> None:
    sides = [HandmadeBundle([floats("w", [zero])]).write(tmp_path / str(zero)) for zero in (0.0, -0.0)]
    assert tfbundle("diff", *sides).status == 0
    found = tfbundle("diff", *sides, "--bits")
    assert found.status == 1
    assert found.output.splitlines()[1:] == ["other values: 1 tensor", "  1 of 1  the first at [0]    w"]
    tfbundle("diff", *sides, "--bits", "--rtol", "1").check_error(2, "bits")


def test_long_groups_are_cut(tfbundle: Command, tmp_path: Path) -> None:
    many = HandmadeBundle([integers(f"t{number:02d}", [number]) for number in range(25)]).write(tmp_path / "many")
    none = HandmadeBundle([]).write(tmp_path / "none")
    lines = tfbundle("diff", many, none).output.splitlines()
    assert (len(lines), lines[-1]) == (23, "  and 5 more tensors; --all lists them")
    assert len(tfbundle("diff", many, none, "--all").output.splitlines()) == 27


def test_json(tfbundle: Command, source: str, other: str) -> None:
    found = tfbundle("diff", source, other, "--json")
    assert found.status == 1
    assert not found.json["equal"]
    assert found.json["only_right"] == ["new"]
    assert found.json["values"][0]["largest_absolute"] == {"value": 0.25, "where": [2]}
    assert tfbundle("diff", source, source, "--json").json["equal"]


def test_quiet(tfbundle: Command, source: str, other: str) -> None:
    for right, status in ((source, 0), (other, 1)):
        found = tfbundle("diff", source, right, "--quiet")
        assert (found.status, found.output, found.errors) == (status, "", "")


def test_errors(tfbundle: Command, source: str, other: str, tmp_path: Path) -> None:
    tfbundle("diff", source, tmp_path / "missing").check_error(3, "missing", "Failed to find any matching files")
    tfbundle("diff", source, other, "--only", "nope").check_error(2, "'nope' matches none of the 6 tensors")
    tfbundle("diff", source, other, "--rtol", "nan").check_error(2, "rtol is nan")
    flip(f"{other}.data-00000-of-00001", 48)
    tfbundle("diff", source, other).check_error(4, other, "dense/bias", "Checksum does not match")


def test_hostile_names(tfbundle: Command, tmp_path: Path) -> None:
    left = write_hostile(tmp_path / "\x1b[1m left \u202e")
    right = HandmadeBundle([floats(HOSTILE_NAMES[0], [1, 2, 3]), floats(HOSTILE_NAMES[1], [1])]).write(tmp_path / "b\n")
    found = tfbundle("diff", left, right)
    found.check_printable()
    assert found.status == 1
    assert tfbundle("diff", left, right, "--json").json["shapes"]
