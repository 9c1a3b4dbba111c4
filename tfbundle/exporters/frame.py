"""A frame: files of another format, before payloads are in them.

As with a plan, every offset is known before a byte moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.format.dtypes import DataType


class Outgoing(NamedTuple):
    """A tensor that is to go into a frame: its name there, its kind there, and its bytes."""

    name: str
    dtype: DataType
    shape: tuple[int, ...]
    nbytes: int


class Piece(NamedTuple):
    """Bytes that are no payload: the file they belong to, by its number, and where."""

    file: int
    offset: int
    data: bytes


ReadCrc = Callable[[int, int, int], int]
"""``read_crc(file, start, end)`` returns the CRC-32 of bytes that were written."""


class Frame(NamedTuple):
    """Files of another format.

    Attributes:
        paths: of the files; the last one is published after all others.
        nbytes: size of each.
        file: number of the file that each payload goes to, in the order in which the tensors were given.
        offset: where it goes there, in bytes.
        pieces: what stands around the payloads.
        seal: gives the pieces that depend on payloads, once these are written; None if there are none.
    """

    paths: list[str]
    nbytes: list[int]
    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    pieces: list[Piece]
    seal: Callable[[ReadCrc], Iterator[Piece]] | None = None
