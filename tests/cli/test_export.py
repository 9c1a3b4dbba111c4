"""``tfbundle export`` and ``tfbundle import`` as commands."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.giant import write_giant
from tests.support.processes import run_tfbundle, start_tfbundle
from tfbundle.cli import main


@pytest.fixture
def source(tmp_path: Path) -> str:
    prefix = str(tmp_path / "source" / "model")
    tensors: dict[str, Any] = {
        "conv/w": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
        "conv/w/Adam": np.ones((3, 4), np.float32),
        "step": np.int64(7),
        "labels": np.array([b"a", b"b"]),
    }
    tfbundle.save(prefix, tensors)
    return prefix


def test_there_and_back(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = f"{tmp_path}/m.safetensors"
    assert main(["export", source, target, "--optimizer", "drop", "--skip-unsupported", "--metadata", "format=tf"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"wrote {target}: 112 B -> 56 B (50 %)",
        "  copied   2 tensors: float32 (1), int64 (1)",
        "  dropped  2 tensors: optimizer state (1), no string in safetensors (1)",
    ]
    assert main(["import", target, f"{tmp_path}/back", "--rename", "conv/=c/", "--drop", "step"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"wrote {tmp_path}/back: 1 tensor, 69 B in 1 shard",
        "  renamed  1 tensor",
        "  left out 1 array: --drop step (1)",
        "note: metadata is kept as the string tensor __metadata__: format; export puts it back",
    ]
    assert list(tfbundle.load(tmp_path / "back")) == ["__metadata__", "c/w"]


def test_json(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", source, f"{tmp_path}/npy/", "--drop", "labels", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["form"] == "npy"
    assert sorted(os.listdir(tmp_path / "npy")) == sorted(os.path.basename(path) for path in report["files"])
    assert main(["import", f"{tmp_path}/npy", f"{tmp_path}/back", "--json", "--dry-run"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [tensor["target_name"] for tensor in report["tensors"]] == ["conv/w", "conv/w/Adam", "step"]
    assert not (tmp_path / "back.index").exists()


def test_a_cast(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = f"{tmp_path}/m.npz"
    assert main(["export", source, target, "--to", "float16", "--drop", "labels", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    with np.load(target) as archive:
        assert {name: archive[name].dtype.name for name in archive.files} == {
            "conv/w": "float16",
            "conv/w/Adam": "float32",
            "step": "int64",
        }


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["export", "{source}", "{room}/m.safetensors"], 5, "no string in safetensors: labels; --skip-unsupported"),
        (["export", "{source}", "{room}/m.onnx"], 2, "says no kind of file"),
        (["export", "{source}", "{room}/m.npz", "--keep", "conv*"], 2, "--keep says how to cast, and without --to"),
        (["export", "{source}", "{room}/m.npz", "--rule", "a=int8"], 2, "--rule says how to cast"),
        (
            ["export", "{source}", "{room}/m.npz", "--max-shard-size", "5GB", "--drop", "labels"],
            2,
            "is for safetensors",
        ),
        (["export", "{source}", "{room}/m.safetensors", "--max-shard-size", "5 apples"], 2, "is no size"),
        (["export", "{source}", "{room}/m.npz", "--metadata", "a"], 2, "'a': expected KEY=VALUE"),
        (["export", "{room}/gone", "{room}/m.npz"], 3, "gone: Failed to find"),
        (["import", "{room}/gone.npz", "{room}/m"], 3, "gone.npz: No such file"),
        (["import", "{source}.index", "{room}/m"], 5, ".index: a checkpoint already; import takes safetensors"),
        (["import", "{source}", "{room}/m"], 5, ".index: a checkpoint already; import takes safetensors"),
        (["import", "{source}.data-00000-of-00001", "{room}/m"], 4, "no safetensors file"),
        (["export", "{source}", "{room}/m.npz", "--drop", "nothing"], 2, "nothing"),
    ],
)
def test_what_is_refused(
    arguments: list[str], status: int, message: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main([word.format(source=source, room=tmp_path) for word in arguments])
    except SystemExit as stop:
        found = int(str(stop.code))
    assert found == status
    error = capsys.readouterr().err
    assert error.startswith("tfbundle: ")
    assert message in error
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == ["source"]


HOSTILE = "x\x1b[2J\u202e\n../../y\x07"


@pytest.mark.parametrize("form", ["m.safetensors", "m.npz", "m/"])
def test_hostile_names_are_escaped(form: str, tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {HOSTILE: np.ones(2), HOSTILE + "s": b"text"})
    runs = [
        run_tfbundle("export", tmp_path / "m", f"{tmp_path}/{form}"),
        run_tfbundle("export", tmp_path / "m", f"{tmp_path}/{form}", "--skip-unsupported"),
        run_tfbundle("import", f"{tmp_path}/{form}", tmp_path / "back"),
        run_tfbundle("import", f"{tmp_path}/{form}", tmp_path / "back", "--select", "y*"),
    ]
    for _, output, errors in runs:
        assert all(line.isprintable() for text in (output, errors) for line in text.splitlines())
        assert errors.count("\n") <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the moment in /proc")
@pytest.mark.parametrize("verb", ["export", "import"])
def test_a_signal_leaves_nothing(verb: str, tmp_path: Path) -> None:
    source: str | Path = write_giant(tmp_path / "giant", 512 << 20)
    target: str | Path = tmp_path / "out" / "m.npz"
    if verb == "import":
        source, target = tmp_path / "giant.npy", tmp_path / "out" / "m"
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (134217728,), }"
        source.write_bytes(b"\x93NUMPY\1\0\x76\0" + header.ljust(117) + b"\n")
        os.truncate(source, 128 + (512 << 20))
    process = start_tfbundle(verb, source, target, "--quiet")
    deadline = time.monotonic() + 60
    while not any((tmp_path / "out").glob("*.tmp-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (143, b"", b"")
    assert not (tmp_path / "out").exists()
