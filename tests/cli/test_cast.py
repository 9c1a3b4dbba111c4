from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Command, write_hostile
from tests.support.handmade import HandmadeBundle, bundle_files, files_of, floats, integers, strings
from tfbundle import load, open, save

NARROW = HandmadeBundle([floats("w", [1, -2, 70000]), integers("big", [2**40, -3]), integers("step", [7])])


@pytest.fixture
def narrow(tmp_path: Path) -> str:
    return NARROW.write(tmp_path / "narrow")


def dtypes(prefix: str | Path) -> dict[str, str]:
    with open(prefix) as bundle:
        return {name: bundle.entries[name].dtype for name in bundle}


def test_there_and_back(tfbundle: Command, tmp_path: Path) -> None:
    source = HandmadeBundle([floats("w", [1, -2, 0.5]), strings("labels", [b"cat"])]).write(tmp_path / "source")
    found = tfbundle("cast", source, tmp_path / "half", "--to", "float16")
    assert (found.status, found.errors) == (0, "")
    assert "1 tensor float32 -> float16, 6 B" in found.output
    found = tfbundle("cast", tmp_path / "half", tmp_path / "back", "--to", "float32")
    assert "read the float32 tensors must be float32 themselves" in found.output
    assert bundle_files(tmp_path / "back") == bundle_files(source)


def test_halve_is_a_cast_to_float16(tfbundle: Command, source: str, tmp_path: Path) -> None:
    tfbundle("halve", source, tmp_path / "half")
    tfbundle("cast", source, tmp_path / "cast", "--to", "float16")
    assert bundle_files(tmp_path / "cast") == bundle_files(tmp_path / "half")


def test_integers_out_of_range(tfbundle: Command, narrow: str, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    to = ("--to", "int32")
    tfbundle("cast", narrow, tmp_path / "new", *to).check_error(
        6, "tensor big: 1 value", "int32", "-2147483648 to 2147483647", "clamp would store the nearest", "low bits"
    )
    assert files_of(tmp_path) == before
    values = np.array([2**40, -3])
    for how, expected in (
        ("inf", values.astype(np.int32)),
        ("clamp", np.array([2**31 - 1, -3], np.int32)),
        ("keep", values),
    ):
        assert tfbundle("cast", narrow, tmp_path / how, *to, "--on-overflow", how, "--quiet").status == 0
        found = load(tmp_path / how)
        assert found["big"].dtype == expected.dtype
        assert found["big"].tolist() == expected.tolist()
        assert found["step"].dtype == np.int32


def test_rules_and_sources(tfbundle: Command, narrow: str, tmp_path: Path) -> None:
    found = tfbundle(
        "cast", narrow, tmp_path / "new", "--to", "float64", "--from", "float32", "--rule", "step=uint8", "--json"
    )
    assert {tensor["name"]: (tensor["action"], tensor["reason"]) for tensor in found.json["tensors"]} == {
        "big": ("copy", "int64"),
        "step": ("cast", "--rule step=uint8"),
        "w": ("cast", "float32"),
    }
    assert dtypes(tmp_path / "new") == {"big": "int64", "step": "uint8", "w": "float64"}


@pytest.mark.parametrize(
    ("options", "status", "phrases"),
    [
        ([], 2, ["--to is missing", "--help"]),
        (["--to", "float12"], 2, ["'float12'", "bfloat16"]),
        (["--to", "bool"], 2, ["'bool'"]),
        (["--to", "float16", "--from", "int64"], 2, ["no cast from int64 to float16"]),
        (["--to", "float16", "--from", "float16"], 2, ["--from float16", "nothing would be cast"]),
        (["--to", "float16", "--rule", "step=float16"], 5, ["--rule step=float16", "int64", "'step'"]),
        (["--to", "float16", "--rule", "w=half"], 2, ["'half'"]),
        (["--to", "float16", "--rule", "v=float64"], 2, ["'v' matches none"]),
        (["--to", "float16", "--like", "."], 2, ["--like settles every dtype", "--to"]),
        (["--to", "float16", "--max-shard-size", "9" * 400], 2, ["so many digits"]),
        (["--to", "float16", "--shards", "2", "--max-shard-size", "9"], 2, ["cannot both"]),
    ],
)
def test_what_cannot_be_asked_for(
    tfbundle: Command, narrow: str, tmp_path: Path, options: list[str], status: int, phrases: list[str]
) -> None:
    before = files_of(tmp_path)
    tfbundle("cast", narrow, tmp_path / "new", *options).check_error(status, *phrases)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("option", ["--like", "--report", "--max-shard-size"])
def test_empty_variable_of_a_shell(tfbundle: Command, narrow: str, tmp_path: Path, option: str) -> None:
    found = tfbundle("cast", narrow, tmp_path / "new", "--to", "bfloat16", option, "")
    assert (found.status, found.output) == (2, "")
    assert f"argument {option}: expected a value, found nothing" in found.errors


def test_template_needs_no_dtype(tfbundle: Command, narrow: str, tmp_path: Path) -> None:
    save(tmp_path / "template", {"w": np.zeros(3), "step": np.zeros(1, np.int32)})
    assert tfbundle("cast", narrow, tmp_path / "new", "--like", tmp_path / "template").status == 0
    assert dtypes(tmp_path / "new") == {"step": "int32", "w": "float64"}


def test_dry_run_foresees_the_sizes(tfbundle: Command, source: str, tmp_path: Path) -> None:
    options = ("--to", "float64", "--optimizer", "drop", "--json")
    foreseen = tfbundle("cast", source, tmp_path / "new", *options, "--dry-run").json
    done = tfbundle("cast", source, tmp_path / "new", *options).json
    on_disk = sum(len(data) for name, data in bundle_files(tmp_path / "new").items() if ".data-" in name)
    assert foreseen["target_nbytes"] == done["target_nbytes"] == on_disk
    assert [tensor["target_nbytes"] for tensor in foreseen["tensors"]] == [
        tensor["target_nbytes"] for tensor in done["tensors"]
    ]


def test_hostile_names(tfbundle: Command, tmp_path: Path) -> None:
    source = write_hostile(tmp_path / "source")
    found = tfbundle("cast", source, tmp_path / "new\x1b[1m", "--to", "bfloat16", "--measure")
    assert found.status == 0
    found.check_printable()
