"""How the output is laid out: slices joined or kept, and how many shards there are."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Slices = Literal["join", "keep", "plain"]
GraphChoice = Literal["rewrite", "leave"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


@dataclass(frozen=True)
class Layout:
    """How the output is laid out.

    Attributes:
        slices: ``"join"`` makes one plain tensor of a partitioned one that is cast to a dtype whose slices TensorFlow
            cannot put together, such as float16; ``"keep"`` leaves the slices, for a graph with exactly
            the same partitions; ``"plain"`` makes plain tensors of all partitioned ones, for what knows no slices.
        shards: number of data files; None for as many as the source has.
        max_shard_nbytes: begin another data file where this size would be exceeded; a tensor is never split, so that
            a larger one gets a file of its own. None for no limit.
        graph: ``"rewrite"`` lets ``halve`` convert the graph that goes with a checkpoint, and keeps slices as the graph
            has them; ``"leave"`` converts the checkpoint alone, for a graph whose variables are float16.

    Raises:
        ValueError: no such choice for ``slices`` or ``graph``, a number below 1, or both kinds of sharding at once.

    Example:
        >>> Layout(shards=4).shards
        4
    """

    slices: Slices = "join"
    shards: int | None = None
    max_shard_nbytes: int | None = None
    graph: GraphChoice = "rewrite"

    def __post_init__(self) -> None:
        if self.slices not in get_args(Slices):
            raise ValueError(f"slices is {self.slices!r}, expected one of {get_args(Slices)}")
        if self.graph not in get_args(GraphChoice):
            raise ValueError(f"graph is {self.graph!r}, expected one of {get_args(GraphChoice)}")
        if self.shards is not None and self.max_shard_nbytes is not None:
            raise ValueError("a number of shards and a largest shard size cannot both be given")
        for number in (self.shards, self.max_shard_nbytes):
            if number is not None and number < 1:
                raise ValueError(f"{number} is too small, expected at least 1")

    def assign(
        self, sizes: NDArray[np.int64], current: NDArray[np.int32], num_shards: int
    ) -> tuple[NDArray[np.int32], int]:
        """Choose a shard for each payload.

        Args:
            sizes: bytes of each payload, in the order in which they will be written.
            current: the shard each would stay in.
            num_shards: how many shards there are now.

        Returns:
            The shard of each payload, and the number of shards.

        Example:
            >>> shards, num_shards = Layout(max_shard_nbytes=10).assign(np.array([6, 4, 3]), np.zeros(3, np.int32), 1)
            >>> shards.tolist(), num_shards
            ([0, 0, 1], 2)
        """
        if self.shards is not None:
            return np.array(_spread(sizes.tolist(), self.shards), np.int32), self.shards
        if self.max_shard_nbytes is not None:
            shards, num_shards = _fill(sizes.tolist(), self.max_shard_nbytes)
            return np.array(shards, np.int32), num_shards
        return current, num_shards


def _spread(sizes: Sequence[int], num_shards: int) -> list[int]:
    """Cut the payloads into runs of about the same size."""
    total, done, shards = max(1, sum(sizes)), 0, []
    for size in sizes:
        shards.append(min(num_shards - 1, (2 * done + size) * num_shards // (2 * total)))
        done += size
    return shards


def _fill(sizes: Sequence[int], limit: int) -> tuple[list[int], int]:
    shard = filled = 0
    shards = []
    for size in sizes:
        if filled and filled + size > limit:
            shard, filled = shard + 1, 0
        shards.append(shard)
        filled += size
    return shards, shard + 1


def parse_nbytes(text: str) -> int:
    """Parse a size such as ``2GB`` or ``512MiB``.

    Raises:
        ValueError: not a number with a known unit.

    Example:
        >>> parse_nbytes("1.5GB")
        1500000000
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"{text!r} is no size; write a number and a unit, such as 2GB or 512MiB")
    nbytes = float(match[1]) * _UNITS[match[2].upper()]
    if math.isinf(nbytes):
        raise ValueError("a size of so many digits is no limit; leave it out")
    return int(nbytes)
