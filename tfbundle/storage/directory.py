"""A directory that becomes visible as a whole: filled beside its place under a temporary name, then renamed.

Where another directory is in its place, that one is renamed first and removed at last: whoever looks sees the old one,
for a moment none, or the new one. A run that is killed in that moment leaves both beside the place, complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator

from tfbundle.errors import BundleExistsError
from tfbundle.storage.lock import publishing_in, sync_directory
from tfbundle.storage.temporary import new_owner, temporary_path

_OLD = "-old"


class DirectoryStage:
    """A directory that is being filled.

    Args:
        path: where it will be.
        replace: whether it may take the place of another directory.
    """

    def __init__(self, path: str, *, replace: bool) -> None:
        self._target = path.rstrip(os.sep) or os.sep
        self._replace = replace
        self.path = temporary_path(self._target, new_owner())
        """Where it is filled."""
        self._old = self.path + _OLD
        self._made_directories: list[str] = []

    def create(self) -> None:
        """Make the empty directory, and those around it that are missing."""
        missing = []
        parent = os.path.dirname(self.path)
        while parent and not os.path.isdir(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        for directory in reversed(missing):
            self._made_directories.append(directory)
            os.mkdir(directory)
        os.mkdir(self.path)

    def publish(self) -> None:
        """Make what is in the directory durable, then visible.

        Raises:
            BundleExistsError: something else is there by now, or what is there is no directory.
        """
        for directory, _, _ in os.walk(self.path):
            sync_directory(directory)
        with publishing_in(os.path.dirname(self._target)):
            if self._replace and os.path.lexists(self._target):
                os.rename(self._target, self._old)
            self._take_place()
        self._remove_old()
        self._made_directories.clear()

    def _take_place(self) -> None:
        try:
            os.rename(self.path, self._target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            reason = "appeared while its replacement was written; nothing was changed"
            raise BundleExistsError(reason, self._target) from None
        sync_directory(os.path.dirname(self._target))

    def discard(self) -> None:
        """Remove what was not published; or publish it if the old directory has left its place already."""
        if os.path.lexists(self._old) and not os.path.lexists(self._target):
            with contextlib.suppress(OSError):  # then both stay where they are, complete
                os.rename(self.path if os.path.isdir(self.path) else self._old, self._target)
        if os.path.lexists(self._target):
            with contextlib.suppress(OSError):
                self._remove_old()
        if not os.path.lexists(self._old):
            shutil.rmtree(self.path, ignore_errors=True)
        for directory in reversed(self._made_directories):
            with contextlib.suppress(OSError):  # somebody else put a file there, or it is published
                os.rmdir(directory)

    def _remove_old(self) -> None:
        if os.path.islink(self._old) or os.path.isfile(self._old):
            os.unlink(self._old)
        elif os.path.isdir(self._old):
            shutil.rmtree(self._old)


@contextlib.contextmanager
def staged_directory(path: str, *, replace: bool) -> Iterator[DirectoryStage]:
    """Give a new directory that is discarded when the block is left before ``publish``."""
    stage = DirectoryStage(path, replace=replace)
    try:
        stage.create()
        yield stage
    finally:
        stage.discard()
