"""Calls of a remote file system: tried again where that may help, and their errors made those of this package.

What a file system raises depends on who wrote it and for which service, so that errors are told by what they have in
common: Python's own classes, status codes of HTTP, and the names of classes that only these packages have.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tfbundle.errors import BundleError, BundleNotFoundError, mask_credentials

_Result = TypeVar("_Result")

PAUSES_SECONDS = (0.25, 0.5, 1.0, 2.0)
"""How long to wait before a call is tried again, each time."""

_FEW_PAUSES = 1  # where the file system itself tries again
_BUSY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
_BUSY_ERRNOS = (errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE, errno.EIO)
_BROKEN_OFF = re.compile(
    r"ClientPayloadError|ServerDisconnected|ClientConnection|ClientConnector|ClientOSError|IncompleteRead"
    r"|ResponseStreamingError|EndpointConnection|ConnectionClosed|ConnectionError|Timeout"
)
_MOST_CHARACTERS = 300
_DENIED = (401, 403)
_ABSENT = (404, 410)


class ShortResponseError(OSError):
    """A response that ends too early."""


def call(function: Callable[[], _Result], path: str, *, few: bool = False, hide: Callable[[str], str] = str) -> _Result:
    """Call a function of a file system, again and again where that may help.

    Args:
        function: what to call; calling it twice does no harm.
        path: of the file, for errors.
        few: whether the file system has tried again itself.
        hide: takes credentials out of a text.

    Raises:
        BundleNotFoundError: no such file.
        OSError: anything else.
    """
    pauses = PAUSES_SECONDS[:_FEW_PAUSES] if few else PAUSES_SECONDS
    for pause in pauses:
        try:
            return function()
        except BundleError:
            raise
        except Exception as error:
            if not _may_pass(error):
                raise translate(error, path, hide) from None
        time.sleep(pause)
    return call_once(function, path, hide=hide)


def call_once(function: Callable[[], _Result], path: str, *, hide: Callable[[str], str] = str) -> _Result:
    """Call a function of a file system that must not be called twice.

    Raises:
        BundleNotFoundError, OSError: as ``call``.
    """
    try:
        return function()
    except BundleError:
        raise
    except Exception as error:
        raise translate(error, path, hide) from None  # what it says itself may hold credentials


def to_the_end(function: Callable[[], None]) -> None:
    """Call a function that must not be left half-way: an interrupt is raised when it is done.

    A request cannot be called back: if whoever waits for it goes away, it may still be carried out later.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    interrupt: KeyboardInterrupt | None = None
    with ThreadPoolExecutor(1, "tfbundle-publish") as executor:
        future = executor.submit(function)
        while not future.done():
            try:
                wait([future])
            except KeyboardInterrupt as found:  # noqa: PERF203 - goes on waiting
                interrupt = found
    future.result()
    if interrupt is not None:
        raise interrupt


def translate(error: Exception, path: str, hide: Callable[[str], str] = str) -> Exception:
    """Return the error that this package raises for one of a file system: one line, with the path, no credentials."""
    error = _unwrap(error)
    if isinstance(error, (MemoryError, NotImplementedError)) and not isinstance(error, OSError):
        return error if isinstance(error, MemoryError) else OSError(errno.ENOTSUP, _describe(error, hide), path)
    status = _status(error)
    is_absent = isinstance(error, (FileNotFoundError, NotADirectoryError)) and status is None
    if is_absent or status in _ABSENT:
        return BundleNotFoundError("No such file or directory", path)
    if isinstance(error, PermissionError) or status in _DENIED:
        return PermissionError(errno.EACCES, f"Permission denied: {_describe(error, hide)}", path)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return TimeoutError(errno.ETIMEDOUT, f"the server did not answer in time: {_describe(error, hide)}", path)
    number = error.errno if isinstance(error, OSError) else None
    return OSError(number or errno.EIO, _describe(error, hide), path)


def _describe(error: Exception, hide: Callable[[str], str]) -> str:
    """Return what an error says, in one line without credentials."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = said.strip().splitlines()
    text = mask_credentials(hide(lines[0].strip() if lines else ""))[:_MOST_CHARACTERS]
    status = _status(error)
    name = f"status {status}" if status else type(error).__name__
    return f"{name}: {text}" if text else name


def _may_pass(error: Exception) -> bool:
    """Tell whether trying again may help: the server is busy, or the connection broke off."""
    error = _unwrap(error)
    status = _status(error)
    if status is not None:
        return status in _BUSY_STATUSES
    if isinstance(error, (FileNotFoundError, PermissionError, NotImplementedError)):
        return False
    if isinstance(error, (TimeoutError, ConnectionError, ShortResponseError)):
        return True
    if isinstance(error, OSError) and error.errno in _BUSY_ERRNOS:
        return True
    return _is_broken_off(error)


def _is_broken_off(error: BaseException) -> bool:
    return any(_BROKEN_OFF.search(kind.__name__) for kind in type(error).__mro__)


def _unwrap(error: Exception) -> Exception:
    """Return what is behind an error: fsspec says of every server that does not answer that the file is missing."""
    cause = error.__cause__
    is_hidden = isinstance(error, FileNotFoundError) and isinstance(cause, Exception) and _is_broken_off(cause)
    return cause if is_hidden and isinstance(cause, Exception) else error


def _status(error: BaseException) -> int | None:
    """Return the status of HTTP that an error, or what caused it, tells of; none where the connection broke off."""
    if _is_broken_off(error):
        return None
    for each in _causes(error):
        for found in _iter_statuses(each):
            if isinstance(found, (int, str)) and str(found).isdecimal() and 400 <= int(found) < 600:
                return int(found)
    return None


def _iter_statuses(error: BaseException) -> Iterator[object]:
    """Yield what may be a status: of aiohttp, requests, botocore, and the packages of other services."""
    yield getattr(error, "status", None)
    response = getattr(error, "response", None)
    yield getattr(response, "status_code", None)
    if isinstance(response, dict):
        yield response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    yield getattr(error, "status_code", None)
    if not hasattr(error, "status"):  # aiohttp warns of the other name for it
        yield getattr(error, "code", None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    for _ in range(4):
        if each is None:
            return
        yield each
        each = each.__cause__
