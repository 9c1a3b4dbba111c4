"""Names, sizes and counts as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from tfbundle.errors import escape as escape  # noqa: PLC0414 for who knows it from here

_BATCH = 1000
_PRINTABLE_ASCII = bytes(range(0x20, 0x7F))


def escape_all(texts: Iterable[str]) -> Iterator[str]:
    r"""Yield each text as ``escape`` does; where nothing needs it, this is seen of many at a time.

    Example:
        >>> list(escape_all(["w", "\t"]))
        ['w', '\\t']
    """
    return chain.from_iterable(map(_escape_batch, iter_batches(texts)))


def _escape_batch(texts: list[str]) -> Iterable[str]:
    joined = "".join(texts)
    if joined.isascii() and not joined.encode().translate(None, _PRINTABLE_ASCII):
        return texts
    return map(escape, texts)


def format_nbytes(nbytes: int) -> str:
    """Return a size for people.

    Example:
        >>> format_nbytes(10_680_765)
        '10.7 MB'
    """
    if nbytes < 1000:
        return f"{nbytes} B"
    size, unit = nbytes / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if size >= 999.95:
            size, unit = size / 1000, larger
    return f"{size:.1f} {unit}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> plural(1, "tensor"), plural(2, "tensor")
        ('1 tensor', '2 tensors')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def iter_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield lists of many texts at a time."""
    iterator = iter(texts)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
