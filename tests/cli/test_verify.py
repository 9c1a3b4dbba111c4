from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tests.support.commands import HOSTILE_NAMES, Command, write_hostile
from tests.support.handmade import HandmadeBundle, flip, floats
from tests.support.interrupted import NEW, OLD, killed_while_replacing, stage_model, write_model
from tests.support.partitions import Piece, partitioned_bundle


def test_sound(tfbundle: Command, source: str) -> None:
    found = tfbundle("verify", source)
    assert (found.status, found.errors) == (0, "")
    assert found.output == f"{source}: sound: 5 tensors, 2 shards, 132 B read, every checksum matches\n"


def test_damage(tfbundle: Command, source: str) -> None:
    flip(f"{source}.data-00000-of-00002", 0)
    flip(f"{source}.data-00001-of-00002", 16)
    found = tfbundle("verify", source)
    assert (found.status, found.errors) == (1, "")
    first, *lines = found.output.splitlines()
    assert first == f"{source}: damaged: 2 of 5 tensors, 2 shards"
    assert ["'dense/kernel'" in line for line in lines] == [True, False]
    assert ["'labels'" in line for line in lines] == [False, True]


def test_likely_cause(tfbundle: Command, source: str) -> None:
    os.remove(f"{source}.data-00001-of-00002")
    found = tfbundle("verify", source)
    assert found.status == 1
    _, *lines, last = found.output.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["  tensor 'dense/bias'", "  tensor 'labels'"]
    assert last.startswith("likely cause: a data file is missing")


def test_damaged_index(tfbundle: Command, source: str) -> None:
    flip(f"{source}.index", 10)
    tfbundle("verify", source).check_error(4, "model.index")


def test_json(tfbundle: Command, source: str) -> None:
    sound = tfbundle("verify", source, "--json").json
    assert (sound["ok"], sound["num_tensors"], sound["num_shards"], sound["nbytes"]) == (True, 5, 2, 132)
    flip(f"{source}.data-00000-of-00002", 0)
    found = tfbundle("verify", source, "--json")
    assert found.status == 1
    assert not found.json["ok"]
    assert [damage["tensor"] for damage in found.json["damages"]] == ["dense/kernel"]


def test_quiet(tfbundle: Command, source: str) -> None:
    assert tfbundle("verify", source, "--quiet").output == ""
    flip(f"{source}.data-00000-of-00002", 0)
    found = tfbundle("verify", source, "--quiet")
    assert (found.status, found.output, found.errors) == (1, "", "")


def test_hostile_names(tfbundle: Command, tmp_path: Path) -> None:
    source = write_hostile(tmp_path / "\x1b[1m source \u202e")
    data = Path(f"{source}.data-00000-of-00001")
    data.write_bytes(bytes(data.stat().st_size))
    found = tfbundle("verify", source)
    found.check_printable()
    assert found.status == 1
    assert len(found.output.splitlines()) == 1 + len(HOSTILE_NAMES) + 1 + 1
    assert len(tfbundle("verify", source, "--json").json["damages"]) == len(HOSTILE_NAMES) + 1


def test_every_line_names_its_tensor(tfbundle: Command, tmp_path: Path) -> None:
    """A slice is known by its tensor."""
    rows = [Piece(((0, 1), (0, 3)), np.s_[0:1, 0:3]), Piece(((1, 1), (0, 3)), np.s_[1:2, 0:3])]
    partitioned = partitioned_bundle("w", np.arange(6, dtype=np.float32).reshape(2, 3), 1, rows, [0, 0])
    source = HandmadeBundle([*partitioned.tensors, floats("x", [1])]).write(tmp_path / "m")
    flip(f"{source}.data-00000-of-00001", 12)
    (line,) = tfbundle("verify", source).output.splitlines()[1:]
    assert "tensor 'w', slice 1,1:0,3: Checksum does not match" in line
    assert line.count("tensor") == 1


class TestFinish:
    def test_publishes(self, tfbundle: Command, tmp_path: Path) -> None:
        prefix = str(tmp_path / "model")
        killed_while_replacing(prefix, 1)
        tfbundle("verify", prefix).check_error(3, f"tfbundle verify --finish {prefix} publishes it")
        found = tfbundle("verify", prefix, "--finish")
        assert (found.status, found.errors) == (0, "")
        first, *_, last = found.output.splitlines()
        assert first == f"{prefix}: published what an interrupted run left"
        assert last.startswith(f"{prefix}: sound: 2 tensors, 2 shards")

    def test_removes(self, tfbundle: Command, source: str) -> None:
        leftover = f"{source}.index.tmp-17-0a1b2c3d"
        Path(leftover).touch()
        found = tfbundle("verify", source)
        assert found.status == 0
        note = f"note: left behind by an interrupted run: {leftover}; tfbundle verify --finish {source} removes them"
        assert found.output.splitlines()[1:] == [note]
        assert tfbundle("verify", source, "--finish").output.splitlines()[0] == f"removed {leftover}"
        assert tfbundle("verify", source, "--finish").output.splitlines()[0] == f"{source}: nothing to finish"

    def test_json_and_quiet(self, tfbundle: Command, source: str) -> None:
        Path(f"{source}.index.tmp-17-0a1b2c3d").touch()
        assert len(tfbundle("verify", source, "--json").json["notes"]) == 1
        found = tfbundle("verify", source, "--finish", "--json").json
        assert found["finished"]["removed"] == [f"{source}.index.tmp-17-0a1b2c3d"]
        assert found["ok"]
        assert found["notes"] == []
        assert tfbundle("verify", source, "--finish", "--quiet").output == ""

    def test_names_are_escaped(self, tfbundle: Command, tmp_path: Path) -> None:
        folder = tmp_path / "a\x1b[2J\nb"
        folder.mkdir()
        killed_while_replacing(str(folder / "model"), 0)
        tfbundle("verify", str(folder / "model")).check_printable()
        tfbundle("verify", "--finish", str(folder / "model")).check_printable()

    def test_saved_model(self, tfbundle: Command, tmp_path: Path) -> None:
        model = tmp_path / "model"
        around = stage_model(model, new=NEW, old=OLD)
        tfbundle("verify", model).check_error(3, f"{around}: tfbundle verify --finish {model} publishes it")
        found = tfbundle("verify", model, "--finish")
        assert (found.status, found.errors) == (0, "")
        first, second, last = found.output.splitlines()
        assert first == f"{model}/variables/variables: published what an interrupted run left"
        assert second == f"removed {around}"
        assert last.startswith(f"{model}/variables/variables: sound: 2 tensors, 2 shards")

    def test_next_run_names_what_is_left_of_a_saved_model(self, tfbundle: Command, tmp_path: Path) -> None:
        model, half = tmp_path / "model", tmp_path / "half"
        write_model(model, OLD)
        around = stage_model(half, part=NEW)
        found = tfbundle("halve", model, half)
        note = f"left behind by an interrupted run: {around}; tfbundle verify --finish {half} removes them"
        assert f"note: {note}" in found.output.splitlines()

    def test_next_run_names_what_is_left(self, tfbundle: Command, source: str, tmp_path: Path) -> None:
        prefix = str(tmp_path / "model")
        killed_while_replacing(prefix, 1)
        remedy = f"tfbundle verify --finish {prefix}"
        tfbundle("halve", source, prefix).check_error(3, "exists already", f"{remedy} publishes it", "--force")
        found = tfbundle("halve", source, prefix, "--force")
        assert found.status == 0
        assert f"{remedy} removes them" in found.output
