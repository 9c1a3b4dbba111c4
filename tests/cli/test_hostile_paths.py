"""R12, R13: files and directories whose names try to do harm, as sources and as targets of every verb."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle as package
from tests.support.commands import Command, Outcome
from tests.support.handmade import HandmadeBundle, flip, floats
from tests.support.hostile import PATHS, decode_json_name, tree_of
from tests.support.processes import run_tfbundle
from tfbundle.format.state import parse_state

NEW = "in/new.npy"
WRITING = {
    "halve": "halve {source} {target}",
    "cast": "cast {source} {target} --to bfloat16",
    "merge": "merge {source} {target}",
    "linked merge": "merge --link {source} {target}",
    "average": "average {source} {source} {target}",
    "set": "set {source} w {new} --output {target}",
    "salvage": "salvage {source} {target}",
    "halve with a page": "halve {source} {target} --report {page}",
}
READING = {
    "ls": "ls {source}",
    "show": "show {source} w",
    "stats": "stats {source} --report {page}",
    "verify": "verify {source}",
    "diff": "diff {source} {source}",
    "dry": "halve {source} {target} --dry-run",
    "dry merge": "merge {source} {target} --dry-run",
    "dry average": "average {source} {source} {target} --dry-run",
    "dry salvage": "salvage {source} {target} --dry-run",
}
FAILING = {
    "show": (3, "show {source} nothing"),
    "missing": (3, "ls {source}x"),
    "directory": (3, "ls {empty}"),
    "data without an index": (3, "verify {bare}"),
    "missing data": (1, "verify {indexed}"),
    "missing data in show": (3, "show {indexed} w"),
    "damage": (4, "show {damaged} w"),
    "damage in halve": (4, "halve {damaged} {target}"),
    "exists": (3, "halve {source} {source}"),
    "there already": (3, "merge {source} {damaged}"),
    "no directory": (7, "halve {source} {source}.index/x"),
    "no page": (3, "stats {source} --report {source}.index"),
    "no array": (4, "set {source} w {source}.index"),
    "no map": (2, "halve {source} {target} --map {source}.index"),
    "no such map": (2, "halve {source} {target} --map {source}x"),
    "no template": (3, "halve {source} {target} --like {source}x"),
    "state": (3, "ls {stateful}"),
    "broken state": (4, "average {broken} {target} --last 2"),
}


@pytest.fixture(params=PATHS)
def evil(request: pytest.FixtureRequest) -> str:
    """A name of a file."""
    return os.fsdecode(PATHS[request.param])


@pytest.fixture
def paths(tmp_path: Path, evil: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Bundles with that name in directories with that name."""
    home = tmp_path / "in" / evil
    tensors = [floats("w", [1, 1e-9])]
    found = {"source": str(home / evil), "damaged": str(home / f"{evil}damaged"), "bare": str(home / f"{evil}bare")}
    for prefix in found.values():
        HandmadeBundle(tensors).write(prefix)
    flip(found["damaged"] + ".data-00000-of-00001", 0)
    os.remove(found["bare"] + ".index")
    (home / "empty").mkdir()
    np.save(tmp_path / NEW, np.zeros(2, np.float32))
    found["new"] = str(tmp_path / NEW)
    found["empty"] = str(home / "empty")
    found["indexed"] = HandmadeBundle(tensors).write(home / "indexed" / evil)
    os.remove(found["indexed"] + ".data-00000-of-00001")
    (home / "indexed" / f"{evil}x.data-00000-of-00001").write_bytes(b"")
    for name, text in (("stateful", json.dumps("gone" + "".join(filter(str.isascii, evil)))), ("broken", repr(evil))):
        (home / name).mkdir()
        state = f"model_checkpoint_path: {text}\n"
        (home / name / "checkpoint").write_bytes(state.encode("utf-8", "surrogateescape"))
    (home / "broken" / "checkpoint").write_bytes(b"\x1b[1m: \n" + os.fsencode(evil))
    found["stateful"], found["broken"] = str(home / "stateful"), str(home / "broken")
    found["target"], found["page"] = str(tmp_path / "out" / evil / evil), str(tmp_path / "out" / f"{evil}.html")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return found


def _run(tfbundle: Command, tmp_path: Path, command: str, paths: dict[str, str], *more: str) -> Outcome:
    """Run a command; check what it prints, and that it writes below ``out`` alone."""
    arguments = [word.format(**paths) for word in command.split()] + [*more]
    before = tree_of(tmp_path / "in", tmp_path / "cwd")
    found = tfbundle(*arguments)
    found.check_printable()
    assert tree_of(tmp_path / "in", tmp_path / "cwd") == before
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "out", "cwd"}
    return found


@pytest.mark.parametrize("label", WRITING)
def test_r12_targets(tfbundle: Command, tmp_path: Path, paths: dict[str, str], label: str) -> None:
    """Files are called after the prefix, and nothing else; the ``checkpoint`` file names it, so that it is found."""
    found = _run(tfbundle, tmp_path, WRITING[label], paths)
    assert (found.status, found.errors) == (0, "")
    folder, base = os.path.split(paths["target"])
    is_text = base.encode("utf-8", "replace").decode() == base
    state = {"checkpoint"} if is_text else set()  # which is text, and lists no other names
    assert set(os.listdir(folder)) == {f"{base}.index", f"{base}.data-00000-of-00001", *state}
    assert package.verify(folder).prefix == paths["target"]
    assert package.latest(folder) == (paths["target"] if is_text else None)
    assert ("left alone" in found.output) == (not is_text)


