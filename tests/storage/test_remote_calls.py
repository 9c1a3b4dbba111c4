from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from tfbundle.errors import BundleNotFoundError, FormatError
from tfbundle.storage import remote_calls
from tfbundle.storage.remote_calls import ShortResponseError, call, call_once, to_the_end, translate

PATH = "s3://bucket/model.index"


class ClientError(Exception):
    """As botocore's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"An error occurred ({status})")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class ClientResponseError(Exception):
    """As aiohttp's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status}, message='', url='https://host/a?token=abc'")
        self.status = status


class HttpError(Exception):
    """As gcsfs's."""

    def __init__(self, code: int | str) -> None:
        super().__init__("no")
        self.code = code


class ServerDisconnectedError(Exception):
    """As aiohttp's."""


def _caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_calls, "PAUSES_SECONDS", (0.0, 0.0, 0.0))


def _failing(error: Exception, times: int) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []

    def function() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return function, calls


@pytest.mark.parametrize(
    "error",
    [
        ClientError(503),
        ClientResponseError(500),
        ClientResponseError(429),
        HttpError(502),
        HttpError("504"),
        ServerDisconnectedError(),
        ShortResponseError("less"),
        TimeoutError(),
        asyncio.TimeoutError(),
        ConnectionResetError(),
        OSError(errno.EBUSY, "slow down"),
        OSError(errno.EIO, "internal error"),
        _caused(FileNotFoundError("https://host"), ServerDisconnectedError()),
        _caused(FileNotFoundError("https://host"), ClientResponseError(503)),
    ],
    ids=repr,
)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    function, calls = _failing(error, 3)
    assert call(function, PATH) == "done"
    assert len(calls) == 4
    function, calls = _failing(error, 4)
    with pytest.raises(OSError, match=PATH) as caught:
        call(function, PATH)
    assert caught.value.filename == PATH
    assert caught.value.errno
    assert "\n" not in str(caught.value)
    assert len(calls) == 4
    function, calls = _failing(error, 1)
    with pytest.raises(OSError, match=PATH):
        call_once(function, PATH)
    function, calls = _failing(error, 2)
    with pytest.raises(OSError, match=PATH):
        call(function, PATH, few=True)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (FileNotFoundError("x"), BundleNotFoundError, "No such file or directory"),
        (_caused(FileNotFoundError("x"), KeyError("x")), BundleNotFoundError, "No such file or directory"),
        (_caused(FileNotFoundError("x"), ClientError(404)), BundleNotFoundError, "No such file or directory"),
        (ClientResponseError(410), BundleNotFoundError, "No such file or directory"),
        (PermissionError("Forbidden"), PermissionError, "Permission denied: PermissionError: Forbidden"),
        (ClientError(401), PermissionError, "Permission denied: status 401"),
        (_caused(FileNotFoundError("x"), ClientResponseError(403)), PermissionError, "Permission denied: status 403"),
        (HttpError(400), OSError, "status 400: no"),
        (RuntimeError("a\nb"), OSError, "RuntimeError: a"),
        (RuntimeError(), OSError, "RuntimeError"),
        (NotImplementedError("no ranges"), OSError, "NotImplementedError: no ranges"),
        (OSError(errno.ENOSPC, "full"), OSError, "OSError: full"),
    ],
    ids=repr,
)
def test_what_stays_is_told_at_once(error: Exception, kind: type[OSError], text: str) -> None:
    function, calls = _failing(error, 1)
    with pytest.raises(kind) as caught:
        call(function, PATH)
    assert len(calls) == 1
    assert text in str(caught.value.strerror)
    assert caught.value.filename == PATH
    assert caught.value.__suppress_context__


def test_memory_and_our_own_errors_pass_through() -> None:
    for error in (MemoryError(), FormatError("damaged")):
        function, _ = _failing(error, 1)
        with pytest.raises(type(error)):
            call(function, PATH)
        function, _ = _failing(error, 1)
        with pytest.raises(type(error)):
            call_once(function, PATH)


def test_no_credentials() -> None:
    found = translate(ClientResponseError(400), PATH)
    assert "abc" not in str(found)
    found = translate(RuntimeError("the key is xyz"), PATH, lambda text: text.replace("xyz", "***"))
    assert "xyz" not in str(found)
    assert len(str(translate(RuntimeError("x" * 10_000), PATH))) < 500


def test_interrupts_wait_for_the_end() -> None:
    done: list[str] = []

    def publish() -> None:
        time.sleep(0.3)
        done.append("all of it")

    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        to_the_end(publish)
    assert done == ["all of it"]
    timer.join()


def test_errors_of_what_was_called() -> None:
    with pytest.raises(OSError, match="full"):
        to_the_end(lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
