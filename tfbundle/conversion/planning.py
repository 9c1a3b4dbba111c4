"""Making a plan from an index and decisions. Pure: nothing is read or written here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tfbundle.conversion.join import Join, JoinSource, plan_row_ranges, reaches
from tfbundle.conversion.layout import Layout
from tfbundle.conversion.plan import (
    Edits,
    Part,
    Plan,
    SourceRow,
    Step,
    Structure,
    TargetRow,
    TensorPlan,
    Transform,
    Write,
)
from tfbundle.conversion.select import Decision
from tfbundle.errors import FormatError, TruncatedError
from tfbundle.format.dtypes import FLOAT16, FLOAT32, data_type
from tfbundle.format.entries import BIG, LITTLE, BundleEntry
from tfbundle.format.extents import find_overlaps, sort_by_place
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import key_to_name
from tfbundle.format.ordered_code import rename_slice_key
from tfbundle.format.slices import Box, check_covered, whole_box

STEP_NBYTES = 32 << 20
"""Source bytes of one unit of work: large against its overhead, small against what progress should show."""

_STRUCTURE_SWAP = 4  # of the integers within a string payload


def plan_halve(
    index: BundleIndex,
    shard_nbytes: Sequence[int],
    decisions: Mapping[str, Decision],
    layout: Layout = Layout(),
    edits: Edits = Edits(),
    step_nbytes: int = STEP_NBYTES,
) -> Plan:
    """Lay out the conversion of a bundle; payloads are packed without gaps.

    Args:
        index: of the source.
        shard_nbytes: size of each source shard.
        decisions: what becomes of each tensor, by name.
        layout: slices and shards of the target.
        edits: new names and new payloads.
        step_nbytes: how many source bytes a step takes, in multiples of 16.

    Raises:
        FormatError: an entry is damaged, lies outside its shard, or overlaps another; or the slices of a
            partitioned tensor do not make it up.
    """
    entries = dict(index.items())  # decoded once
    sources = tuple(SourceRow(*row, index.label(row[0])) for row in sort_by_place(entries.items()))
    _check_places(sources, shard_nbytes)
    slices = {key: index.slice_rows(key) for key, entry in entries.items() if entry.slices}
    tensors = {}
    for key in index.tensor_keys():
        nbytes = sum(entries[slice_key].size for slice_key, _ in slices[key]) if key in slices else entries[key].size
        tensors[key] = TensorPlan(entries[key], nbytes, decisions[key_to_name(key)])
    unplaced = [_edit(row, edits) for row in _iter_targets(sources, tensors, slices, layout)]
    shards, num_shards = layout.assign(
        [row.entry.size for row in unplaced], [row.entry.shard_id for row in unplaced], index.header.num_shards
    )
    ends = [0] * num_shards
    targets = []
    for row, shard in zip(unplaced, shards, strict=True):
        targets.append(replace(row, entry=_place(row.entry, shard, ends[shard])))
        ends[shard] += row.entry.size
    header = replace(index.header, num_shards=num_shards, endianness=LITTLE)
    swapped = index.header.endianness == BIG
    steps = (*_iter_steps(sources, targets, step_nbytes, swapped=swapped), *_iter_writes(targets, edits))
    return Plan(header, sources, tuple(targets), tensors, edits.names, steps, tuple(ends))


def _place(entry: BundleEntry, shard_id: int, offset: int) -> BundleEntry:
    return entry if entry.slices else replace(entry, shard_id=shard_id, offset=offset)


def _edit(row: TargetRow, edits: Edits) -> TargetRow:
    """Give a row its new name, and the size of its new payload."""
    entry = row.entry
    if row.tensor in edits.payloads:
        entry = replace(entry, size=len(edits.payloads[row.tensor]))
        return replace(row, key=edits.names.get(row.tensor, row.tensor), entry=entry, sources=())
    if row.tensor not in edits.names:
        return row
    name = edits.names[row.tensor]
    return replace(row, key=name if row.key == row.tensor else rename_slice_key(row.key, name))


def _iter_writes(targets: Sequence[TargetRow], edits: Edits) -> Iterator[Write]:
    for number, row in enumerate(targets):
        if row.tensor in edits.payloads:
            entry = row.entry
            structure = Structure(entry.dtype, entry.num_elements, key_to_name(row.key))
            yield Write(number, entry.shard_id, entry.offset, structure, edits.payloads[row.tensor])


def _check_places(sources: Sequence[SourceRow], shard_nbytes: Sequence[int]) -> None:
    """Refuse payloads outside their shard, and payloads that share bytes, which no writer makes."""
    for row in sources:
        _check_place(row.label, row.entry, shard_nbytes)
    labels = {row.key: row.label for row in sources}
    for (first, first_entry), (second, second_entry) in find_overlaps((row.key, row.entry) for row in sources):
        raise FormatError(
            f"payload starts at {second_entry.offset}, within that of {labels[first]}, "
            f"{first_entry.size} bytes from {first_entry.offset} on",
            "",
            labels[second],
        )


def _check_place(part: str, entry: BundleEntry, shard_nbytes: Sequence[int]) -> None:
    if entry.slices:
        return
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


def _iter_targets(
    sources: Sequence[SourceRow],
    tensors: Mapping[bytes, TensorPlan],
    slices: Mapping[bytes, Sequence[tuple[bytes, Box]]],
    layout: Layout,
) -> Iterator[TargetRow]:
    """Yield the target's rows in the order of their (first) source, not placed yet."""
    position = {row.key: number for number, row in enumerate(sources)}
    tensor_of = {slice_key: key for key, rows in slices.items() for slice_key, _ in rows}
    joined: set[bytes] = set()
    for number, (key, entry, _) in enumerate(sources):
        tensor = tensor_of.get(key, key)
        cast = tensors[tensor].decision.action == "cast"
        if tensors[tensor].decision.action == "drop" or tensor in joined:
            continue
        if not (cast and layout.slices == "join" and tensor in slices):
            yield TargetRow(key, _cast_entry(entry) if cast else entry, tensor, (number,), (), cast)
        elif not entry.slices:  # the first of its slices, which have places, stands for the tensor
            joined.add(tensor)
            positions = tuple(position[slice_key] for slice_key, _ in slices[tensor])
            boxes = tuple(box for _, box in slices[tensor])
            yield TargetRow(
                tensor, _join_entry(tensor, tensors[tensor].entry, boxes, entry), tensor, positions, boxes, cast
            )


