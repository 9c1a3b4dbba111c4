"""A conversion as data: which bytes of which source shard become which bytes of which target shard.

Pure: nothing is read or written here. Every offset is known before a byte moves, so a dry run, progress totals and any
kind of worker need no second code path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tfbundle.conversion.select import Decision
from tfbundle.errors import FormatError, TruncatedError, UnsupportedError
from tfbundle.format.dtypes import FLOAT16, FLOAT32, data_type
from tfbundle.format.entries import BIG, BundleEntry, BundleHeader
from tfbundle.format.extents import find_overlaps, sort_by_place
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import key_to_name

STEP_NBYTES = 32 << 20
"""Source bytes of one unit of work: large against its overhead, small against what progress should show."""


class Part(NamedTuple):
    """A tensor's payload, or a stretch of it.

    Attributes:
        tensor: position in ``Plan.tensors``.
        cast: whether float32 becomes float16; else the bytes are copied.
        source_offset: in bytes from the start of the source shard.
        nbytes: how many bytes are read there.
        target_offset: in bytes from the start of the target shard.
    """

    tensor: int
    cast: bool
    source_offset: int
    nbytes: int
    target_offset: int

    @property
    def target_nbytes(self) -> int:
        """How many bytes are written."""
        return self.nbytes // 2 if self.cast else self.nbytes


class Step(NamedTuple):
    """One unit of work: parts of one shard, ascending in both offsets. Doing it twice does no harm."""

    shard_id: int
    parts: tuple[Part, ...]

    @property
    def nbytes(self) -> int:
        """Source bytes in all parts."""
        return sum(part.nbytes for part in self.parts)


@dataclass(frozen=True)
class TensorPlan:
    """What becomes of one tensor.

    Attributes:
        key: its key in both indexes.
        source: its entry in the source.
        target: its entry in the target, but for the checksum of a cast payload.
        decision: what is done to it, and why.
    """

    key: bytes
    source: BundleEntry
    target: BundleEntry
    decision: Decision

    @property
    def name(self) -> str:
        """The tensor's name."""
        return key_to_name(self.key)


@dataclass(frozen=True)
class Plan:
    """The whole conversion; picklable.

    Attributes:
        header: of the target.
        tensors: all that are written, by shard and offset in the source.
        dropped: those that are left out.
        steps: the work; their parts cover every payload byte of ``tensors`` once.
        shard_nbytes: size of each target shard.
    """

    header: BundleHeader
    tensors: tuple[TensorPlan, ...]
    dropped: tuple[TensorPlan, ...]
    steps: tuple[Step, ...]
    shard_nbytes: tuple[int, ...]

    @property
    def source_nbytes(self) -> int:
        """Bytes that will be read."""
        return sum(step.nbytes for step in self.steps)


def plan_halve(
    index: BundleIndex,
    decisions: Mapping[str, Decision],
    shard_nbytes: Sequence[int],
    step_nbytes: int = STEP_NBYTES,
) -> Plan:
    """Lay out the conversion of a bundle; the target has as many shards as the source, packed without gaps.

    Args:
        index: of the source.
        decisions: what becomes of each tensor, by name.
        shard_nbytes: size of each source shard.
        step_nbytes: how many source bytes a step takes, in multiples of 4.

    Raises:
        FormatError: an entry is damaged, lies outside its shard, or overlaps another.
        UnsupportedError: the bundle is big-endian or has partitioned tensors.
    """
    if index.header.endianness == BIG:
        raise UnsupportedError("a big-endian bundle, which is not supported")
    rows = sort_by_place((key, index[key]) for key in index.tensor_keys())
    for key, entry in rows:
        _check_place(key, entry, shard_nbytes)
    for first, second in find_overlaps(rows):
        raise FormatError(
            f"payload starts at {second[1].offset}, within that of tensor {key_to_name(first[0])!r}, "
            f"{first[1].size} bytes from {first[1].offset} on",
            "",
            f"tensor {key_to_name(second[0])!r}",
        )
    ends = [0] * len(shard_nbytes)
    kept, dropped = [], []
    for key, entry in rows:
        row = TensorPlan(key, entry, entry, decisions[key_to_name(key)])
        if row.decision.action == "drop":
            dropped.append(row)
            continue
        placed = _place(row, ends[entry.shard_id])
        ends[entry.shard_id] += placed.target.size
        kept.append(placed)
    return Plan(index.header, tuple(kept), tuple(dropped), tuple(_iter_steps(kept, step_nbytes)), tuple(ends))


def _check_place(key: bytes, entry: BundleEntry, shard_nbytes: Sequence[int]) -> None:
    part = f"tensor {key_to_name(key)!r}"
    if entry.slices:
        raise UnsupportedError(f"{part} is partitioned into slices, which are not supported")
    if entry.shard_id >= len(shard_nbytes):
        raise FormatError(f"lies in shard {entry.shard_id} of {len(shard_nbytes)}", "", part)
    end = entry.offset + entry.size
    if entry.size and end > shard_nbytes[entry.shard_id]:
        raise TruncatedError(
            f"Read less bytes than requested: payload ends at {end}, shard {entry.shard_id} at "
            f"{shard_nbytes[entry.shard_id]}: a partial copy, or a shard of another checkpoint",
            "",
            part,
        )


def _place(row: TensorPlan, offset: int) -> TensorPlan:
    """Give a tensor its place in the target shard."""
    target = replace(row.source, offset=offset)
    if row.decision.action == "cast":
        target = replace(target, dtype=FLOAT16.number, size=target.size // FLOAT32.nbytes * FLOAT16.nbytes)
    return replace(row, target=target)


def _iter_steps(tensors: Sequence[TensorPlan], step_nbytes: int) -> Iterator[Step]:
    """Yield steps of about ``step_nbytes``, each within one shard."""
    parts: list[Part] = []
    shard_id, nbytes = 0, 0
    for position, tensor in enumerate(tensors):
        for part in _iter_parts(position, tensor, step_nbytes):
            if parts and (tensor.source.shard_id != shard_id or nbytes + part.nbytes > step_nbytes):
                yield Step(shard_id, tuple(parts))
                parts, nbytes = [], 0
            parts.append(part)
            shard_id = tensor.source.shard_id
            nbytes += part.nbytes
    if parts:
        yield Step(shard_id, tuple(parts))


def _iter_parts(position: int, tensor: TensorPlan, step_nbytes: int) -> Iterator[Part]:
    """Yield a tensor's payload in parts; one whose checksum is not that of its bytes stays whole."""
    source, target = tensor.source, tensor.target
    cast = tensor.decision.action == "cast"
    part_nbytes = step_nbytes if data_type(source.dtype).is_memcpy else max(source.size, 1)
    for start in range(0, source.size, part_nbytes):
        nbytes = min(part_nbytes, source.size - start)
        target_start = start // 2 if cast else start
        yield Part(position, cast, source.offset + start, nbytes, target.offset + target_start)
