"""Passwords and tokens in URLs: they open what they should, and nothing that is printed or written has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.remote.stores import BUCKET, KEY, SECRET, ObjectStore
from tests.remote.web import WebServer
from tests.support.processes import environment
from tfbundle.cli import main
from tfbundle.storage import remote_calls

PASSWORD, TOKEN = "hunter2-pass", "t0ken-s3cret"
SECRETS = (PASSWORD, TOKEN, SECRET, KEY)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_calls, "PAUSES_SECONDS", (0.0,))


@pytest.fixture
def guarded(web: WebServer) -> WebServer:
    """A server that wants a password and a token."""
    prefix = f"{web.directory}/model"
    tfbundle.save(prefix, {"w": np.ones(300, np.float32), "big": np.full(3, 1e6, np.float32), "step": np.int64(7)})
    Path(web.directory, "model.meta").write_bytes(b"no graph")
    web.password, web.token = f"me:{PASSWORD}", TOKEN
    return web


def _url(web: WebServer, name: str = "model") -> str:
    return f"http://me:{PASSWORD}@{web.address}/{name}?token={TOKEN}"


def _commands(url: str, folder: Path) -> list[list[str]]:
    out = str(folder / "out")
    return [
        ["ls", url],
        ["ls", url, "--json"],
        ["show", url, "step", "--json"],
        ["show", url, "nothing"],
        ["verify", url, "--json"],
        ["verify", url],
        ["verify", "--finish", url],
        ["stats", url, "--json"],
        ["stats", url],
        ["diff", url, url, "--json"],
        ["diff", url, f"{folder}/none"],
        ["halve", url, out],
        ["halve", url, f"{out}-inf", "--on-overflow", "inf", "--json", "--report", str(folder / "report.html")],
        ["halve", url, f"{out}-dry", "--dry-run", "--on-overflow", "inf"],
        ["halve", url, url],
        ["halve", url, url, "--debug"],
        ["cast", url, f"{out}-b", "--to", "bfloat16", "--json"],
        ["cast", url, f"{out}-like", "--to", "float16", "--like", url],
        ["merge", url, f"{out}-m", "--json"],
        ["merge", url, url, f"{out}-mm"],
        ["average", url, url, f"{out}-a", "--json"],
        ["salvage", url, f"{out}-s", "--json"],
        ["set", url, "step", url.replace("model", "step.npy")],
        ["set", url, "step", url.replace("model", "step.npy"), "--output", f"{out}-set", "--json"],
        ["ls", url.replace("model", "none")],
        ["ls", url.replace("model", "model.meta")],
        ["ls", url.replace("model", "")],
        ["halve", f"{folder}/none", url],
    ]


def test_the_way_in(guarded: WebServer) -> None:
    with tfbundle.open(_url(guarded)) as bundle:
        assert bundle["step"] == 7
        assert bundle.prefix == f"{guarded.url}/model"
    with pytest.raises(PermissionError):
        tfbundle.open(f"{guarded.url}/model")


@pytest.mark.parametrize("fault", [None, 403, 503, "cut"])
def test_nothing_that_is_printed_has_them(
    fault: int | str | None, guarded: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(f"{guarded.directory}/step.npy", np.int64(9))
    statuses = []
    for command in _commands(_url(guarded), tmp_path):
        guarded.faults = [] if fault is None else [fault] * 1000
        try:
            statuses.append(main(command))
        except Exception as error:  # --debug
            statuses.append(-1)
            print(error)
        captured = capsys.readouterr()
        assert not [secret for secret in SECRETS if secret in captured.out + captured.err], command
    assert (0 in statuses) == (fault is None)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert not [secret for secret in SECRETS if secret.encode() in path.read_bytes()], path


def test_no_traceback_has_them(guarded: WebServer, tmp_path: Path) -> None:
    guarded.faults = [503] * 1000
    for verb in (["ls"], ["halve"]):
        target = [] if verb == ["ls"] else [str(tmp_path / "out")]
        done = subprocess.run(
            [sys.executable, "-m", "tfbundle", *verb, _url(guarded), *target, "--debug"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" in done.stderr
        assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]


def test_keys_of_an_object_store(store: ObjectStore, capsys: pytest.CaptureFixture[str]) -> None:
    tfbundle.save(f"s3://{BUCKET}/model", {"w": np.ones(3, np.float32)})
    for command in (
        ["ls", f"s3://{BUCKET}/model"],
        ["halve", f"s3://{BUCKET}/model", f"s3://{BUCKET}/half", "--force"],
        ["verify", f"s3://{BUCKET}/model", "--json"],
    ):
        store.reset({"do": "403", "times": 1000, "contains": "model.data" if command[0] != "ls" else ""})
        assert main(command) == 7
        captured = capsys.readouterr()
        assert not [secret for secret in SECRETS if secret in captured.out + captured.err], command
