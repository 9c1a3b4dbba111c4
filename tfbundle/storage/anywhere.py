"""The storage that every path belongs to: the local file system, or what a URL names.

What reaches URLs is imported when the first one comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tfbundle.storage import paths
from tfbundle.storage.base import Identity, ReadableFile, Stage, StagedFile, Storage
from tfbundle.storage.local import LocalStorage

if TYPE_CHECKING:
    from tfbundle.storage.remote import RemoteStorage

_LOCAL = ("file://", "local://")


def _do_nothing() -> None:
    """Do nothing."""


class Anywhere:
    """Files on this machine and elsewhere, by their paths. Picklable.

    Example:
        >>> Anywhere().exists("no/such/file")
        False
    """

    def __init__(self) -> None:
        self._local = LocalStorage()
        self._remote: RemoteStorage | None = None

    def at(self, path: str) -> Storage:
        """Return the storage that a path belongs to."""
        if not paths.is_url(path):
            return self._local
        if self._remote is None:
            from tfbundle.storage.remote import RemoteStorage

            self._remote = RemoteStorage()
        return self._remote

    def admit(self, path: str | os.PathLike[str]) -> str:
        """Return a path as text, without credentials if it is a URL; these are kept for its files."""
        text = os.fspath(path)
        for start in _LOCAL:
            if text.startswith(start):
                return text.removeprefix(start)
        return self.at(text).admit(text)

    def check_writable(self, path: str) -> None:
        """Refuse a place where nothing can be written."""
        self.at(path).check_writable(path)

    def can_list(self, path: str) -> bool:
        """Tell whether directories can be listed there."""
        return self.at(path).can_list(path)

    def open(self, path: str) -> ReadableFile:
        """Open a file for reading."""
        return self.at(path).open(path)

    def open_staged(self, path: str) -> StagedFile:
        """Open a staged file again."""
        return self.at(path).open_staged(path)

    def absolute(self, path: str) -> str:
        """Return the path by which a worker elsewhere opens the same file."""
        return self.at(path).absolute(path)

    def replaces_at_once(self, path: str) -> bool:
        """Tell whether a file that is written there takes the place of another in one moment."""
        return self.at(path).replaces_at_once(path)

    def is_in_use(self, path: str) -> bool:
        """Tell whether somebody still writes a staged file."""
        return self.at(path).is_in_use(path)

    def publishing_in(self, directory: str) -> AbstractContextManager[None]:
        """Let nobody publish in a directory while the block runs, where that can be had."""
        return self.at(directory).publishing_in(directory)

    def hold(self, path: str) -> AbstractContextManager[None]:
        """Let a file count as in use while the block runs."""
        return self.at(path).hold(path)

    def free_nbytes(self, path: str) -> int | None:
        """Return how many bytes can be written at ``path``; None where that is not known."""
        return self.at(path).free_nbytes(path)

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at ``path``."""
        return self.at(path).exists(path)

    def identity(self, path: str) -> Identity | None:
        """Return what tells the file at ``path`` from any other; None if there is none."""
        return self.at(path).identity(path)

    def is_directory(self, path: str) -> bool:
        """Tell whether ``path`` is a directory."""
        return self.at(path).is_directory(path)

    def is_same(self, left: str, right: str) -> bool:
        """Tell whether two paths lead to the same existing file."""
        return paths.is_url(left) == paths.is_url(right) and self.at(left).is_same(left, right)

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        return self.at(path).list_directory(path)

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        self.at(path).remove(path)

    def remove_empty_directory(self, path: str) -> None:
        """Remove a directory if it is there and empty."""
        self.at(path).remove_empty_directory(path)

    def stage(self, *, replace: bool, staged: Mapping[str, str] | None = None) -> Stage:
        """Start a set of files, all in one place, which the first of them tells."""
        return _StageSomewhere(self, replace=replace, staged=staged)


class _StageSomewhere:
    """A stage of the storage that its first file belongs to."""

    def __init__(self, storage: Anywhere, *, replace: bool, staged: Mapping[str, str] | None) -> None:
        self._storage = storage
        self._replace = replace
        self._staged = staged
        self._stage: Stage | None = None

    def _at(self, path: str) -> Stage:
        if self._stage is None:
            self._stage = self._storage.at(path).stage(replace=self._replace, staged=self._staged)
        return self._stage

    def foresee(self, last: str) -> None:
        """Prepare for the file that will be published last."""
        self._at(last).foresee(last)

    def create(self, path: str) -> StagedFile:
        """Start a file that ``publish`` will put at ``path``."""
        return self._at(path).create(path)

    def link(self, source: str, path: str) -> None:
        """Let ``publish`` put another name of ``source`` at ``path``."""
        self._at(path).link(source, path)

    def publish(self, last: str, *, clean_up: Callable[[], None] = _do_nothing) -> None:
        """Make every staged file visible, the one at ``last`` after all others."""
        self._at(last).publish(last, clean_up=clean_up)

    def publish_over(
        self, last: str, *, check: Callable[[], None] = _do_nothing, clean_up: Callable[[], None] = _do_nothing
    ) -> None:
        """Make every staged file visible, the one at ``last`` in place of another."""
        self._at(last).publish_over(last, check=check, clean_up=clean_up)

    def discard(self) -> None:
        """Remove whatever is staged and not published."""
        if self._stage is not None:
            self._stage.discard()
