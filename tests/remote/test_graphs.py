"""Checkpoints elsewhere, converted with their graphs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tfbundle
from tests.conversion.test_graphs import restored, write_meta, write_saved_model
from tests.graph.test_constants import constant
from tests.remote.stores import BUCKET, ObjectStore
from tests.remote.web import WebServer
from tfbundle.errors import BundleExistsError, UnsupportedError
from tfbundle.pb import message_class
from tfbundle.streaming.run import RunOptions


@pytest.fixture
def memory() -> Any:
    """Give the store of fsspec in this process, empty."""
    import fsspec

    files = fsspec.filesystem("memory")
    yield files
    if files.exists("/g"):
        files.rm("/g", recursive=True)


def upload(files: Any, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            files.pipe(f"/g/{path.relative_to(folder)}", path.read_bytes())


def test_meta_goes_with_its_checkpoint(memory: Any, tmp_path: Path) -> None:
    write_meta(tmp_path / "in")
    upload(memory, tmp_path / "in")
    report = tfbundle.halve("memory://g/model", "memory://g/half")
    assert report.graph is not None
    assert report.graph.target == "memory://g/half.meta"
    (tmp_path / "half.meta").write_bytes(memory.cat("/g/half.meta"))
    assert restored(tmp_path / "half.meta") == [19, 19]


def test_saved_model_comes_to_this_machine(memory: Any, tmp_path: Path) -> None:
    source = write_saved_model(tmp_path / "model")
    upload(memory, source)
    tfbundle.halve("memory://g", tmp_path / "half")
    tfbundle.halve(source, tmp_path / "same")
    for name in ("saved_model.pb", "assets/inner/words.txt", "variables/variables.index"):
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "same" / name).read_bytes()


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_saved_model_goes_to_a_store(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    client = store.client()
    source = write_saved_model(tmp_path / "model")
    tfbundle.halve(source, tmp_path / "half")
    expected = files_of(tmp_path / "half")
    assert "assets/inner/words.txt" in expected

    def stored(prefix: str) -> dict[str, bytes]:
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
        keys = [each["Key"] for each in listed]
        return {key[len(prefix) + 1 :]: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    report = tfbundle.halve(source, f"s3://{BUCKET}/half")
    assert report.target == f"s3://{BUCKET}/half"
    assert report.graph is not None
    assert report.graph.target == f"s3://{BUCKET}/half/saved_model.pb"
    assert stored("half") == expected
    with pytest.raises(BundleExistsError, match=f"s3://{BUCKET}/half: exists already"):
        tfbundle.halve(source, f"s3://{BUCKET}/half")
    for name in ("assets/old.txt", "fingerprint.pb", "variables/variables.data-00001-of-00002"):
        client.put_object(Bucket=BUCKET, Key=f"half/{name}", Body=b"old")
    with ThreadPoolExecutor(2) as executor:
        options = RunOptions(if_exists="replace", executor=executor)
        tfbundle.halve(source, f"s3://{BUCKET}/half", options=options)
    assert stored("half") == expected
    client.put_object(Bucket=BUCKET, Key="half/mine", Body=b"mine")
    with pytest.raises(BundleExistsError, match="has what no SavedModel has: mine"):
        tfbundle.halve(source, f"s3://{BUCKET}/half", options=RunOptions(if_exists="replace"))
    tfbundle.halve(f"s3://{BUCKET}/half", f"s3://{BUCKET}/again")
    assert stored("again") == expected


def test_saved_model_and_web_servers(web: WebServer, tmp_path: Path) -> None:
    source = write_saved_model(Path(web.directory) / "model")
    with pytest.raises(UnsupportedError, match="directories that can be listed; --graph leave"):
        tfbundle.halve(f"{web.url}/model/saved_model.pb", tmp_path / "half")
    assert source.exists()


def test_frozen_graph(memory: Any, tmp_path: Path) -> None:
    message = message_class("GraphDef")(node=[constant("w", (100,), bytes(400))])
    memory.pipe("/g/in.pb", message.SerializeToString())
    for options in (RunOptions(), RunOptions(if_exists="replace")):
        report = tfbundle.halve("memory://g/in.pb", "memory://g/half.pb", options=options)
        assert report.graph is not None
        assert memory.info("/g/half.pb")["size"] == report.graph.target_nbytes


def test_executor_uploads_the_checkpoint_beside_its_graph(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    client = store.client()
    client.create_bucket(Bucket="graphs")
    source = write_meta(tmp_path)
    with ThreadPoolExecutor(2) as executor:
        tfbundle.halve(source, "s3://graphs/half", options=RunOptions(executor=executor))
        tfbundle.halve(source, tmp_path / "half", options=RunOptions(executor=executor))
    for suffix in (".meta", ".index", ".data-00000-of-00001"):
        found = client.get_object(Bucket="graphs", Key=f"half{suffix}")["Body"].read()
        assert found == Path(f"{tmp_path / 'half'}{suffix}").read_bytes()
    assert not [name for name in os.listdir(tmp_path) if ".tmp-" in name]
