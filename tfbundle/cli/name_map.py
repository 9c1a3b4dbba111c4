"""The file that ``--map`` names: a JSON object of new names by saved names."""

from __future__ import annotations

import json
import os
from collections import Counter

_MOST_NBYTES = 256 << 20


def read_name_map(path: str) -> dict[str, str]:
    """Read new names by saved names; a pipe will do.

    Raises:
        ValueError: there is no such file, or it is too large, no JSON, no object of text to text, or lists a name
            twice.
    """
    try:
        with open(path, "rb") as file:
            too_large = os.fstat(file.fileno()).st_size > _MOST_NBYTES
            data = b"" if too_large else file.read(_MOST_NBYTES + 1)
    except OSError as error:
        raise ValueError(f"--map {path}: {error.strerror}") from error
    if too_large or len(data) > _MOST_NBYTES:
        raise ValueError(f"--map {path}: more than {_MOST_NBYTES >> 20} MiB, which is no map of names")
    try:
        return parse_name_map(data)
    except ValueError as error:
        raise ValueError(f"--map {path}: {error}") from error


def parse_name_map(data: bytes) -> dict[str, str]:
    """Return the names in the bytes of a file.

    Raises:
        ValueError: no JSON, no object of text to text, or a name that is listed twice.

    Example:
        >>> parse_name_map(b'{"a": "b"}')
        {'a': 'b'}
    """
    try:
        value = json.loads(data, object_pairs_hook=_unite_pairs)
    except _ListedTwiceError:
        raise
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("not a JSON object of text to text: it is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError('expected a JSON object: {"saved name": "new name", ...}')
    for old, new in value.items():
        if not isinstance(new, str):
            raise ValueError(f"the new name of {old!r} is no text")
    return value


class _ListedTwiceError(ValueError):
    pass


def _unite_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    united = dict(pairs)
    if len(united) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise _ListedTwiceError(f"{twice!r} is listed twice")
    return united
