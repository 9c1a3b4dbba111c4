"""Cutting a plan into units of work.

A step is small enough to be one of many and large enough to be worth handing to a worker. It names everything by
number and offset, so that it can be done anywhere, in any order, and again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.choosing.castable import Cast
from tfbundle.format.dtypes import ELEMENT_NBYTES, SWAP_NBYTES
from tfbundle.format.entries import BIG
from tfbundle.format.extents import cut_runs
from tfbundle.format.naming import key_to_name
from tfbundle.streaming.join import Join, JoinSource, plan_row_ranges, reaches
from tfbundle.streaming.plan import Plan, Rows

_STRUCTURE_SWAP = 4  # of the integers within a string payload
_MOST_ROWS = 1 << 14  # of a step, which travels to its worker, and comes back with what it found of each


class Structure(NamedTuple):
    """What the checksum of a string or variant payload depends on, and whose payload it is.

    Attributes:
        dtype: number of the element type.
        num_elements: product of the dimensions.
        tensor: its name, for errors.
    """

    dtype: int
    num_elements: int
    tensor: str


class Transform(NamedTuple):
    """What happens to bytes on their way.

    Attributes:
        cast: from which dtype to which; None where the values stay what they are.
        swap: how many bytes are reversed together, 1 where the byte order is right already.
        structure: of a payload whose checksum follows from its structure, which then goes in one piece; None for
            plain bytes.
    """

    cast: Cast | None = None
    swap: int = 1
    structure: Structure | None = None

    def resize(self, nbytes: int) -> int:
        """Return how many bytes so many source bytes become."""
        return nbytes if self.cast is None else self.cast.resize(nbytes)


class Run(NamedTuple):
    """Payloads that lie side by side in both shards and are treated alike; the first and the last may be parts.

    Attributes:
        rows: whose they are.
        sizes: how many bytes of each are read, none of them 0.
        source_offset: where the first starts, in bytes from the start of the source shard.
        target_offset: where its result goes, in bytes from the start of the target shard.
        transform: what happens to them.
    """

    rows: Rows
    sizes: NDArray[np.int64]
    source_offset: int
    target_offset: int
    transform: Transform

    @property
    def nbytes(self) -> int:
        """Source bytes."""
        return int(self.sizes.sum())


class Step(NamedTuple):
    """One unit of work: runs of one source and one target shard, ascending in both. Doing it twice does no harm."""

    source_shard: int
    target_shard: int
    runs: tuple[Run, ...]

    @property
    def nbytes(self) -> int:
        """Source bytes in all runs."""
        return sum(run.nbytes for run in self.runs)


class Write(NamedTuple):
    """One unit of work: a payload that does not come from the source.

    Attributes:
        row: whose it is.
        target_shard: the shard it is written to.
        target_offset: where it starts there, in bytes.
        structure: what its checksum depends on.
        data: the payload.
    """

    row: int
    target_shard: int
    target_offset: int
    structure: Structure
    data: bytes

    @property
    def nbytes(self) -> int:
        """Source bytes: none."""
        return 0


AnyStep = Step | Join | Write


class Batch(NamedTuple):
    """All steps of one target shard, in its order, for a storage that takes a file from one worker only.

    Attributes:
        target_shard: the shard they write.
        target_nbytes: its size.
        steps: what to do.
    """

    target_shard: int
    target_nbytes: int
    steps: tuple[AnyStep, ...]

    @property
    def nbytes(self) -> int:
        """Source bytes."""
        return sum(step.nbytes for step in self.steps)


Task = AnyStep | Batch
"""What a worker is given."""


def source_shards(step: Task) -> list[int]:
    """Return the numbers of the source shards that a step or batch reads, ascending.

    Example:
        >>> source_shards(Step(3, 0, ()))
        [3]
    """
    if isinstance(step, Batch):
        return sorted({shard for each in step.steps for shard in source_shards(each)})
    if isinstance(step, Join):
        return sorted({source.shard_id for source in step.sources})
    return [step.source_shard] if isinstance(step, Step) else []


def iter_steps(plan: Plan) -> Iterator[AnyStep]:
    """Yield the work of a plan: together, steps write every payload byte of the target once.

    Each shard is written from its start to its end before the next one, for storages that can only append.
    """
    targets, order = plan.targets, plan.targets.order
    order = order[np.lexsort((targets.offset[order], targets.shard_id[order]))]
    special = np.zeros(plan.num_rows, np.bool_)
    special[[*plan.joined, *plan.edited]] = True
    before = np.zeros(plan.num_rows, np.intp)  # how many special rows come before each row
    before[order] = np.cumsum(special[order])
    rows = order[~special[order] & (plan.index.columns.size[order] > 0)]
    specials, done = order[special[order]].tolist(), 0
    for number, runs in groupby(_iter_runs(plan, rows, before), lambda placed: int(before[placed.run.rows[0]])):
        for row in specials[done:number]:
            yield from _iter_special(plan, row)
        done = number
        yield from _pack_runs(runs, plan.step_nbytes)
    for row in specials[done:]:
        yield from _iter_special(plan, row)


def iter_batches(plan: Plan) -> Iterator[Batch]:
    """Yield the work of a plan, by target shard; one that stays empty has a batch, too."""
    done = 0
    for shard, steps in groupby(iter_steps(plan), lambda step: step.target_shard):
        yield from (Batch(empty, plan.shard_nbytes[empty], ()) for empty in range(done, shard))
        yield Batch(shard, plan.shard_nbytes[shard], tuple(steps))
        done = shard + 1
    yield from (Batch(empty, plan.shard_nbytes[empty], ()) for empty in range(done, len(plan.shard_nbytes)))


def _iter_special(plan: Plan, row: int) -> Iterator[AnyStep]:
    """Yield the work on a row that is no copy or cast of one payload."""
    if row in plan.joined:
        yield from _iter_joins(plan, row)
    else:
        yield _make_write(plan, row)


class _PlacedRun(NamedTuple):
    shards: tuple[int, int]
    run: Run


def _iter_runs(plan: Plan, rows: Rows, group: Rows) -> Iterator[_PlacedRun]:
    """Cut rows, which are in order of the target, where they are not neighbours, not alike or not of one group."""
    source, target = plan.index.columns, plan.targets
    swap = SWAP_NBYTES[source.dtype] if plan.index.header.endianness == BIG else np.ones(plan.num_rows, np.int64)
    is_cast = plan.is_cast
    cast_from, cast_to = np.where(is_cast, source.dtype, 0), np.where(is_cast, target.dtype, 0)
    alike = (group, source.shard_id, target.shard_id, cast_from, cast_to, swap)
    before, after = rows[:-1], rows[1:]
    structured = ELEMENT_NBYTES[source.dtype] == 0
    cut = structured[before] | structured[after]
    for column in alike:
        cut |= column[before] != column[after]
    cut |= source.offset[before] + source.size[before] != source.offset[after]
    cut |= target.offset[before] + target.size[before] != target.offset[after]
    for start, end in cut_runs(cut, len(rows)):
        here = rows[start:end]
        first = int(here[0])
        transform = _transform(plan, first, int(swap[first]))
        run = Run(here, source.size[here], int(source.offset[first]), int(target.offset[first]), transform)
        yield _PlacedRun((int(source.shard_id[first]), int(target.shard_id[first])), run)


def _transform(plan: Plan, row: int, swap: int) -> Transform:
    dtype = int(plan.index.columns.dtype[row])
    if ELEMENT_NBYTES[dtype]:
        return Transform(_cast(plan, row) if plan.targets.dtype[row] != dtype else None, swap)
    swap = _STRUCTURE_SWAP if plan.index.header.endianness == BIG else 1
    return Transform(None, swap, _structure(plan, row))


def _cast(plan: Plan, row: int) -> Cast:
    return Cast(int(plan.index.columns.dtype[row]), int(plan.targets.dtype[row]))


def _structure(plan: Plan, row: int) -> Structure:
    key = plan.index.keys_in_order[row]
    entry = plan.index[key]
    return Structure(entry.dtype, entry.num_elements, key_to_name(key))


def _pack_runs(runs: Iterable[_PlacedRun], step_nbytes: int) -> Iterator[Step]:
    """Gather runs of the same shards until a step is full; cut those that are larger than a step."""
    pending: list[Run] = []
    shards, filled, num_rows = (0, 0), 0, 0
    for here, whole in runs:
        for run in _split(whole, step_nbytes):
            is_full = filled + run.nbytes > step_nbytes or num_rows + len(run.rows) > _MOST_ROWS
            if pending and (here != shards or is_full):
                yield Step(*shards, tuple(pending))
                pending, filled, num_rows = [], 0, 0
            pending.append(run)
            shards = here
            filled += run.nbytes
            num_rows += len(run.rows)
    if pending:
        yield Step(*shards, tuple(pending))


def _split(run: Run, nbytes: int) -> Iterator[Run]:
    """Cut a run into pieces that fit a step; one whose checksum is not that of its bytes stays whole."""
    starts = np.cumsum(run.sizes) - run.sizes
    for first in range(0, len(run.rows), _MOST_ROWS):
        few = slice(first, first + _MOST_ROWS)
        yield from _split_bytes(_part(run, few, run.sizes[few], int(starts[first])), nbytes)


def _split_bytes(run: Run, nbytes: int) -> Iterator[Run]:
    """Cut a run into pieces of that many source bytes."""
    total = run.nbytes
    if total <= nbytes or run.transform.structure is not None:
        yield run
        return
    ends = np.cumsum(run.sizes)
    for start in range(0, total, nbytes):
        end = min(start + nbytes, total)
        first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, end)) + 1
        bounds = np.clip(np.concatenate([[start], ends[first:last]]), start, end)
        yield _part(run, slice(first, last), np.diff(bounds), start)


def _part(run: Run, rows: slice, sizes: NDArray[np.int64], start: int) -> Run:
    """Return so many bytes of some rows of a run, which begin so many bytes after it."""
    target_offset = run.target_offset + run.transform.resize(start)
    return Run(run.rows[rows], sizes, run.source_offset + start, target_offset, run.transform)


def _iter_joins(plan: Plan, row: int) -> Iterator[Join]:
    columns, targets = plan.index.columns, plan.targets
    shape = plan.index[plan.index.keys_in_order[row]].shape
    slices = plan.slices[row]
    pieces = tuple(
        JoinSource(part, int(columns.shard_id[part]), int(columns.offset[part]), box)
        for part, box in zip(slices.rows, slices.boxes, strict=True)
    )
    cast = _cast(plan, row)
    swap = int(SWAP_NBYTES[cast.source]) if plan.index.header.endianness == BIG else 1
    for rows in plan_row_ranges(shape, plan.step_nbytes // cast.source_nbytes):
        here = tuple(piece for piece in pieces if reaches(piece.box, rows, shape))
        yield Join(row, int(targets.shard_id[row]), int(targets.offset[row]), shape, rows, here, cast, swap)


def _make_write(plan: Plan, row: int) -> Write:
    targets = plan.targets
    return Write(row, int(targets.shard_id[row]), int(targets.offset[row]), _structure(plan, row), plan.edited[row])
