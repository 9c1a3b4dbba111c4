"""Every verb on the command line, with sources and targets elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import tfbundle
from tfbundle.cli import main


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A directory in memory with two checkpoints, the same as in a directory here."""
    root = f"memory://{tmp_path.name}"
    for number in (1, 2):
        tensors: dict[str, Any] = {
            "w": np.arange(2_000, dtype=np.float32) * number,
            "s": np.array([b"x"], object),
            "i": np.int64(3),
        }
        for place in (root, str(tmp_path)):
            tfbundle.save(f"{place}/model-{number}", tensors)
    state = 'model_checkpoint_path: "model-2"\nall_model_checkpoint_paths: "model-1"\n'
    state += 'all_model_checkpoint_paths: "model-2"\n'
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/checkpoint", state.encode())
    Path(tmp_path, "checkpoint").write_text(state)
    yield root
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize(
    "command",
    [
        ["ls", "{}/model-1"],
        ["ls", "{}", "--json"],
        ["ls", "{}/model-1.index", "--tree"],
        ["show", "{}/model-1", "w", "--where", "3:5"],
        ["show", "{}", "s"],
        ["verify", "{}/model-2", "--json"],
        ["verify", "{}/model-1", "--finish"],
        ["stats", "{}/model-2"],
        ["diff", "{}/model-1", "{}/model-2", "--json"],
        ["diff", "{}/model-1", "{}/model-1"],
        ["halve", "{}/model-1", "{}/half/", "--json"],
        ["cast", "{}/model-1", "{}/b", "--to", "bfloat16", "--shards", "3", "--drop", "i"],
        ["merge", "{}/model-1", "{}/merged"],
        ["merge", "{}/model-1", "{}/linked", "--link"],
        ["average", "{}", "{}/mean", "--last", "2", "--json"],
        ["average", "{}/model-1", "{}/model-2", "{}/mean2"],
        ["salvage", "{}/model-1", "{}/saved"],
        ["set", "{}/model-1", "i", "{}/i.npy", "--output", "{}/set"],
        ["set", "{}/model-1", "i", "{}/i.npy"],
        ["halve", "{}/model-1", "{}/x", "--like", "{}/model-2"],
        ["ls", "{}/none"],
        ["halve", "{}/model-1", "{}/model-2"],
        ["halve", "{}/model-1", "{}/model-1"],
        ["halve", "{}/model-1", "{}/model-2", "--force"],
    ],
    ids=" ".join,
)
def test_as_here(command: list[str], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "i.npy", np.int64(4))
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/i.npy", Path(tmp_path, "i.npy").read_bytes())
    here = main([word.replace("{}", str(tmp_path)) for word in command])
    expected = capsys.readouterr()
    assert main([word.replace("{}", url) for word in command]) == here
    found = capsys.readouterr()
    for there, text in ((found.out, expected.out), (found.err, expected.err)):
        assert there.replace(url, "{}") == _without_room(text.replace(str(tmp_path), "{}"))
    filesystem = fsspec.filesystem("memory")
    names = {path for path in filesystem.find(f"/{tmp_path.name}") if not path.endswith("checkpoint")}
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "checkpoint"]
    assert {path.removeprefix("/") for path in names} == {str(path.relative_to(tmp_path.parent)) for path in files}
    for path in files:
        assert filesystem.cat_file(f"/{path.relative_to(tmp_path.parent)}") == path.read_bytes()


def _without_room(text: str) -> str:
    """Leave out how much room there is, which nobody knows of a store."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if "room needed" not in line)


def test_between_here_and_there(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["halve", f"{url}/model-1", f"{tmp_path}/down/", "--quiet"]) == 0
    assert main(["halve", f"{tmp_path}/model-1", f"{url}/up/", "--quiet"]) == 0
    assert main(["diff", f"{tmp_path}/down", f"{url}/up"]) == 0
    capsys.readouterr()
    assert main(["average", f"{url}/model-1", f"{tmp_path}/model-2", f"{url}/mixed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sources"] == [f"{url}/model-1", f"{tmp_path}/model-2"]
    assert main(["merge", f"{tmp_path}/model-1", f"{url}/link", "--link"]) == 7
    assert "no links between different storages" in capsys.readouterr().err


def test_protocols_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "nonsense://bucket/model"]) == 5
    assert "Protocol not known: nonsense" in capsys.readouterr().err


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert main(["ls", "s3://bucket/model"]) == 5
    message = "s3:// needs another package: pip install 'tfbundle[remote]'"
    assert capsys.readouterr().err == f"tfbundle: s3://bucket/model.index: {message}\n"


def test_nothing_of_it_is_imported_for_files_of_this_machine(tmp_path: Path) -> None:
    import subprocess
    import sys

    tfbundle.save(str(tmp_path / "model"), {"w": np.ones(2)})
    script = (
        "import sys, tfbundle; tfbundle.load(sys.argv[1]);"
        "print([name for name in sys.modules if name.startswith(('fsspec', 'tfbundle.storage.remote'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
