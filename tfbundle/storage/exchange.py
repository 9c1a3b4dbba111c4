"""Two names that change places in one moment, where the system can do that."""

from __future__ import annotations

import errno
import os
import sys

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNABLE = (
    errno.ENOSYS,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.EPERM,
)  # the last from sandboxes that do not know the call


def exchange(left: str, right: str) -> bool:
    """Let what is at two paths change places, directories and links too.

    Returns:
        Whether that is done; where the system or the file system cannot do it, nothing has changed.

    Raises:
        OSError: it failed, and nothing has changed.

    Source: ``renameat2(2)`` of Linux; Python has no call for it.
    """
    if sys.platform != "linux":
        return False
    try:
        import ctypes

        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (ImportError, OSError, AttributeError):  # a Python or a C library without it
        return False
    if not call(_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), _RENAME_EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), left, None, right)
