"""Errors of the operating system as TensorFlow's.

Source: TensorFlow ``tsl/platform/default/posix_file_system.cc``, ``absl/status/status.cc`` (``ErrnoToStatusCode``).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tfbundle.compat import op_errors
from tfbundle.errors import escape

_CLASSES = {
    errno.ENOENT: op_errors.NotFoundError,
    errno.EEXIST: op_errors.AlreadyExistsError,
    errno.EACCES: op_errors.PermissionDeniedError,
    errno.EPERM: op_errors.PermissionDeniedError,
    errno.EROFS: op_errors.PermissionDeniedError,
    errno.EINVAL: op_errors.InvalidArgumentError,
    errno.ENAMETOOLONG: op_errors.InvalidArgumentError,
    errno.EISDIR: op_errors.FailedPreconditionError,
    errno.ENOTDIR: op_errors.FailedPreconditionError,
    errno.ENOTEMPTY: op_errors.FailedPreconditionError,
    errno.EBUSY: op_errors.FailedPreconditionError,
    errno.ENOSPC: op_errors.ResourceExhaustedError,
    errno.EDQUOT: op_errors.ResourceExhaustedError,
    errno.EMFILE: op_errors.ResourceExhaustedError,
    errno.ENFILE: op_errors.ResourceExhaustedError,
}


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise an OSError about a path as the error that TensorFlow has for it."""
    try:
        yield
    except OSError as error:
        kind = _CLASSES.get(error.errno or 0, op_errors.UnknownError)
        raise kind(None, None, f"{escape(path)}; {os.strerror(error.errno or 0)}") from error
