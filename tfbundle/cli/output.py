"""What goes to the terminal: escaped names, sizes for people, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

_BATCH_LINES = 1000


def escape(text: str) -> str:
    r"""Return text in which everything that is not printable is written as an escape.

    Names come from files, and could otherwise move the cursor or change the title of a terminal.

    Example:
        >>> print(escape("w\x1b[2J\udcff"))
        w\x1b[2J\xff
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape_char(char) for char in text)


def _escape_char(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return ascii(char)[1:-1]


def format_nbytes(nbytes: int) -> str:
    """Return a size for people.

    Example:
        >>> format_nbytes(10_680_765)
        '10.7 MB'
    """
    if nbytes < 1000:
        return f"{nbytes} B"
    size = float(nbytes)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95 or unit == "TB":
            break
    return f"{size:.1f} {unit}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> plural(1, "tensor"), plural(2, "tensor")
        ('1 tensor', '2 tensors')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


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
    iterator = iter(lines)
    while batch := list(islice(iterator, _BATCH_LINES)):
        print("\n".join(batch))


def print_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print rows in columns, as ``format_table`` does, without spaces at the ends of lines."""
    print_lines(line.rstrip() for line in format_table(rows, right))


def print_json(value: Any) -> None:
    """Print plain data as JSON in ASCII.

    Text that is no Unicode, as names may be, becomes ``{"hex": …}``; numbers that JSON lacks become ``"nan"``,
    ``"inf"`` or ``"-inf"``.
    """
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
