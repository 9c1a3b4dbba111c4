"""What goes to the terminal: escaped names, sizes for people, tables, JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from tfbundle.format.readable import escape, escape_all, format_nbytes, iter_batches, plural

__all__ = [
    "escape",
    "escape_all",
    "format_nbytes",
    "format_table",
    "plural",
    "print_json",
    "print_lines",
    "print_table",
]


def format_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return rows in columns of equal width; the columns named in ``right`` are aligned right.

    Example:
        >>> format_table([("a", "1"), ("bb", "20")], right=(1,))
        ['a    1', 'bb  20']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, many at a time."""
    for batch in iter_batches(lines):
        print("\n".join(batch))


def print_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print rows in columns, as ``format_table`` does, without spaces at the ends of lines."""
    print_lines(line.rstrip() for line in format_table(rows, right))


def print_json(value: Any) -> None:
    """Print plain data as JSON in ASCII.

    Text that is no Unicode, as names may be, becomes ``{"hex": …}``; numbers that JSON lacks become ``"nan"``,
    ``"inf"`` or ``"-inf"``.
    """
    import json

    print(json.dumps(_to_json(value), indent=2, allow_nan=False))


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return _text_to_json(value)
    if isinstance(value, complex):
        return [_to_json(value.real), _to_json(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _text_to_json(text: str) -> Any:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        try:
            return {"hex": text.encode("utf-8", "surrogateescape").hex()}
        except UnicodeEncodeError:  # not from bytes either
            return escape(text)
    return text