def _join_entry(key: bytes, entry: BundleEntry, boxes: tuple[Box, ...], first: BundleEntry) -> BundleEntry:
    """Return the entry of a float16 tensor that is joined from float32 slices, in the shard of the first."""
    try:
        check_covered(whole_box(entry.shape), boxes)
    except FormatError as error:
        raise FormatError(
            f"{error.reason}; --slices keep would convert it as it is", "", f"tensor {key_to_name(key)!r}"
        ) from error
    size = entry.num_elements * FLOAT16.nbytes
    return replace(entry, dtype=FLOAT16.number, shard_id=first.shard_id, size=size, crc32c=0, slices=())


def _cast_entry(entry: BundleEntry) -> BundleEntry:
    return replace(entry, dtype=FLOAT16.number, size=entry.size // FLOAT32.nbytes * FLOAT16.nbytes)


def _iter_steps(
    sources: Sequence[SourceRow], targets: Sequence[TargetRow], step_nbytes: int, *, swapped: bool
) -> Iterator[Step | Join]:
    """Yield steps of about ``step_nbytes``, each within one source and one target shard."""
    parts: list[Part] = []
    shards, nbytes = (0, 0), 0
    for number, target in enumerate(targets):
        if target.boxes:
            yield from _iter_joins(number, target, sources, step_nbytes, swapped=swapped)
            continue
        if not target.sources:
            continue  # a payload of its own
        source = sources[target.sources[0]].entry
        for part in _iter_parts(number, target, source, step_nbytes, swapped=swapped):
            here = (source.shard_id, target.entry.shard_id)
            if parts and (here != shards or nbytes + part.nbytes > step_nbytes):
                yield Step(*shards, tuple(parts))
                parts, nbytes = [], 0
            parts.append(part)
            shards = here
            nbytes += part.nbytes
    if parts:
        yield Step(*shards, tuple(parts))


def _iter_parts(
    number: int, target: TargetRow, source: BundleEntry, step_nbytes: int, *, swapped: bool
) -> Iterator[Part]:
    """Yield a row's payload in parts; one whose checksum is not that of its bytes stays whole."""
    dtype = data_type(source.dtype)
    structure = None
    if not dtype.is_memcpy:
        structure = Structure(source.dtype, source.num_elements, key_to_name(target.tensor))
    swap = dtype.swap if structure is None else _STRUCTURE_SWAP
    transform = Transform(target.cast, swap if swapped else 1, structure)
    part_nbytes = step_nbytes if structure is None else max(source.size, 1)
    for start in range(0, source.size, part_nbytes):
        nbytes = min(part_nbytes, source.size - start)
        offset = target.entry.offset + (start // 2 if target.cast else start)
        yield Part(target.sources[0], number, source.offset + start, nbytes, offset, transform)


def _iter_joins(
    number: int, target: TargetRow, sources: Sequence[SourceRow], step_nbytes: int, *, swapped: bool
) -> Iterator[Join]:
    entry = target.entry
    pieces = tuple(
        JoinSource(position, sources[position].entry.shard_id, sources[position].entry.offset, box)
        for position, box in zip(target.sources, target.boxes, strict=True)
    )
    swap = FLOAT32.swap if swapped else 1
    for rows in plan_row_ranges(entry.shape, step_nbytes):
        here = tuple(piece for piece in pieces if reaches(piece.box, rows, entry.shape))
        yield Join(number, entry.shard_id, entry.offset, entry.shape, rows, here, swap)
