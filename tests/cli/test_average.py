from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfbundle as package
from tests.support.commands import HOSTILE_NAMES, Command
from tests.support.handmade import HandmadeBundle, all_below, flip, floats, integers


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    for number in (1, 2):
        package.save(tmp_path / f"m-{number}", {"w": np.array([number, 4], np.float32), "step": np.int64(number)})
    return [tmp_path / "m-1", tmp_path / "m-2"]


def test_summary(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    found = tfbundle("average", *pair, tmp_path / "mean")
    assert (found.status, found.errors) == (0, "")
    assert found.output == (
        f"wrote {tmp_path / 'mean'}: the mean of 2 checkpoints, 16 B\n"
        "  averaged  1 tensor\n"
        "  copied    1 tensor, 1 of them from the last since they differ\n"
        f"note: tensor 'step' (int64) is 1 in {pair[0]} and 2 in {pair[1]}; taken from the last\n"
    )
    assert package.load(tmp_path / "mean")["w"].tolist() == [1.5, 4]


def test_dry_run_json_quiet_and_shards(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    before = all_below(tmp_path)
    assert tfbundle("average", *pair, tmp_path / "mean", "--dry-run").output.startswith("would write ")
    assert all_below(tmp_path) == before
    report = tfbundle("average", *pair, tmp_path / "mean", "--json", "--shards", "2").json
    assert report["sources"] == list(map(str, pair))
    assert (report["num_averaged"], report["num_tensors"], report["num_shards"]) == (1, 2, 2)
    assert report["from_last"] == ["step"]
    found = tfbundle("average", *pair, tmp_path / "mean", "--quiet", "--force")
    assert (found.status, found.output, found.errors) == (0, "", "")
    assert not (tmp_path / "mean.data-00001-of-00002").exists()


def test_newest(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    names = "".join(f'all_model_checkpoint_paths: "m-{number}"\n' for number in (1, 2))
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "m-2"\n{names}')
    report = tfbundle("average", tmp_path, tmp_path / "out" / "", "--last", "2", "--json").json
    assert report["sources"] == list(map(str, pair))
    assert report["target"] == str(tmp_path / "out")
    tfbundle("average", tmp_path, tmp_path / "x", "--last", "3").check_error(3, "lists 2 checkpoints, not 3")


def test_errors(tfbundle: Command, pair: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "mean"
    tfbundle("average", *pair, target, "--integers", "agree").check_error(2, "'step' (int64) is 1 in", "and 2 in")
    tfbundle("average", pair[0], target).check_error(2, "at least two checkpoints")
    tfbundle("average", *pair, pair[0], "--force").check_error(3, "the target is the source")
    tfbundle("average", pair[0], tmp_path / "no", target).check_error(3, "Failed to find any matching files")
    package.save(tmp_path / "other", {"w": np.float32(1)})
    tfbundle("average", *pair, tmp_path / "other", tmp_path / "x").check_error(2, "do not hold the same tensors")
    flip(f"{pair[0]}.data-00000-of-00001", 1)
    tfbundle("average", *pair, target).check_error(4, "m-1.data-00000-of-00001: tensor 'w': Checksum does not match")
    assert not any(name.startswith("mean") for name in all_below(tmp_path))


def test_names_do_no_harm_to_a_terminal(tfbundle: Command, tmp_path: Path) -> None:
    for number in range(2):
        tensors = [integers(name, [number]) for name in HOSTILE_NAMES]
        HandmadeBundle([floats("w", [1]), *tensors]).write(tmp_path / f"{number}")
    HandmadeBundle([floats(name, [1]) for name in HOSTILE_NAMES]).write(tmp_path / "2")
    sources = [tmp_path / f"{number}" for number in range(2)]
    tfbundle("average", *sources, tmp_path / "m").check_printable()
    assert tfbundle("average", *sources, tmp_path / "n", "--json").json["num_tensors"] == 1 + len(HOSTILE_NAMES)
    for arguments in ([*sources, tmp_path / "x", "--integers", "agree"], [sources[0], tmp_path / "2", tmp_path / "x"]):
        found = tfbundle("average", *arguments)
        found.check_error(2)
        found.check_printable()
