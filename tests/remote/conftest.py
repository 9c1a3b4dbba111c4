"""Servers and file systems, one of each for all tests that need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.remote.faulty import FaultyFileSystem
from tests.remote.stores import ObjectStore, running_store
from tests.remote.web import WebServer, running_web_server


@pytest.fixture(scope="session")
def _one_store() -> Iterator[ObjectStore]:
    with running_store() as store:
        yield store


@pytest.fixture
def store(_one_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An empty object store that this process, too, reaches by ``s3://``."""
    import fsspec

    for name, value in _one_store.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": _one_store.endpoint})
    _one_store.clear()
    yield _one_store
    _one_store.reset()


@pytest.fixture
def faulty() -> Iterator[type[FaultyFileSystem]]:
    """The file system that fails, empty."""
    FaultyFileSystem.clear()
    yield FaultyFileSystem
    FaultyFileSystem.clear()


@pytest.fixture
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A web server with an empty directory."""
    with running_web_server(str(tmp_path_factory.mktemp("web"))) as server:
        yield server
