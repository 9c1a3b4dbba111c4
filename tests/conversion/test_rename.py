from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import files_of
from tests.support.partitions import Piece, partitioned_bundle
from tfbundle import Naming, Selection, halve
from tfbundle.conversion.rename import rename_tensors

NAMES = ("enc/w", "enc/b", "dec/w", "step")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([("enc/", "encoder/")], {"enc/w": "encoder/w", "enc/b": "encoder/b"}),
        ([("enc/", "x/"), ("x/w", "y")], {"enc/w": "y", "enc/b": "x/b"}),
        ([("re:(.*)/w$", r"\1/kernel")], {"enc/w": "enc/kernel", "dec/w": "dec/kernel"}),
        ([("", "model/")], {name: f"model/{name}" for name in NAMES}),
        (
            [("enc/", "tmp/"), ("dec/", "enc/"), ("tmp/", "dec/")],
            {"enc/w": "dec/w", "enc/b": "dec/b", "dec/w": "enc/w"},
        ),
        ([("enc/", "")], {"enc/w": "w", "enc/b": "b"}),
    ],
)
def test_rules(rules: list[tuple[str, str]], expected: dict[str, str]) -> None:
    assert rename_tensors(NAMES, Naming(tuple(rules))).names == expected


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([("encc/", "x/")], r"--rename encc/=x/ matches none of the 4 tensors; close names: .*enc/"),
        ([("enc/", "dec/")], "would both be called dec/w"),
        ([("step", "")], "step"),
        ([("re:(w)", r"\2")], "--rename"),
    ],
)
def test_rules_that_cannot_be(rules: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rename_tensors(NAMES, Naming(tuple(rules)))


def test_bad_rule_stops_before_any_byte_moves(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)})
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match="would both be called b"):
        halve(tmp_path / "m", tmp_path / "h" / "m", naming=Naming(rename=(("a", "b"),)))
    assert files_of(tmp_path) == before
    assert not (tmp_path / "h").exists()


def test_renamed_tensors_keep_their_values(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"a/w": np.arange(3, dtype=np.float32), "a/n": np.int64(5), "z": np.array([b"x"])})
    report = halve(tmp_path / "m", tmp_path / "h", naming=Naming(rename=(("a/", "b/"), ("z", "0"))))
    found = tfbundle.load(tmp_path / "h")
    assert {name: value.tolist() for name, value in found.items()} == {"0": [b"x"], "b/n": 5, "b/w": [0.0, 1.0, 2.0]}
    assert {tensor.name: tensor.target_name for tensor in report.tensors} == {"a/n": "b/n", "a/w": "b/w", "z": "0"}
    assert tfbundle.verify(tmp_path / "h").ok


def test_kept_slices_are_found_under_the_new_name(tmp_path: Path) -> None:
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    pieces = [Piece(((0, 2), (0, -1)), np.s_[0:2, 0:2]), Piece(((2, 2), (0, -1)), np.s_[2:4, 0:2])]
    prefix = partitioned_bundle("w", values, 1, pieces, [0, 0]).write(tmp_path / "m")
    naming = Naming(rename=(("w", "a/longer/name"),))
    halve(prefix, tmp_path / "h", selection=Selection(keep=("w",)), naming=naming)
    with tfbundle.open(tmp_path / "h") as bundle:
        assert list(bundle) == ["a/longer/name"]
        assert len(bundle.entries["a/longer/name"].slices) == 2
        assert np.array_equal(bundle["a/longer/name"], values)
