"""Paths of files, be they of the operating system or URLs: taken apart and put together as ``os.path`` does.

A URL is what has ``://`` after its protocol, or after a chain of protocols such as ``simplecache::s3``.
"""

from __future__ import annotations

import os
import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::[A-Za-z][A-Za-z0-9+.-]*)*://")
_SEPARATOR = "/"


def is_url(path: str) -> bool:
    """Tell whether a path is a URL; no file of the operating system is meant by it.

    Example:
        >>> is_url("s3://bucket/model.ckpt-7"), is_url("/models/model.ckpt-7")
        (True, False)
    """
    return "://" in path and _URL.match(path) is not None


def protocol(url: str) -> str:
    """Return what stands before ``://``."""
    return url.partition("://")[0]


def split(path: str) -> tuple[str, str]:
    """Return the directory and the last name of a path.

    Example:
        >>> split("s3://bucket/dir/model.ckpt-7"), split("memory://model")
        (('s3://bucket/dir', 'model.ckpt-7'), ('memory://', 'model'))
    """
    if not is_url(path):
        return os.path.split(path)
    start, _, rest = path.partition("://")
    directory, _, name = rest.rpartition(_SEPARATOR)
    return f"{start}://{directory.rstrip(_SEPARATOR)}", name


def dirname(path: str) -> str:
    """Return the directory of a path."""
    return split(path)[0]


def basename(path: str) -> str:
    """Return the last name of a path."""
    return split(path)[1]


def join(path: str, *names: str) -> str:
    """Return the path of a name in a directory; a name that is a path from the root on, or a URL, replaces it.

    Example:
        >>> join("s3://bucket/dir", "model"), join("memory://", "model"), join("dir", "gs://bucket/model")
        ('s3://bucket/dir/model', 'memory://model', 'gs://bucket/model')
    """
    for name in names:
        if is_url(name):
            path = name
        elif is_url(path):
            path = f"{path if path.endswith(_SEPARATOR) else path + _SEPARATOR}{name}"
        else:
            path = os.path.join(path, name)
    return path


def parent(path: str) -> str:
    """Return the directory around a directory; of a path of the operating system, with ``..`` at its end."""
    return dirname(path.rstrip(_SEPARATOR)) if is_url(path) else os.path.join(path, os.pardir)


def is_absolute(path: str) -> bool:
    """Tell whether a path is one whatever the current directory is."""
    return is_url(path) or os.path.isabs(path)


def ends_as_directory(path: str) -> bool:
    """Tell whether a path can only be that of a directory."""
    return path.endswith(_SEPARATOR if is_url(path) else os.sep)


def strip_end(path: str) -> str:
    """Return the path of a directory without separators at its end; a root stays.

    Example:
        >>> strip_end("s3://bucket/dir/"), strip_end("/"), strip_end("memory://")
        ('s3://bucket/dir', '/', 'memory://')
    """
    if is_url(path):
        start, _, rest = path.partition("://")
        return f"{start}://{rest.rstrip(_SEPARATOR)}"
    return path.rstrip(os.sep) or os.sep


def normalize(path: str) -> str:
    """Return a path without detours; a URL as it is."""
    return path if is_url(path) else os.path.normpath(path)


def resolve(path: str) -> str:
    """Return a path past all symbolic links, which URLs have none of."""
    return path.rstrip(_SEPARATOR) if is_url(path) else os.path.realpath(path)
