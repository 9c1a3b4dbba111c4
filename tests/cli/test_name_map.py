from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

import tfbundle as library
from tests.support.commands import Command


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def names_of(prefix: Path) -> list[str]:
    with library.open(prefix) as bundle:
        return list(bundle)


def test_map(tfbundle: Command, source: str, tmp_path: Path) -> None:
    path = write(tmp_path / "map.json", '{"dense/kernel": "w", "dense/bias:0": "b", "step": "step"}')
    found = tfbundle("halve", source, tmp_path / "h", "--map", path)
    assert (found.status, found.errors) == (0, "")
    assert "dropped  2 tensors: not in --map (2)" in found.output
    assert "renamed  2 tensors" in found.output
    assert names_of(tmp_path / "h") == ["b", "step", "w"]


def test_map_and_the_rest(tfbundle: Command, source: str, tmp_path: Path) -> None:
    path = write(tmp_path / "map.json", b"\xef\xbb\xbf" + b'{"step": "global_step"}')
    options = ("--map", path, "--map-rest", "keep", "--strip-prefix", "dense/", "--add-prefix", "m/")
    assert tfbundle("halve", source, tmp_path / "h", *options).status == 0
    assert names_of(tmp_path / "h") == ["global_step", "m/bias", "m/kernel", "m/kernel/Adam", "m/labels"]


def test_map_from_a_pipe(tfbundle: Command, source: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=write, args=(tmp_path / "pipe", '{"step": "s"}'))
    writer.start()
    assert tfbundle("halve", source, tmp_path / "h", "--map", tmp_path / "pipe").status == 0
    writer.join()
    assert names_of(tmp_path / "h") == ["s"]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("", ["map.json: not JSON"]),
        ("{'step': 's'}", ["not JSON", "line 1 column 2"]),
        (b"\xff\xfe{", ["not JSON"]),
        ("[]", ["expected a JSON object"]),
        ('"step"', ["expected a JSON object"]),
        ('{"step": 1}', ["the new name of 'step' is no text"]),
        ('{"step": {"a": "b"}}', ["the new name of 'step' is no text"]),
        ('{"step": null}', ["the new name of 'step' is no text"]),
        ('{"step": "a", "labels": "b", "step": "c"}', ["'step' is listed twice"]),
        ("[" * 100_000, ["nested too deep"]),
        ("{}", ["lists no tensor"]),
        ('{"stp": "x"}', ["1 of 1 names in --map are not in the checkpoint: stp; close names: step"]),
        ('{"step": "\\ud800"}', ["no Unicode text"]),
        ('{"step": "\\u001b[2J", "labels": "\\u001b[2J"}', ["would both be called \\x1b[2J"]),
    ],
)
def test_maps_that_are_none(
    tfbundle: Command, source: str, tmp_path: Path, text: str | bytes, phrases: list[str]
) -> None:
    path = write(tmp_path / "map.json", text)
    found = tfbundle("halve", source, tmp_path / "new" / "h", "--map", path)
    found.check_error(2, *phrases)
    found.check_printable()
    assert not (tmp_path / "new").exists()


def test_files_that_cannot_be_read(tfbundle: Command, source: str, tmp_path: Path) -> None:
    tfbundle("halve", source, tmp_path / "h", "--map", tmp_path / "none").check_error(2, "none: No such file")
    tfbundle("halve", source, tmp_path / "h", "--map", tmp_path).check_error(2, "Is a directory")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    tfbundle("halve", source, tmp_path / "h", "--map", tmp_path / "huge").check_error(2, "more than 256 MiB")


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (("--map-rest", "keep"), "there is no --map"),
        (("--map", "MAP", "--add-prefix", "x/"), "it needs --map-rest keep"),
        (("--strip-prefix", "model/"), "--strip-prefix model/ matches none of the 5 tensors"),
        (("--rename", "step=labels"), "labels and step would both be called labels"),
        (("--select", "batchnorm"), "--select batchnorm selects none of the 5 tensors"),
    ],
)
def test_wishes_that_cannot_be(
    tfbundle: Command, source: str, tmp_path: Path, options: tuple[str, ...], phrase: str
) -> None:
    path = write(tmp_path / "map.json", json.dumps({"step": "s"}))
    arguments = [str(path) if option == "MAP" else option for option in options]
    tfbundle("halve", source, tmp_path / "h", *arguments).check_error(2, phrase)


def test_select_and_rename(tfbundle: Command, source: str, tmp_path: Path) -> None:
    options = ("--select", "dense/*", "--drop", "*/Adam", "--rename", "dense/=re:x/", "--rename", "re:x/k=y")
    found = tfbundle("halve", source, tmp_path / "h", *options)
    assert "dropped  3 tensors: not in --select (2), --drop */Adam (1)" in found.output
    assert names_of(tmp_path / "h") == ["re:x/bias", "re:yernel"]


def test_renamed_tensor_replaces_another(tfbundle: Command, source: str, tmp_path: Path) -> None:
    options = ("--rename", "re:/Adam$=", "--on-collision", "replace")
    found = tfbundle("halve", source, tmp_path / "h", "--keep", "*", *options)
    assert "dropped  1 tensor: replaced by a renamed tensor (1)" in found.output
    assert names_of(tmp_path / "h") == ["dense/bias", "dense/kernel", "labels", "step"]
    assert set(library.load(tmp_path / "h")["dense/kernel"].ravel().tolist()) == {
        library.load(source)["dense/kernel/Adam"].flat[0]
    }
