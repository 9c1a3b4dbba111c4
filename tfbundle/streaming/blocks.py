"""Writing whole blocks of a file from many machines; what is left of a block goes to the coordinator.

A network file system may keep a file's pages on each machine, and write a page back whole of which a program changed a
few bytes: what another machine wrote to the rest of that page is lost. (The Linux client of NFS does so where nobody
locks ranges.) Steps begin and end anywhere. So no block is written by two machines: a worker writes those that are its
step's alone, and hands back the bytes before and after them, which the coordinator writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tfbundle.storage.base import Buffer, StagedFile
from tfbundle.streaming.join import Join
from tfbundle.streaming.steps import AnyStep, Step

BLOCK_NBYTES = 1 << 16
"""As large as a page of memory can be, on any machine."""


class Edge(NamedTuple):
    """Bytes that are left to the coordinator.

    Attributes:
        offset: where they belong in the target shard.
        data: the bytes.
    """

    offset: int
    data: bytes


class BlockFile:
    """A ``StagedFile`` for one step, which writes nothing to blocks that are not this step's alone.

    Args:
        file: takes whole blocks.
        stretches: where the step writes: start and end of each stretch.
        block_nbytes: size of a block.

    Attributes:
        path: of the file.
        edges: what was not written, in the order in which it came.
    """

    def __init__(self, file: StagedFile, stretches: Iterable[tuple[int, int]], block_nbytes: int) -> None:
        self.path = file.path
        self.edges: list[Edge] = []
        self._file = file
        rounded = ((_round_up(start, block_nbytes), end // block_nbytes * block_nbytes) for start, end in stretches)
        self._wholes = [(start, end) for start, end in rounded if start < end]

    def write_at(self, offset: int, data: Buffer) -> None:
        """Write what belongs into whole blocks, and keep the rest."""
        view = memoryview(data).cast("B")
        done, last = offset, offset + len(view)
        for whole_start, whole_end in self._wholes:
            start, end = max(whole_start, offset), min(whole_end, last)
            if start < end:
                self._keep(done, view[done - offset : start - offset])
                self._file.write_at(start, view[start - offset : end - offset])
                done = end
        self._keep(done, view[done - offset :])

    def _keep(self, offset: int, piece: memoryview) -> None:
        if len(piece):
            self.edges.append(Edge(offset, bytes(piece)))

    def reserve(self, nbytes: int) -> None:
        """Do as the file does."""
        self._file.reserve(nbytes)

    def sync(self) -> None:
        """Do as the file does."""
        self._file.sync()

    def close(self) -> None:
        """Do as the file does."""
        self._file.close()


def _round_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def iter_stretches(step: AnyStep) -> Iterator[tuple[int, int]]:
    """Yield start and end of the stretches of the target shard that a step writes, ascending, apart from each other.

    Example:
        >>> from tfbundle.streaming.steps import Structure, Write
        >>> list(iter_stretches(Write(0, 0, 5, Structure(7, 1, "w"), b"abc")))
        [(5, 8)]
    """
    if isinstance(step, Step):
        places = [(run.target_offset, run.target_offset + run.transform.resize(run.nbytes)) for run in step.runs]
    elif isinstance(step, Join):
        first, last = (step.target_offset + step.cast.resize(row * step.row_nbytes) for row in step.rows)
        places = [(first, last)]
    else:
        places = [(step.target_offset, step.target_offset + len(step.data))]
    start, end = places[0]
    for next_start, next_end in places[1:]:
        if next_start != end:
            yield start, end
            start = next_start
        end = next_end
    yield start, end
