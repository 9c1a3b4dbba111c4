"""A directory that becomes visible as a whole: filled beside its place, in a directory with a temporary name.

There, ``part`` is what is being filled; it is called ``new`` when all of it is there and durable, and what it replaces
``old``. Whoever looks at the place sees the old directory or the new one, since the two change places in one moment.
Where the system cannot do that, the old one is moved away first: a run that is killed in that moment leaves both,
complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator

from tfbundle.errors import BundleExistsError
from tfbundle.storage.exchange import exchange
from tfbundle.storage.local import LocalStorage
from tfbundle.storage.lock import hold, publishing_in, sync_directory
from tfbundle.storage.temporary import complete_directory, new_owner, temporary_path

_exists = LocalStorage().exists


class DirectoryStage:
    """A directory that is being filled.

    Args:
        path: where it will be.
        replace: whether it may take the place of another directory.
    """

    def __init__(self, path: str, *, replace: bool) -> None:
        self._target = path.rstrip(os.sep) or os.sep
        self._replace = replace
        self.around = temporary_path(self._target, new_owner())
        """The directory with the temporary name, within which it is filled."""
        self.path, self._old = (os.path.join(self.around, name) for name in ("part", "old"))
        self._new = complete_directory(self.around)
        self._made_directories: list[str] = []

    def create(self) -> None:
        """Make the empty directory, and those around it that are missing."""
        missing = []
        parent = os.path.dirname(self.around)
        while parent and not os.path.isdir(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        for directory in reversed(missing):
            self._made_directories.append(directory)
            os.mkdir(directory)
        os.mkdir(self.around)
        os.mkdir(self.path)

    def publish(self) -> None:
        """Make what is in the directory durable, then visible.

        Raises:
            BundleExistsError: something else is there by now, or what is there is no directory.
            OSError: it failed; or it is done, and what was there before cannot be removed.
        """
        for directory, _, _ in os.walk(self.path):
            sync_directory(directory)
        os.rename(self.path, self._new)
        sync_directory(self.around)
        with publishing_in(os.path.dirname(self._target)):
            if not self._take_turns():
                move_into_place(self._new, self._target)
        self._remove_rest()
        self._made_directories.clear()

    def _take_turns(self) -> bool:
        """Exchange the new directory for the old one; where that cannot be done, move the old one away, if any."""
        if not (self._replace and _exists(self._target)):
            return False
        if exchange(self._new, self._target):
            sync_directory(os.path.dirname(self._target))
            return True
        os.rename(self._target, self._old)
        return False

    def _remove_rest(self) -> None:
        try:
            if _exists(self._new):  # which is the old one now, and soon not all of it
                os.rename(self._new, self._old)
            shutil.rmtree(self.around)
        except OSError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # after which rmtree closes twice, up to Python 3.12
                raise error.__context__ from None
            state = f"{self._target} is complete, but {self.around} may be left; tfbundle verify --finish removes it"
            raise OSError(error.errno, f"{error.strerror}; {state}", self.around) from error

    def discard(self) -> None:
        """Remove what was not published; or publish it if the old directory has left its place already."""
        with contextlib.suppress(OSError):  # then both stay where they are, complete
            if _exists(self._old) and not _exists(self._target):
                os.rename(self._new if _exists(self._new) else self._old, self._target)
            shutil.rmtree(self.around, ignore_errors=True)
        for directory in reversed(self._made_directories):
            with contextlib.suppress(OSError):  # somebody else put a file there, or it is published
                os.rmdir(directory)


def move_into_place(path: str, target: str) -> None:
    """Rename a directory to where nothing is, or an empty directory, and make that durable.

    Raises:
        BundleExistsError: something else is there.
    """
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        reason = "appeared while its replacement was written; nothing was changed"
        raise BundleExistsError(reason, target) from None
    sync_directory(os.path.dirname(target))


def list_all(path: str) -> list[str]:
    """Return the names in a directory.

    Raises:
        OSError: nobody can tell; ``Storage.list_directory`` returns none then.
    """
    return os.listdir(path)


def remove_directory(path: str) -> None:
    """Remove a directory, and all that is in it, if it is there."""
    if os.path.isdir(path):
        shutil.rmtree(path)


@contextlib.contextmanager
def staged_directory(path: str, *, replace: bool) -> Iterator[DirectoryStage]:
    """Give a new directory that is discarded when the block is left before ``publish``."""
    stage = DirectoryStage(path, replace=replace)
    with contextlib.ExitStack() as mark:
        try:
            stage.create()
            mark.enter_context(hold(stage.around))  # until all is removed, too
            yield stage
        finally:
            stage.discard()
