"""Ranges of files on web servers, some of which send whole files only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tfbundle.errors import UnsupportedError
from tfbundle.storage.remote_calls import translate

if TYPE_CHECKING:
    from tfbundle.storage.remote import RemoteStorage

WHOLE_NBYTES = 16 << 20
"""The largest file that is fetched whole from a server that does not serve ranges."""

_NO_RANGES = "the web server sends whole files only (no Range requests), and this one is too large; download it first"


def make_web_fetch(storage: RemoteStorage, path: str, nbytes: int) -> Callable[[int, int], bytes]:
    """Return a function that fetches a range of a file, of a small one from a server without ranges too.

    Never is more taken from the server than was asked for, but for such a file.
    """
    whole: list[bytes] = []

    def fetch(start: int, end: int) -> bytes:
        if end <= start:
            return b""
        if whole:
            return whole[0][start:end]
        try:
            return storage.call(path, lambda filesystem, name: _ask(filesystem, name, start, end, nbytes))
        except _NoRangesError:
            if nbytes > WHOLE_NBYTES:
                raise UnsupportedError(_NO_RANGES, path) from None
        whole.append(storage.call(path, lambda filesystem, name: _ask(filesystem, name, 0, nbytes, nbytes)))
        return whole[0][start:end]

    return fetch


class _NoRangesError(UnsupportedError):
    """The server sends more than was asked for."""


def _ask(filesystem: Any, name: str, start: int, end: int, nbytes: int) -> bytes:
    from tfbundle.storage.remote import check_length

    with filesystem.open(name, "rb", block_size=end - start, cache_type="none", size=nbytes) as file:
        try:
            data = file._fetch_range(start, end)
        except ValueError as error:
            if "range requests" in str(error):
                raise _NoRangesError(_NO_RANGES) from None
            raise translate(error, name) from None
    return check_length(data, start, end)
