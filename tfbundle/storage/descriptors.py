"""Open files of the local file system, and errors that name them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

MAX_CALL_NBYTES = 1 << 30  # the kernel moves at most 2 GiB less a page in one call


class OpenFile:
    """A file's path and descriptor."""

    _descriptor = -1  # until __init__ is done

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def close(self) -> None:
        """Release the descriptor; whatever the system says of it, it is gone then."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with named(self.path), contextlib.suppress(InterruptedError):
                os.close(descriptor)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.close()


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """Put the path into an OSError from a call that knows only a descriptor."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise
