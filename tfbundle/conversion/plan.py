"""A conversion as data: which bytes of which source shard become which bytes of which target shard.

Every offset is known before a byte moves, so a dry run, progress totals and any kind of worker need no second code
path. ``planning`` makes plans, ``pipeline`` carries them out.

A bundle's rows are its tensors and the slices of partitioned ones. A target row comes from one source row, copied or
cast, or from several, where the slices of a partitioned tensor are joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tfbundle.conversion.join import Join
from tfbundle.conversion.select import Decision
from tfbundle.format.entries import BundleEntry, BundleHeader
from tfbundle.format.slices import Box


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
        cast: whether float32 becomes float16; else the values stay what they are.
        swap: how many bytes are reversed together, 1 where the byte order is right already.
        structure: of a payload whose checksum follows from its structure, which then goes in one piece; None for
            plain bytes.
    """

    cast: bool = False
    swap: int = 1
    structure: Structure | None = None


class Part(NamedTuple):
    """A row's payload, or a stretch of it, that goes from one place to another.

    Attributes:
        source: position in ``Plan.sources``.
        target: position in ``Plan.targets``.
        source_offset: in bytes from the start of the source shard.
        nbytes: how many bytes are read there.
        target_offset: in bytes from the start of the target shard.
        transform: what happens to them.
    """

    source: int
    target: int
    source_offset: int
    nbytes: int
    target_offset: int
    transform: Transform

    @property
    def target_nbytes(self) -> int:
        """How many bytes are written."""
        return self.nbytes // 2 if self.transform.cast else self.nbytes


class Step(NamedTuple):
    """One unit of work: parts of one source and one target shard, ascending in both. Doing it twice does no harm."""

    source_shard: int
    target_shard: int
    parts: tuple[Part, ...]

    @property
    def nbytes(self) -> int:
        """Source bytes in all parts."""
        return sum(part.nbytes for part in self.parts)


class Write(NamedTuple):
    """One unit of work: a payload that does not come from the source.

    Attributes:
        target: position in ``Plan.targets``.
        target_shard: the shard it is written to.
        target_offset: where it starts there, in bytes.
        structure: what its checksum depends on.
        data: the payload.
    """

    target: int
    target_shard: int
    target_offset: int
    structure: Structure
    data: bytes

    @property
    def nbytes(self) -> int:
        """Source bytes: none."""
        return 0


@dataclass(frozen=True)
class Edits:
    """What changes beside dtypes.

    Attributes:
        names: new key of each tensor that gets another one, by its old key.
        payloads: new payload of each tensor that gets another one, by its old key; neither float32 nor partitioned.
    """

    names: Mapping[bytes, bytes] = field(default_factory=dict)
    payloads: Mapping[bytes, bytes] = field(default_factory=dict)


class SourceRow(NamedTuple):
    """A row that is read.

    Attributes:
        key: its key in the source's index.
        entry: its entry there.
        label: what errors call it.
    """

    key: bytes
    entry: BundleEntry
    label: str


class TensorPlan(NamedTuple):
    """What becomes of a tensor.

    Attributes:
        entry: its entry in the source.
        nbytes: bytes of its payload there, those of all its slices together.
        decision: what is done to it, and why.
    """

    entry: BundleEntry
    nbytes: int
    decision: Decision


@dataclass(frozen=True)
class TargetRow:
    """A row that is written.

    Attributes:
        key: its key in the target's index.
        entry: its entry, but for the checksum of a payload that is not copied.
        tensor: key in the source of the tensor it is, or is a slice of.
        sources: positions in ``Plan.sources`` of the rows it comes from; none for a payload of its own.
        boxes: their places in the tensor where several are joined, else empty.
        cast: whether float32 becomes float16.
    """

    key: bytes
    entry: BundleEntry
    tensor: bytes
    sources: tuple[int, ...]
    boxes: tuple[Box, ...]
    cast: bool


@dataclass(frozen=True)
class Plan:
    """The whole conversion; picklable.

    Attributes:
        header: of the target.
        sources: the rows that are read.
        targets: the rows that are written, in the order of their payloads.
        tensors: what becomes of each tensor, by key.
        names: new key of each tensor that gets another one, by its old key.
        steps: the work; their parts cover every payload byte of ``targets`` once.
        shard_nbytes: size of each target shard.
    """

    header: BundleHeader
    sources: tuple[SourceRow, ...]
    targets: tuple[TargetRow, ...]
    tensors: Mapping[bytes, TensorPlan]
    names: Mapping[bytes, bytes]
    steps: tuple[Step | Join | Write, ...]
    shard_nbytes: tuple[int, ...]

    @property
    def source_nbytes(self) -> int:
        """Bytes that will be read."""
        return sum(step.nbytes for step in self.steps)
