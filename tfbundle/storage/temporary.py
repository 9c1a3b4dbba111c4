"""Names of files that are being written: ``<path>.tmp-<pid>-<random>``, the same ending for all files of one run.

They tell what an interrupted run left behind, whose files they were to become, and which belong together.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_MARK = re.compile(r"(.*?)\.tmp-([0-9]+-[0-9a-f]{8})(.*)\Z", re.DOTALL)


class Temporary(NamedTuple):
    """What the name of a temporary file says.

    Attributes:
        path: that the file was to have; of a file in a temporary copy of a bundle, the prefix that the copy was for.
        owner: process and random number of the run, the same for all its files.
        rest: what follows in the name of a file in a temporary copy, else empty.
    """

    path: str
    owner: str
    rest: str = ""


def new_owner() -> str:
    """Return an ending that no other run has."""
    return f"{os.getpid()}-{os.urandom(4).hex()}"


def temporary_path(path: str, owner: str) -> str:
    """Return where a file is written that will be at ``path``.

    Example:
        >>> temporary_path("model.index", "17-c0ffee00")
        'model.index.tmp-17-c0ffee00'
    """
    return f"{path}.tmp-{owner}"


def complete_directory(around: str) -> str:
    """Return where a directory is when it is complete, within one with a temporary name in which it is filled."""
    return os.path.join(around, "new")


def parse_temporary(path: str) -> Temporary | None:
    """Return what a temporary path says; None for any other path.

    Example:
        >>> parse_temporary("model.index.tmp-17-c0ffee00")
        Temporary(path='model.index', owner='17-c0ffee00', rest='')
    """
    directory, name = os.path.split(path)
    match = _MARK.match(name) if ".tmp-" in name else None
    return Temporary(os.path.join(directory, match[1]), match[2], match[3]) if match else None
