"""Ending a conversion at a request: whatever the moment, no reader is left with half a bundle.

``python -m pytest -m campaign tests/remote/test_kills.py`` takes every request.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.conversion.test_graphs import write_saved_model
from tests.remote.stores import BUCKET, ObjectStore
from tests.support.processes import environment

SOURCE, TARGET = "source/model", "target/model"
_WAITING = "import sys; from tfbundle.cli import run_process; input(); run_process()"
_NEW = {"index", "data-00000-of-00001"}


def _start(store: ObjectStore, *arguments: str) -> subprocess.Popen[str]:
    """Start a command that does nothing before it gets a line."""
    return subprocess.Popen(
        [sys.executable, "-c", _WAITING, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**store.variables),
    )


def _halve(
    store: ObjectStore, *options: str, fault: dict[str, Any] | None = None, between: tuple[str, str] = (SOURCE, TARGET)
) -> tuple[int, str]:
    """Run ``halve`` from bucket to bucket; return its status and what it complained of."""
    urls = [f"s3://{BUCKET}/{name}" for name in between]
    process = _start(store, "halve", *urls, "--quiet", *options)
    store.reset(*([{**fault, "pid": process.pid}] if fault else []))
    _, errors = process.communicate("\n", timeout=120)
    return process.returncode, errors


@pytest.fixture
def expected(store: ObjectStore, tmp_path: Path) -> dict[str, bytes]:
    """Put a checkpoint into the store, large enough for an upload in parts; return the files of its half."""
    rng = np.random.default_rng(3)
    prefix = str(tmp_path / "model")
    tfbundle.save(prefix, {"w": rng.random((9 << 20) // 2, np.float32), "step": np.int64(7)})
    for path in tmp_path.iterdir():
        store.client().upload_file(str(path), BUCKET, f"{SOURCE}{path.suffix}")
    tfbundle.halve(prefix, str(tmp_path / "half"))
    return {name: (tmp_path / f"half.{name}").read_bytes() for name in _NEW}


def _put_old(store: ObjectStore) -> dict[str, bytes]:
    """Put another bundle where the target will be, with the same names; return its files."""
    tfbundle.save(f"s3://{BUCKET}/{TARGET}", {"old": np.arange(4)})
    return _target(store)


def _target(store: ObjectStore) -> dict[str, bytes]:
    names = [key.removeprefix(f"{TARGET}.") for key in store.names() if key.startswith(f"{TARGET}.")]
    return {name: store.get(f"{TARGET}.{name}") for name in names}


def _check_after(store: ObjectStore, old: dict[str, bytes], new: dict[str, bytes]) -> None:
    """Check that there is the old bundle, the new one, or none; and that running again makes the new one."""
    found = _target(store)
    if "index" in found:
        assert found in (old, new)
    again = ["--force"] if "index" in found else []
    assert _halve(store, *again) == (0, "")
    assert _target(store) == new


@pytest.mark.parametrize(
    ("method", "contains", "do", "force"),
    [
        ("PUT", "partNumber=1", "kill", False),
        ("POST", f"{TARGET}.data-00000-of-00001?uploadId", "kill after", True),
        ("PUT", f"{TARGET}.index", "kill", True),
        ("PUT", f"{TARGET}.index", "kill after", False),
    ],
)
def test_killed_at_what_changes_the_store(
    method: str, contains: str, do: str, force: bool, store: ObjectStore, expected: dict[str, bytes]
) -> None:
    old = _put_old(store) if force else {}
    options = ["--force"] if force else []
    status, _ = _halve(store, *options, fault={"method": method, "contains": contains, "do": do})
    assert status == -9
    _check_after(store, old, expected)


@pytest.mark.campaign
@pytest.mark.parametrize("force", [False, True], ids=["anew", "force"])
def test_killed_at_every_request(force: bool, store: ObjectStore, expected: dict[str, bytes]) -> None:
    options = ["--force"] if force else []
    old = _put_old(store) if force else {}
    assert _halve(store, *options) == (0, "")
    num_requests = len(store.requests())
    outcomes: dict[str, int] = {}
    for number in range(num_requests):
        for do in ("kill", "kill after"):
            for key in [key for key in store.names() if key.startswith("target/")]:
                store.client().delete_object(Bucket=BUCKET, Key=key)
            old = _put_old(store) if force else {}
            status, _ = _halve(store, *options, fault={"skip": number, "do": do})
            assert status == -9, number
            found = _target(store)
            outcome = "none" if "index" not in found else "old" if found == old else "new"
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            _check_after(store, old, expected)
    print(f"{2 * num_requests} kills at {num_requests} requests: {outcomes}")


_MODELS = ("models/in", "models/half")
_MODEL_INDEX = "variables/variables.index"


def _model(store: ObjectStore, name: str) -> dict[str, bytes]:
    return {key.removeprefix(f"{name}/"): store.get(key) for key in store.names() if key.startswith(f"{name}/")}


def _put_model(store: ObjectStore, name: str, folder: Path, **more: bytes) -> dict[str, bytes]:
    """Put a SavedModel into the store, in the place of another; return its files."""
    for key in [key for key in store.names() if key.startswith(f"{name}/")]:
        store.client().delete_object(Bucket=BUCKET, Key=key)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path, data in {**files, **more}.items():
        store.client().put_object(Bucket=BUCKET, Key=f"{name}/{path}", Body=data)
    return {**files, **more}


def _check_model(store: ObjectStore, old: dict[str, bytes], new: dict[str, bytes], gone: set[str]) -> str:
    """Check that there is the old SavedModel, the new one, or none that loads; return which."""
    found = _model(store, _MODELS[1])
    if _MODEL_INDEX not in found:
        return "none"
    if found == old:
        return "old"
    assert {name: data for name, data in found.items() if name not in gone} == new
    return "new"


@pytest.mark.parametrize(
    "faults",
    [
        [{"method": "PUT", "contains": name, "do": do}]
        for name in ("saved_model.pb", _MODEL_INDEX)
        for do in ("kill", "kill after")
    ]
    + [pytest.param([], marks=pytest.mark.campaign, id="every request")],
)
def test_killed_while_a_saved_model_is_replaced(
    faults: list[dict[str, Any]], store: ObjectStore, tmp_path: Path
) -> None:
    source = write_saved_model(tmp_path / "in")
    (source / "notes.txt").unlink()
    tfbundle.halve(source, tmp_path / "half")
    _put_model(store, _MODELS[0], source)
    gone = {"assets/old.txt", "fingerprint.pb"}
    old = {**dict.fromkeys(gone, b"old")}
    new = _put_model(store, _MODELS[1], tmp_path / "half")
    if not faults:
        assert _halve(store, "--force", between=_MODELS) == (0, "")
        numbers = range(len(store.requests()))
        faults = [{"skip": number, "do": do} for number in numbers for do in ("kill", "kill after")]
    outcomes: dict[str, int] = {}
    for fault in faults:
        _put_model(store, _MODELS[1], source, **old)
        before = _model(store, _MODELS[1])
        status, errors = _halve(store, "--force", fault=fault, between=_MODELS)
        assert (status, errors) == (-9, ""), fault
        outcome = _check_model(store, before, new, gone)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert _halve(store, "--force", between=_MODELS) == (0, "")
        assert _model(store, _MODELS[1]) == new, fault
    print(f"{len(faults)} kills of a SavedModel's conversion: {outcomes}")


@pytest.mark.parametrize("contains", ["partNumber=1", pytest.param(f"{SOURCE}.data-", marks=pytest.mark.campaign)])
def test_interrupted_run_gives_its_upload_up(contains: str, store: ObjectStore, expected: dict[str, bytes]) -> None:
    status, errors = _halve(store, fault={"contains": contains, "do": "term"})
    assert (status, errors) == (143, "")
    assert _target(store) == {}
    assert store.uploads() == []


_URLS = f"s3://{BUCKET}/{SOURCE}", f"s3://{BUCKET}/{TARGET}"


@pytest.mark.parametrize(
    ("method", "contains"),
    [
        ("POST", "uploads"),
        ("PUT", "partNumber=1"),
        ("POST", f"{TARGET}.data-00000-of-00001?uploadId"),
        ("PUT", f"{TARGET}.index"),
    ],
)
def test_refused_request_leaves_nothing_behind(
    method: str, contains: str, store: ObjectStore, expected: dict[str, bytes]
) -> None:
    store.reset({"method": method, "contains": contains, "do": "403", "times": 1000})
    with pytest.raises(PermissionError, match="Permission denied") as caught:
        tfbundle.halve(*_URLS)
    assert caught.value.filename.startswith(f"s3://{BUCKET}/{TARGET}.")
    store.reset()
    assert _target(store) == {}
    assert store.uploads() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"contains": ".data-", "method": "GET", "do": "503", "times": 2},
        {"contains": "partNumber", "method": "PUT", "do": "503", "times": 2},
        {"contains": "uploads", "method": "POST", "do": "500"},
        {"contains": ".index", "method": "PUT", "do": "503", "times": 2},
        {"contains": ".data-", "method": "GET", "do": "cut"},
        {"contains": ".index", "method": "GET", "do": "cut"},
        {"contains": ".data-", "method": "GET", "do": "slow"},
    ],
    ids=lambda fault: f"{fault['do']} {fault['method']} {fault['contains']}",
)
def test_passing_troubles_pass(fault: dict[str, Any], store: ObjectStore, expected: dict[str, bytes]) -> None:
    store.reset(fault)
    tfbundle.halve(*_URLS)
    store.reset()
    assert _target(store) == expected


def test_source_that_may_not_be_read(store: ObjectStore, expected: dict[str, bytes]) -> None:
    status, errors = _halve(store, fault={"contains": ".data-", "method": "GET", "do": "403", "times": 10**6})
    assert status == 7
    assert errors.startswith(f"tfbundle: s3://{BUCKET}/{SOURCE}.data-00000-of-00001: Permission denied")
    assert errors.count("\n") == 1
    assert _target(store) == {}
