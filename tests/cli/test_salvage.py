from __future__ import annotations

import os
from pathlib import Path

import tfbundle as package
from tests.support.commands import HOSTILE_NAMES, Command, write_hostile
from tests.support.handmade import HandmadeBundle, files_of, flip, integers
from tests.support.tables import assemble_table, plain_block


def test_sound(tfbundle: Command, source: str, tmp_path: Path) -> None:
    target = tmp_path / "saved" / "model"
    found = tfbundle("salvage", source, target)
    assert (found.status, found.errors) == (0, "")
    assert found.output.splitlines() == [
        f"wrote {target}: 5 tensors, 132 B in 2 shards",
        "nothing is lost: every checksum of the source matches",
        f"note: {tmp_path / 'saved' / 'checkpoint'} names it as the latest checkpoint",
    ]


def test_loss(tfbundle: Command, source: str, tmp_path: Path) -> None:
    flip(f"{source}.data-00000-of-00002", 0)
    os.remove(f"{source}.data-00001-of-00002")
    target = tmp_path / "source" / "saved"
    found = tfbundle("salvage", source, target)
    assert (found.status, found.errors) == (1, "")
    first, second, *lines, last = found.output.splitlines()
    assert first == f"wrote {target}: 2 tensors, 56 B in 1 shard"
    assert second == "lost: 3 tensors"
    for line, name, reason in zip(
        lines,
        ("dense/bias", "dense/kernel", "labels"),
        ("No such file or directory: shard 1 of 2", "Checksum does not match", "No such file"),
        strict=True,
    ):
        assert f"tensor '{name}': " in line
        assert reason in line
    assert last.startswith("likely cause: a data file is missing")
    assert list(package.load(target)) == ["dense/kernel/Adam", "step"]


def test_long_lists_are_cut(tfbundle: Command, tmp_path: Path) -> None:
    tensors = [integers(f"t{number:02d}", [number], crc=1 if number < 25 else None) for number in range(26)]
    source = HandmadeBundle(tensors).write(tmp_path / "m")
    lines = tfbundle("salvage", source, tmp_path / "saved").output.splitlines()
    assert lines[1] == "lost: 25 tensors"
    assert lines[22] == "  and 5 more tensors; --json lists them all"
    assert len(tfbundle("salvage", source, tmp_path / "again", "--json").json["lost"]) == 25


def test_block_of_the_index(tfbundle: Command, tmp_path: Path) -> None:
    bundle = HandmadeBundle([integers("a", [1]), integers("b", [2])])
    source = bundle.write(tmp_path / "m")
    rows = [(b"", bundle.header), (b"a", bundle.tensors[0].placed(0))]
    Path(f"{source}.index").write_bytes(assemble_table([(b"a", plain_block(rows)), (b"b", b"?")]))
    found = tfbundle("salvage", source, tmp_path / "saved")
    assert found.status == 1
    assert found.output.splitlines()[1].startswith(f"lost: tensors of unknown names: {source}.index: block 1: ")


def test_nothing_left(tfbundle: Command, source: str, tmp_path: Path) -> None:
    for shard in (0, 1):
        os.remove(f"{source}.data-0000{shard}-of-00002")
    found = tfbundle("salvage", source, tmp_path / "saved")
    found.check_error(4, source, "no tensor is left to save", "likely cause: a data file is missing")


def test_dry_run(tfbundle: Command, source: str, tmp_path: Path) -> None:
    flip(f"{source}.data-00000-of-00002", 0)
    before = files_of(tmp_path)
    found = tfbundle("salvage", source, tmp_path / "saved", "--dry-run")
    assert found.status == 1
    assert found.output.startswith(f"would write {tmp_path / 'saved'}: 4 tensors")
    assert files_of(tmp_path) == before


def test_json_and_quiet(tfbundle: Command, source: str, tmp_path: Path) -> None:
    assert tfbundle("salvage", source, tmp_path / "1", "--json").json["ok"]
    flip(f"{source}.data-00000-of-00002", 0)
    found = tfbundle("salvage", source, tmp_path / "2", "--json")
    assert (found.status, found.json["lost"][0]["tensor"]) == (1, "dense/kernel")
    quiet = tfbundle("salvage", source, tmp_path / "3", "--quiet")
    assert (quiet.status, quiet.output, quiet.errors) == (1, "", "")


def test_target_that_exists(tfbundle: Command, source: str, tmp_path: Path) -> None:
    tfbundle("salvage", source, tmp_path / "saved")
    tfbundle("salvage", source, tmp_path / "saved").check_error(3, "saved", "--force")
    assert tfbundle("salvage", source, tmp_path / "saved", "--force", "--shards", "1", "--jobs", "1").status == 0


def test_hostile_names(tfbundle: Command, tmp_path: Path) -> None:
    source = write_hostile(tmp_path / "\x1b[1m source \u202e")
    flip(f"{source}.data-00000-of-00001", 0)
    flip(f"{source}.data-00000-of-00001", 20)
    found = tfbundle("salvage", source, tmp_path / "saved\n")
    found.check_printable()
    assert found.status == 1
    assert len(found.output.splitlines()) == 2 + 2 + 0
    assert len(package.load(tmp_path / "saved\n")) == len(HOSTILE_NAMES) - 1