@pytest.mark.parametrize("label", ["halve", "merge", "average", "salvage", "set"])
def test_r12_json_of_targets(tfbundle: Command, tmp_path: Path, paths: dict[str, str], label: str) -> None:
    found = _run(tfbundle, tmp_path, WRITING[label], paths, "--json").json
    assert decode_json_name(found["target"]) == paths["target"]


def test_r12_sources(tfbundle: Command, tmp_path: Path, paths: dict[str, str]) -> None:
    for label, command in READING.items():
        found = _run(tfbundle, tmp_path, command, paths)
        assert (found.status, found.errors) == (0, ""), label
        assert _run(tfbundle, tmp_path, command, paths, "--json").json, label


def test_r12_errors(tfbundle: Command, tmp_path: Path, paths: dict[str, str]) -> None:
    for label, (status, command) in FAILING.items():
        found = _run(tfbundle, tmp_path, command, paths)
        if status == 1:  # of a verdict, which is output
            assert (found.status, found.errors) == (1, "")
        else:
            found.check_error(status)
        assert not list((tmp_path / "out").rglob("*")), label


def test_r12_in_processes(tmp_path: Path, paths: dict[str, str]) -> None:
    """Arguments as the operating system hands them over, in a locale without Unicode."""
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"}
    status, output, errors = run_tfbundle("halve", paths["source"], paths["target"], **plain)
    assert (status, errors) == (0, "")
    assert output.isascii()
    assert all(char.isprintable() for char in output.replace("\n", ""))
    assert package.verify(paths["target"]).ok


def test_r12_relative_paths(tfbundle: Command, tmp_path: Path, evil: str) -> None:
    """In the current directory, where a name may be taken for an option unless ``--`` stands before it."""
    HandmadeBundle([floats("w", [1])]).write(tmp_path / "cwd" / evil)
    os.chdir(tmp_path / "cwd")
    for arguments in (["ls", "--", evil], ["halve", "--", evil, f"{evil}2"], ["verify", "--", f"{evil}2"]):
        found = tfbundle(*arguments)
        found.check_printable()
        assert found.status == 0, found
    assert {name.removeprefix(evil) for name in os.listdir()} == {
        ".index", ".data-00000-of-00001", "2.index", "2.data-00000-of-00001"
    }  # fmt: skip


STATES: dict[str, Any] = {
    "escape": b'model_checkpoint_path: "\\033]0;title\\007"',
    "raw escape": b'model_checkpoint_path: "\x1b[2J"',
    "line feed": b'model_checkpoint_path: "a\\nb"',
    "nul": b'model_checkpoint_path: "a\\000b"',
    "bytes": b'model_checkpoint_path: "\\377\\376"',
    "bidi": 'model_checkpoint_path: "\u202emodel"'.encode(),
    "unknown field": b"\x1b[1m: 7",
    "unknown enum": b'model_checkpoint_path: \x1b[1m\n"x"',
    "no text": bytes(range(256)),
    "absolute": b'model_checkpoint_path: "/etc/\\033[1m"',
    "parent": b'model_checkpoint_path: "../../\\033[1m"',
    "empty": b'model_checkpoint_path: ""',
    "slash": b'model_checkpoint_path: "/"',
    "dots": b'model_checkpoint_path: ".."',
    "long": b'model_checkpoint_path: "' + b"\\033" * 100_000 + b'"',
    "many": b'model_checkpoint_path: "x"\n' + b'all_model_checkpoint_paths: "\\033[1m"\n' * 20_000,
    "deep": b"a { " * 10_000,
}


@pytest.mark.parametrize("label", STATES)
def test_r13_contents_of_a_state_file(tfbundle: Command, tmp_path: Path, label: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint").write_bytes(STATES[label])
    HandmadeBundle([floats("w", [1])]).write(tmp_path / "source")
    run, target = str(tmp_path / "run"), str(tmp_path / "out")
    for command in (["ls", run], ["verify", run], ["halve", run, target], ["average", run, target, "--last", "2"]):
        found = tfbundle(*command)
        found.check_printable()
        assert found.status in (3, 4), found
        assert len(found.errors.splitlines()) == 1
        assert len(found.errors) < 12_000
    found = tfbundle("halve", tmp_path / "source", tmp_path / "run" / "new")  # whose note is about that file
    found.check_printable()
    assert found.status == 0
    assert set(os.listdir(tmp_path)) == {"run", "source.index", "source.data-00000-of-00001"}
    assert package.verify(tmp_path / "run" / "new").ok


def test_r13_what_is_written_is_relative(tfbundle: Command, tmp_path: Path, paths: dict[str, str]) -> None:
    assert _run(tfbundle, tmp_path, "halve {source} {target}", paths).status == 0
    file = Path(paths["target"]).parent / "checkpoint"
    if not file.exists():
        pytest.skip("no name that is not UTF-8 is written")
    written = file.read_text("utf-8")
    state = parse_state(written)
    assert len(written.splitlines()) == 2
    for path in (state.latest, *state.all_paths):
        assert not os.path.isabs(path)
        assert os.sep not in path
