from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Command, write_hostile
from tests.support.handmade import HandmadeBundle, files_of, flip, floats, integers
from tests.support.reports import measure
from tfbundle import save

VALUES = np.array([1, 1e5, 1e-9, 6e-8, np.nan, -np.inf, 0, 3.14159], np.float32)


@pytest.fixture
def odd(tmp_path: Path) -> str:
    return HandmadeBundle([floats("a", VALUES), floats("b", [0.1]), integers("step", [7])]).write(tmp_path / "odd")


def test_numbers_are_those_of_numpy(tfbundle: Command, odd: str) -> None:
    expected = measure(VALUES)
    tensors = {tensor["name"]: tensor for tensor in tfbundle("stats", odd, "--json").json["tensors"]}
    found = tensors["a"]["stats"]
    deviation, wanted = found.pop("deviation"), expected.pop("deviation")
    assert found == expected
    assert deviation.pop("rms") == pytest.approx(wanted.pop("rms"), rel=1e-12)
    assert deviation.pop("max_relative") == pytest.approx(wanted.pop("max_relative"), rel=1e-6)
    assert deviation == wanted
    assert (tensors["step"]["action"], tensors["step"]["stats"]) == ("copy", None)


def test_summary(tfbundle: Command, odd: str, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    found = tfbundle("stats", odd)
    assert (found.status, found.errors) == (0, "")
    assert files_of(tmp_path) == before
    first, *lines = found.output.splitlines()
    assert first == f"{odd} would become: 44 B -> 26 B (59 %)"
    text = "\n".join(lines)
    assert "9 cast, largest magnitude 100000; 1 overflowed, 1 became zero, 1 lost precision" in text
    assert "there before the cast: 1 infinity, 1 NaN" in text
    assert "errors: at most" in text
    assert [line.split()[-1] for line in lines[-2:]] == ["a", "b"]


def test_counts_alone(tfbundle: Command, odd: str) -> None:
    found = tfbundle("stats", odd, "--counts")
    assert "errors:" not in found.output
    tensors = tfbundle("stats", odd, "--counts", "--json").json["tensors"]
    assert [tensor["stats"] and tensor["stats"]["deviation"] for tensor in tensors] == [None] * 3


def test_other_dtypes_and_selections(tfbundle: Command, odd: str) -> None:
    report = tfbundle("stats", odd, "--to", "bfloat16", "--drop", "b", "--rule", "step=int8", "--json").json
    found = [(tensor["action"], tensor["target_dtype"]) for tensor in report["tensors"]]
    assert found == [("cast", "bfloat16"), ("drop", ""), ("cast", "int8")]
    assert report["totals"]["elements"] == 9
    assert report["target_nbytes"] == 17


def test_template(tfbundle: Command, odd: str, tmp_path: Path) -> None:
    template = tmp_path / "template"
    save(template, {"b": np.zeros(1, np.float16)})
    report = tfbundle("stats", odd, "--like", template, "--json").json
    assert [tensor["target_dtype"] for tensor in report["tensors"]] == ["", "float16", ""]
    tfbundle("stats", odd, "--like", template, "--to", "float16").check_error(2, "--like", "--to")


def test_page(tfbundle: Command, odd: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert tfbundle("stats", odd, "--report", page).output.endswith(f"report: {page}\n")
    assert "Survey of a checkpoint" in page.read_text()


def test_bad_place_for_the_page_is_told_before_anything_is_read(tfbundle: Command, odd: str, tmp_path: Path) -> None:
    flip(f"{odd}.data-00000-of-00001", 33)
    tfbundle("stats", odd, "--report", tmp_path).check_error(3, "no file")


def test_damage(tfbundle: Command, odd: str) -> None:
    flip(f"{odd}.data-00000-of-00001", 33)
    tfbundle("stats", odd).check_error(4, "Checksum does not match", "'b'")


def test_hostile_names(tfbundle: Command, tmp_path: Path) -> None:
    found = tfbundle("stats", write_hostile(tmp_path / "source"))
    assert found.status == 0
    found.check_printable()
