from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfbundle as package
from tests.support.commands import Command
from tests.support.handmade import files_of, flip


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    package.save(tmp_path / "one", {"a": np.arange(3, dtype=np.float32)})
    package.save(tmp_path / "two", {"b": np.int64(5)})
    return [tmp_path / "one", tmp_path / "two"]


def test_summary(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    found = tfbundle("merge", *pair, tmp_path / "both")
    assert (found.status, found.errors) == (0, "")
    assert found.output == f"wrote {tmp_path / 'both'}: 2 tensors, 20 B in 2 shards, from 2 checkpoints\n"
    assert package.load(tmp_path / "both")["b"] == 5


def test_dry_run(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    before = files_of(tmp_path)
    found = tfbundle("merge", *pair, tmp_path / "both", "--dry-run")
    verdict, note = found.output.splitlines()
    assert verdict == f"would write {tmp_path / 'both'}: 2 tensors, 20 B in 2 shards, from 2 checkpoints"
    assert note.startswith("note: room needed: 20 B; ")
    assert files_of(tmp_path) == before


def test_json_and_quiet(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    assert tfbundle("merge", *pair, tmp_path / "both", "--json").json == {
        "sources": [str(path) for path in pair],
        "target": str(tmp_path / "both"),
        "num_tensors": 2,
        "num_shards": 2,
        "nbytes": 20,
        "notes": [],
    }
    assert "other/checkpoint names it as the latest" in tfbundle("merge", *pair, tmp_path / "other" / "both").output
    found = tfbundle("merge", *pair, tmp_path / "both", "--force", "--quiet", "--shards", "1")
    assert (found.status, found.output, found.errors) == (0, "", "")
    assert (tmp_path / "both.data-00000-of-00001").stat().st_size == 20
    assert not (tmp_path / "both.data-00000-of-00002").exists()


@pytest.mark.parametrize(("option", "left"), [("--link", 4), ("--move", 0)])
def test_files_taken_over(tfbundle: Command, pair: list[Path], tmp_path: Path, option: str, left: int) -> None:
    assert tfbundle("merge", *pair, tmp_path / "out" / "both", option).status == 0
    assert sum(name.startswith(("one", "two")) for name in files_of(tmp_path)) == left
    assert package.verify(tmp_path / "out" / "both").ok


def test_options_between_paths(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    one, two = pair
    for number, words in enumerate(((one, "--link", two), (one, two, "--jobs", "1"), ("--quiet", one, "--quiet", two))):
        assert tfbundle("merge", *words, tmp_path / str(number)).status == 0
        assert list(package.load(tmp_path / str(number))) == ["a", "b"]
    assert tfbundle("merge", one, two, "--link", tmp_path / "3", "--nope").status == 2
    assert tfbundle("verify", one, two).status == 2
    assert not (tmp_path / "3.index").exists()


def test_errors(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    tfbundle("merge", pair[0], pair[0], tmp_path / "both").check_error(4, "Duplicate tensor keyed by a")
    tfbundle("merge", *pair, pair[1], "--force").check_error(3, "the target is the source")
    tfbundle("merge", pair[0], tmp_path / "three", tmp_path / "both").check_error(
        3, "Failed to find any matching files"
    )
    tfbundle("merge", *pair, tmp_path / "both", "--link", "--shards", "3").check_error(2, "only copied data")
    tfbundle("merge", *pair, tmp_path / "both", "--max-shard-size", "big").check_error(2, "'big' is no size")
    flip(tmp_path / "two.data-00000-of-00001", 0)
    tfbundle("merge", *pair, tmp_path / "both").check_error(4, "Checksum does not match", "tensor 'b'")
    assert sorted(files_of(tmp_path)) == sorted(
        f"{name}{suffix}" for name in ("one", "two") for suffix in (".index", ".data-00000-of-00001")
    )
