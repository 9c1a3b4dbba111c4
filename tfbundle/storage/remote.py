"""Files that a URL names, on whatever fsspec reaches: object stores, web servers, memory.

Objects have no temporary names, no renaming and no locks. They are read in ranges, and written from their first byte to
their last under the names they keep; what makes a set of them a bundle is written last.

Source: fsspec ``spec.py`` (``AbstractFileSystem``).
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tfbundle.errors import BundleNotFoundError, UnsupportedError
from tfbundle.storage import paths
from tfbundle.storage.base import Identity
from tfbundle.storage.credentials import Keyring
from tfbundle.storage.remote_calls import ShortResponseError, call, translate
from tfbundle.storage.remote_file import PIECE_NBYTES, Budget, Look, RemoteFile

if TYPE_CHECKING:
    from tfbundle.storage.remote_stage import RemoteStage, RemoteStagedFile

_Result = TypeVar("_Result")

_READ_ONLY = ("http", "https")
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs"}
_LOOK_SECONDS = 5.0  # how long what was found at a path serves to open it
_INSTALL = "pip install 'tfbundle[remote]'"
_VERSION_KEYS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "LastModified", "Last-Modified")
_TIME_KEYS = ("mtime", "modified", "updated", "last_modified", "created")


class RemoteStorage:
    """Everything that URLs name. Picklable; what is being written is known to the process that writes it alone."""

    def __init__(self) -> None:
        self._keyring = Keyring()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._filesystems: dict[tuple[int, str], Any] = {}
        self._budget = Budget()
        self._looks: dict[str, tuple[float, Look]] = {}  # at files that are about to be opened
        self._open: dict[str, tuple[Look, int]] = {}  # files that are, and how often
        self._staged: dict[str, RemoteStagedFile] = {}

    def __getstate__(self) -> Keyring:
        return self._keyring

    def __setstate__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._begin()

    def admit(self, path: str | os.PathLike[str]) -> str:
        """Return a URL without password and token, which are kept for where it leads."""
        return self._keyring.admit(os.fspath(path))

    def check_writable(self, path: str) -> None:
        """Refuse a place where nothing can be written.

        Raises:
            UnsupportedError: it is a web server.
        """
        if self._is_web(path):
            raise UnsupportedError("a web server can be read from, not written to; choose another target", path)

    def can_list(self, path: str) -> bool:
        """Tell whether directories can be listed there."""
        return not self._is_web(path)

    def open(self, path: str) -> RemoteFile:
        """Open a file for reading; one request at most."""
        with self._lock:
            known = self._open.get(path)
            found = self._looks.pop(path, None)
        if known is None and found is not None and time.monotonic() - found[0] < _LOOK_SECONDS:
            known = found[1], 0
        look = known[0] if known else self._look(path)
        if not look.is_file:
            raise UnsupportedError("not a regular file", path)
        if look.nbytes is None:
            raise UnsupportedError("the server does not tell the size of this file; download it first", path)
        fetch, nbytes = self._make_fetch(path, look.nbytes), look.nbytes
        with self._lock:
            self._open[path] = look, self._open.get(path, (look, 0))[1] + 1
        ahead = nbytes > PIECE_NBYTES and bool(getattr(self.filesystem(path), "async_impl", False))
        budget = self._budget if ahead else None
        return RemoteFile(path, look, fetch, lambda: self.identity(path), lambda: self._release(path), budget)

    def _release(self, path: str) -> None:
        with self._lock:
            look, count = self._open.pop(path)
            if count > 1:
                self._open[path] = look, count - 1

    def open_staged(self, path: str) -> RemoteStagedFile:
        """Return a file that this process is writing."""
        if path not in self._staged:
            raise UnsupportedError("only the process that began to write this file can go on", path)
        return self._staged[path]

    def keep_staged(self, path: str, file: RemoteStagedFile | None) -> None:
        """Let ``open_staged`` find a file, or no longer."""
        if file is None:
            self._staged.pop(path, None)
        else:
            self._staged[path] = file

    def absolute(self, path: str) -> str:
        """Return the URL, which is the same everywhere."""
        return path

    def replaces_at_once(self, path: str) -> bool:
        """Tell whether a file is seen only when it is complete: those of the large object stores are."""
        found = self.filesystem(path).protocol
        return bool(_OBJECT_STORES & {found, *(found if isinstance(found, (tuple, list)) else ())})

    def is_in_use(self, path: str) -> bool:
        """Return False: nobody can know."""
        return False

    def publishing_in(self, directory: str) -> contextlib.AbstractContextManager[None]:
        """Do nothing: there are no locks."""
        return contextlib.nullcontext()

    def hold(self, path: str) -> contextlib.AbstractContextManager[None]:
        """Do nothing: there are no locks."""
        return contextlib.nullcontext()

    def free_nbytes(self, path: str) -> int | None:
        """Return None: nobody knows."""
        return None

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at ``path``; what is found serves to open it soon after."""
        try:
            look = self._look(path)
        except BundleNotFoundError:
            return False
        with self._lock:
            self._looks[path] = time.monotonic(), look
        return True

    def identity(self, path: str) -> Identity | None:
        """Return what tells the content at ``path`` from any other; None if there is nothing."""
        with self._lock:
            found = self._looks.get(path)
        if found is not None and time.monotonic() - found[0] < _LOOK_SECONDS:
            return found[1].identity
        try:
            return self._look(path).identity
        except BundleNotFoundError:
            return None

    def is_directory(self, path: str) -> bool:
        """Tell whether ``path`` is a directory; on a web server, where nobody knows, whether it ends like one."""
        if self._is_web(path):
            return path.endswith("/")
        return bool(self.call(path, lambda filesystem, name: filesystem.isdir(name)))

    def is_same(self, left: str, right: str) -> bool:
        """Tell whether two URLs mean the same file."""
        if paths.protocol(left) != paths.protocol(right):
            return False
        return bool(self.name_of(left) == self.name_of(right))

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; none if it is none, or cannot be listed."""
        if self._is_web(path):
            return []
        try:
            found = self.call(path, lambda filesystem, name: filesystem.ls(name, detail=False))
        except (BundleNotFoundError, PermissionError):
            return []
        names = {os.path.basename(str(each).rstrip("/")) for each in found}
        return sorted(names - {""})

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        self.forget(path)
        with contextlib.suppress(BundleNotFoundError):
            self.call(path, lambda filesystem, name: filesystem.rm_file(name))

    def remove_empty_directory(self, path: str) -> None:
        """Do nothing: directories are not made."""

    def stage(self, *, replace: bool, staged: Mapping[str, str] | None = None) -> RemoteStage:
        """Start a set of files; none is ever left staged."""
        from tfbundle.storage.remote_stage import RemoteStage

        return RemoteStage(self, replace=replace)

    def forget(self, path: str) -> None:
        """Do not take what was found at a path for what is there now."""
        with self._lock:
            self._looks.pop(path, None)

    def nbytes_at(self, path: str) -> int | None:
        """Return the size of the file that is at ``path`` now.

        Raises:
            BundleNotFoundError: there is none.
        """
        return self._look(path).nbytes

    def filesystem(self, path: str) -> Any:
        """Return the file system that a URL is of.

        Raises:
            UnsupportedError: nothing that is installed reaches it.
        """
        protocol, _, rest = path.partition("://")
        key = os.getpid(), path if "::" in protocol else f"{protocol}://{rest.partition('/')[0]}"
        if key not in self._filesystems:
            self._filesystems[key] = self._connect(path, protocol)
        return self._filesystems[key]

    def _connect(self, path: str, protocol: str) -> Any:
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise UnsupportedError(f"{protocol}:// needs another package: {_INSTALL}", path) from None
        try:
            return url_to_fs(self._keyring.unlock(path), use_listings_cache=False)[0]
        except ImportError as error:
            remedy = f"{error}; {_INSTALL} and what it names"
            raise UnsupportedError(f"{protocol}:// needs another package: {remedy}", path) from None
        except ValueError as error:
            raise UnsupportedError(f"no such place for files: {self._keyring.hide(str(error))}", path) from None
        except Exception as error:
            raise translate(error, path, self._keyring.hide) from None

    def name_of(self, path: str) -> Any:
        """Return what the file system calls a file."""
        return self.filesystem(path)._strip_protocol(self._keyring.unlock(path))

    def call(self, path: str, function: Callable[[Any, Any], _Result]) -> _Result:
        """Call ``function(filesystem, name)`` for a path, again where that may help.

        Raises:
            BundleNotFoundError, OSError: it fails.
        """
        filesystem, name = self.filesystem(path), self.name_of(path)
        few = bool(getattr(filesystem, "retries", 0))
        return call(lambda: function(filesystem, name), path, few=few, hide=self._keyring.hide)

    def hide(self, text: str) -> str:
        """Return a text without credentials."""
        return self._keyring.hide(text)

    def _is_web(self, path: str) -> bool:
        return paths.protocol(path).rpartition("::")[2] in _READ_ONLY

    def _look(self, path: str) -> Look:
        info = self.call(path, lambda filesystem, name: filesystem.info(name))
        size = info.get("size")
        nbytes = None if size is None else int(size)
        return Look(nbytes, _identify(info, nbytes), info.get("type", "file") != "directory")

    def _make_fetch(self, path: str, nbytes: int) -> Callable[[int, int], bytes]:
        if self._is_web(path) and "::" not in paths.protocol(path):
            from tfbundle.storage.web import make_web_fetch

            return make_web_fetch(self, path, nbytes)

        def fetch(start: int, end: int) -> bytes:
            def ask(filesystem: Any, name: Any) -> bytes:
                return check_length(filesystem.cat_file(name, start=start, end=end), start, end)

            return self.call(path, ask) if end > start else b""

        return fetch


def check_length(data: bytes, start: int, end: int) -> bytes:
    """Return a response that has the bytes that were asked for.

    Raises:
        ShortResponseError: it has fewer, or more.
    """
    if len(data) != end - start:
        raise ShortResponseError(f"{end - start} bytes from {start} on were asked for, the server sent {len(data)}")
    return data


def _identify(info: Mapping[str, Any], nbytes: int | None) -> Identity:
    """Return a file's size and a number for what else tells its content from any other."""
    found = [info[key] for key in _VERSION_KEYS if info.get(key)] or [info[key] for key in _TIME_KEYS if info.get(key)]
    text = "|".join(each.isoformat() if isinstance(each, datetime.datetime) else str(each) for each in found)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (-1 if nbytes is None else nbytes), int.from_bytes(digest, "little")
