"""Checkpoints on a web server, which can only be read: ranges or none, faults, tokens and passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.remote.web import WebServer
from tfbundle.cli import main
from tfbundle.storage import remote_calls
from tfbundle.storage import web as web_storage

TENSORS: dict[str, Any] = {
    "a/kernel": np.arange(30_000, dtype=np.float32).reshape(300, 100),
    "b/kernel": np.ones(20_000, np.float32),
    "names": np.array([b"x", b"yz"], object),
    "step": np.int64(7),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_calls, "PAUSES_SECONDS", (0.0, 0.0, 0.0))


@pytest.fixture
def url(web: WebServer) -> str:
    """The prefix of a checkpoint on the server."""
    tfbundle.save(f"{web.directory}/m/model.ckpt-7", TENSORS)
    Path(web.directory, "m", "checkpoint").write_text('model_checkpoint_path: "model.ckpt-7"\n')
    web.log.clear()
    return f"{web.url}/m/model.ckpt-7"


def test_reading_what_is_wanted_and_nothing_else(web: WebServer, url: str) -> None:
    with tfbundle.open(url) as bundle:
        assert web.sent == Path(web.directory, "m", "model.ckpt-7.index").stat().st_size
        before = web.sent
        np.testing.assert_array_equal(bundle["b/kernel"], TENSORS["b/kernel"])
        assert web.sent - before == 80_000
        before = web.sent
        np.testing.assert_array_equal(bundle.read("a/kernel", where=slice(10, 12)), TENSORS["a/kernel"][10:12])
        assert web.sent - before == 800
    ranges = [wanted for method, place, wanted in web.log if method == "GET"]
    assert len(ranges) == 3
    assert all(ranges)


def test_all_tensors_in_one_request(web: WebServer, url: str) -> None:
    loaded = tfbundle.load(url)
    assert list(loaded) == sorted(TENSORS)
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(loaded[name], value)
    assert sum(method == "GET" and ".data-" in place for method, place, _ in web.log) == 1


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
def test_any_file_of_it_will_do(ending: str, url: str) -> None:
    with tfbundle.open(url + ending) as bundle:
        assert bundle.prefix == url


def test_directory_with_a_state_file(web: WebServer, url: str) -> None:
    assert tfbundle.latest(f"{web.url}/m") == url
    with tfbundle.open(f"{web.url}/m/") as bundle:
        assert bundle.prefix == url


def test_directory_that_cannot_be_listed(web: WebServer, url: str) -> None:
    Path(web.directory, "m", "checkpoint").unlink()
    with pytest.raises(tfbundle.BundleNotFoundError, match="cannot list others: give the prefix"):
        tfbundle.open(f"{web.url}/m/")
    with pytest.raises(tfbundle.BundleNotFoundError, match="cannot list others: give the prefix"):
        tfbundle.open(f"{web.url}/m")


def test_whole_conversion(web: WebServer, url: str, tmp_path: Path) -> None:
    tfbundle.halve(url, str(tmp_path / "remote"), options=tfbundle.RunOptions(jobs=2))
    tfbundle.halve(f"{web.directory}/m/model.ckpt-7", str(tmp_path / "local"))
    for name in ("index", "data-00000-of-00001"):
        assert (tmp_path / f"remote.{name}").read_bytes() == (tmp_path / f"local.{name}").read_bytes()


def test_salvage_without_a_listing(web: WebServer, url: str, tmp_path: Path) -> None:
    data = Path(web.directory, "m", "model.ckpt-7.data-00000-of-00001")
    data.write_bytes(b"?" + data.read_bytes()[1:])
    report = tfbundle.salvage(url, str(tmp_path / "saved"))
    assert [lost.tensor for lost in report.lost] == ["a/kernel"]
    assert sorted(tfbundle.load(str(tmp_path / "saved"))) == ["b/kernel", "names", "step"]


@pytest.mark.parametrize("verb", [["halve"], ["cast", "--to", "bfloat16"], ["merge"], ["average"], ["salvage"]])
def test_no_target(verb: list[str], web: WebServer, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [url, url + ".index"] if verb == ["average"] else [url]
    assert main([*verb[:1], *sources, f"{web.url}/out/model", *verb[1:]]) == 5
    captured = capsys.readouterr()
    assert captured.err == (
        f"tfbundle: {web.url}/out/model: a web server can be read from, not written to; choose another target\n"
    )
    assert web.log == []


def test_no_target_for_set_and_writers(web: WebServer, url: str, tmp_path: Path) -> None:
    with pytest.raises(tfbundle.UnsupportedError, match="not written to"):
        tfbundle.replace_tensor(url, "step", np.int64(8))
    with pytest.raises(tfbundle.UnsupportedError, match="not written to"):
        tfbundle.create(f"{web.url}/new")
    assert web.log == []


@pytest.mark.parametrize("faults", [[500], [503, 429], ["cut"], ["cut", "cut"], ["slow"], [502, "cut", 504]])
def test_passing_troubles_pass(faults: list[int | str], web: WebServer, url: str) -> None:
    web.faults = list(faults)
    np.testing.assert_array_equal(tfbundle.load(url, ["b/kernel"])["b/kernel"], TENSORS["b/kernel"])
    assert web.faults == []


@pytest.mark.parametrize(("fault", "expected"), [(503, "503"), ("cut", "ClientPayloadError|were asked for")])
def test_lasting_troubles_are_told(
    fault: int | str, expected: str, web: WebServer, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with tfbundle.open(url) as bundle:
        web.faults = [fault] * 100
        with pytest.raises(OSError, match=expected) as caught:
            bundle["b/kernel"]
        assert caught.value.filename == f"{url}.data-00000-of-00001"
        assert 100 - len(web.faults) == 4  # tries
    assert main(["show", url, "b/kernel"]) == 7
    assert capsys.readouterr().err.count("\n") == 1


def test_server_without_ranges(web: WebServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    web.has_ranges = False
    with tfbundle.open(url) as bundle:
        np.testing.assert_array_equal(bundle["b/kernel"], TENSORS["b/kernel"])
        before = web.sent
        np.testing.assert_array_equal(bundle["a/kernel"], TENSORS["a/kernel"])
        assert web.sent == before  # the small file is here already
    monkeypatch.setattr(web_storage, "WHOLE_NBYTES", 1000)
    with tfbundle.open(url) as bundle:
        before = web.sent
        with pytest.raises(tfbundle.UnsupportedError, match="sends whole files only"):
            bundle["b/kernel"]


def test_server_without_head(web: WebServer, url: str) -> None:
    web.has_head = False
    np.testing.assert_array_equal(tfbundle.load(url, ["step"])["step"], 7)


def test_file_that_is_replaced(web: WebServer, url: str) -> None:
    with tfbundle.open(url) as bundle:
        bundle["step"]
        data = Path(web.directory, "m", "model.ckpt-7.data-00000-of-00001")
        data.write_bytes(data.read_bytes())
        with pytest.raises(tfbundle.FormatError, match="changed while it was read"):
            bundle.check_unchanged()
