"""Patterns of file names as TensorFlow's local file system has them.

``*`` and ``?`` do not match a ``/`` and do match a leading dot; ``[...]`` is a set of characters, and a backslash takes
the next character as it is. Names come in the order in which the system lists them.

Source: TensorFlow ``core/platform/file_system_helper.cc`` (``GetMatchingPaths``), ``tsl/platform/file_system.cc``.
"""

from __future__ import annotations

import os
import re

from tfbundle.compat.op_errors import UnimplementedError
from tfbundle.errors import escape

_SPECIAL = re.compile(r"[*?\[\\]")
_SCHEME = re.compile(r"([a-zA-Z][0-9a-zA-Z.]*)://")
_TOKEN = re.compile(r"\\(?P<plain>.)|\[(?P<negated>[!^]?)(?P<set>\]?[^\]]*)\]|(?P<other>.)", re.DOTALL)
_OPERATORS = {"*": "[^/]*", "?": "[^/]"}


def local_path(path: str) -> str:
    """Return a path without the scheme ``file://``.

    Raises:
        UnimplementedError: it has the scheme of another file system.

    Example:
        >>> local_path("file:///tmp/model")
        '/tmp/model'
    """
    match = _SCHEME.match(path)
    if match is None:
        return path
    if match[1] != "file":
        text = f"File system scheme '{match[1]}' not implemented (file: '{escape(path)}')"
        raise UnimplementedError(None, None, text)
    rest = path[match.end() :]
    return rest[rest.find("/") :] if "/" in rest else ""


def glob_paths(pattern: str) -> list[str]:
    """Return the paths that match a pattern; a path without special characters matches itself if it is there.

    Raises:
        UnimplementedError: it is on another kind of file system.

    Example:
        >>> glob_paths("no/such/*")
        []
    """
    pattern = local_path(pattern)
    special = _SPECIAL.search(pattern)
    if special is None:
        return [pattern] if _exists(pattern) else []
    directory = os.path.dirname(pattern[: special.start()])
    parts = [part for part in pattern[len(directory) :].split("/") if part]
    found = [directory or "."]
    for number, part in enumerate(parts, 1):
        matches = re.compile(_translate(part), re.DOTALL).fullmatch
        found = [os.path.join(folder, name) for folder in found for name in _list(folder) if matches(name)]
        if number < len(parts):
            found = [path for path in found if os.path.isdir(path)]
    return found


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)
    except ValueError:  # a NUL in the path
        return False


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError):
        return []


def _translate(part: str) -> str:
    """Return the regular expression for the name of one level."""
    return "".join(map(_translate_token, _TOKEN.finditer(part)))


def _translate_token(token: re.Match[str]) -> str:
    if token["plain"] is not None:
        return re.escape(token["plain"])
    if token["set"] is not None:
        members = re.sub(r"([\\\[\]^&~|])", r"\\\1", token["set"])
        return f"[{'^' if token['negated'] else ''}{members}]"
    return _OPERATORS.get(token["other"]) or re.escape(token["other"])
