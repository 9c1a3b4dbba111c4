"""Carrying out a plan: read, check, cast, check and write while the bytes are in cache.

A step is done by ``run_step``, in whatever thread or process: it opens the files it needs, streams them through small
buffers and returns checksums and counts. Neighbouring rows of one kind go through together, so that ten thousand
small tensors cost little more than a large one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.stats import StatsTable
from tfbundle.choosing.castable import Cast
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import data_type
from tfbundle.format.extents import iter_row_windows
from tfbundle.format.payload_checksum import ByteOrder, PayloadChecksum, StringChecksum, add_row_crcs, payload_checksum
from tfbundle.format.windows import fill_part
from tfbundle.sstable.checksum import crc32c
from tfbundle.storage.base import ReadableFile, StagedFile, Storage
from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.storage.nowhere import Nowhere
from tfbundle.streaming.blocks import Edge
from tfbundle.streaming.join import Join, iter_windows
from tfbundle.streaming.plan import Rows
from tfbundle.streaming.steps import AnyStep, Run, Structure, Task, Transform, Write, source_shards
from tfbundle.streaming.workspace import Treatment, Workspace, swap_bytes, workspace


class Pieces(NamedTuple):
    """Stretches of rows that were read or written, one of each row.

    Attributes:
        rows: whose they are.
        offsets: where they start, comparable within a row.
        nbytes: their sizes.
        crcs: their crc32c, unmasked.
    """

    rows: Rows
    offsets: NDArray[np.int64]
    nbytes: NDArray[np.int64]
    crcs: NDArray[np.uint32]


class StepResult(NamedTuple):
    """What came of one step.

    Attributes:
        read: the pieces that were read.
        written: the pieces that were written.
        stats: rows that were cast, and what the cast did to the numbers of each.
        edges: bytes of the target shard that are left to the coordinator.
    """

    read: list[Pieces]
    written: list[Pieces]
    stats: list[tuple[Rows, StatsTable]]
    edges: tuple[Edge, ...] = ()


class StepContext(NamedTuple):
    """What every step needs to know; picklable.

    Attributes:
        storage: where both bundles are.
        sources: path of each source shard, by its number.
        targets: temporary path of each target shard, by its number; none where only the numbers are wanted.
        treatment: how to cast.
    """

    storage: Storage
    sources: Mapping[int, str]
    targets: Mapping[int, str]
    treatment: Treatment

    def narrow(self, step: Task) -> StepContext:
        """Return what one step needs to know: with every step, thousands of paths would travel otherwise."""
        targets = {step.target_shard: self.targets[step.target_shard]} if self.targets else {}
        return self._replace(sources={shard: self.sources[shard] for shard in source_shards(step)}, targets=targets)


def run_step(context: StepContext, step: AnyStep) -> StepResult:
    """Do one step.

    Raises:
        FormatError: the source is too short, or a string payload is malformed.
        OSError: reading or writing failed.
    """
    with closing(open_target(context, step.target_shard)) as target:
        return run_step_into(target, context, step)


def run_step_into(target: StagedFile, context: StepContext, step: AnyStep) -> StepResult:
    """Do one step; its target shard is open."""
    with ExitStack() as stack:
        sources = {
            shard: stack.enter_context(closing(context.storage.open(context.sources[shard])))
            for shard in source_shards(step)
        }
        if isinstance(step, Join):
            for shard, file in sources.items():
                file.expect(_iter_extents(step, shard))
            return _join(sources, target, step, workspace(context.treatment))
        if isinstance(step, Write):
            return _write(target, step)
        source = sources[step.source_shard]
        source.expect((run.source_offset, run.nbytes) for run in step.runs)
        result = StepResult([], [], [])
        for run in step.runs:
            if run.transform.structure is None:
                _stream(source, target, run, workspace(context.treatment), result)
            else:
                _copy_structured(source, target, run, run.transform.structure, result)
        return result


def _iter_extents(join: Join, shard_id: int) -> Iterator[tuple[int, int]]:
    """Yield where the stretches of a shard's slices lie that a unit of work needs, in bytes."""
    width = join.cast.source_nbytes
    for _, stretches in iter_windows(join):
        for number, offset, part in stretches:
            if join.sources[number].shard_id == shard_id:
                yield join.sources[number].offset + offset * width, part.num_elements * width


def open_target(context: StepContext, shard_id: int) -> StagedFile:
    """Open a target shard, as far as there are any."""
    return context.storage.open_staged(context.targets[shard_id]) if context.targets else Nowhere()


def _write(target: StagedFile, step: Write) -> StepResult:
    checksum = payload_checksum(data_type(step.structure.dtype), step.structure.num_elements)
    checksum.update(step.data)
    target.write_at(step.target_offset, step.data)
    return StepResult([], [_one_piece(step.row, step.target_offset, len(step.data), checksum.finish())], [])


def _one_piece(row: int, offset: int, nbytes: int, crc: int) -> Pieces:
    return Pieces(
        np.array([row], np.intp), np.array([offset], np.int64), np.array([nbytes], np.int64), np.array([crc], np.uint32)
    )


_AS_IS = Transform()


def _stream(source: ReadableFile, target: StagedFile, run: Run, space: Workspace, result: StepResult) -> None:
    """Move a run, window by window."""
    transform, cast = run.transform, run.transform.cast
    read_crcs, written_crcs = [0] * len(run.rows), [0] * len(run.rows)
    stats = StatsTable(len(run.rows) if cast else 0)
    for start, first, bounds in iter_row_windows(run.sizes, _window_nbytes(cast)):
        read_at, write_at = run.source_offset + start, run.target_offset + transform.resize(start)
        window = space.source(read_at, bounds[-1])
        source.read_into(read_at, window.data)
        add_row_crcs(window.data, bounds, first, read_crcs)
        output = window
        swap_bytes(window, transform.swap)
        if cast:
            output, found = space.cast(cast, window, write_at, bounds[:-1])
            stats.add(first, found)
        if transform != _AS_IS:
            add_row_crcs(output.data, _resize_all(bounds, cast), first, written_crcs)
        target.write_at(write_at, output.data)
    ends = np.cumsum(run.sizes)
    read = Pieces(run.rows, run.source_offset + ends - run.sizes, run.sizes, np.array(read_crcs, np.uint32))
    result.read.append(read)
    result.written.append(read if transform == _AS_IS else _written_pieces(run, read, written_crcs))
    if cast:
        result.stats.append((run.rows, stats))


def _resize_all(bounds: list[int], cast: Cast | None) -> list[int]:
    """Return where in a window's result its rows begin and end."""
    if cast is None:
        return bounds
    before, after = cast.source_nbytes, cast.target_nbytes
    return [bound // before * after for bound in bounds]


def _window_nbytes(cast: Cast | None) -> int:
    """Return how many source bytes go at a time, so that they and their result fit the buffers."""
    if cast is None:
        return WINDOW_NBYTES
    return max(1, WINDOW_NBYTES // max(cast.source_nbytes, cast.target_nbytes)) * cast.source_nbytes


def _written_pieces(run: Run, read: Pieces, crcs: list[int]) -> Pieces:
    cast = run.transform.cast
    before, after = (cast.source_nbytes, cast.target_nbytes) if cast else (1, 1)
    offsets = run.target_offset + (read.offsets - run.source_offset) // before * after
    return Pieces(run.rows, offsets, run.sizes // before * after, np.array(crcs, np.uint32))


def _copy_structured(
    source: ReadableFile, target: StagedFile, run: Run, structure: Structure, result: StepResult
) -> None:
    """Copy a string or variant payload; its checksum says that it is well-formed, too.

    What stands among the bytes of one of the other byte order follows from all of them, so that it is read twice.
    """
    row, nbytes = int(run.rows[0]), run.nbytes
    patch_offset, patch = 0, b""
    checksum = _read_structured(source, run, structure) if run.transform.swap > 1 else None
    if isinstance(checksum, StringChecksum):
        patch_offset, patch = checksum.sizes_nbytes, checksum.little_endian_sizes_crc

    def write(start: int, window: memoryview) -> None:
        for at, byte in enumerate(patch, patch_offset - start):
            if 0 <= at < len(window):
                window[at] = byte
        target.write_at(run.target_offset + start, window)

    checksum = _read_structured(source, run, structure, write)
    crc = written_crc = checksum.finish()
    if patch and isinstance(checksum, StringChecksum):
        written_crc = checksum.little_endian_crc
    result.read.append(_one_piece(row, run.source_offset, nbytes, crc))
    result.written.append(_one_piece(row, run.target_offset, nbytes, written_crc))


def _read_structured(
    source: ReadableFile, run: Run, structure: Structure, take: Callable[[int, memoryview], None] | None = None
) -> PayloadChecksum:
    """Read a payload in windows, each of which may be changed by whoever takes it; return its checksum, finished."""
    byteorder: ByteOrder = "big" if run.transform.swap > 1 else "little"
    buffer = memoryview(bytearray(min(run.nbytes, WINDOW_NBYTES)))
    try:
        checksum = payload_checksum(data_type(structure.dtype), structure.num_elements, byteorder)
        for start in range(0, run.nbytes, WINDOW_NBYTES):
            window = buffer[: min(WINDOW_NBYTES, run.nbytes - start)]
            source.read_into(run.source_offset + start, window)
            checksum.update(window)
            if take is not None:
                take(start, window)
        checksum.finish()
    except FormatError as error:
        raise error.add_path(source.path, f"tensor {structure.tensor!r}") from error
    return checksum


def _join(sources: dict[int, ReadableFile], target: StagedFile, join: Join, space: Workspace) -> StepResult:
    """Put slices together, cast where the dtype changes, and write, window by window."""
    read_crcs: dict[int, tuple[int, int, int]] = {}  # by position in join.sources: first byte, bytes, crc
    written_crc = done = 0
    stats = StatsTable(1)
    width = join.cast.source_nbytes
    start = join.target_offset + join.cast.resize(join.rows[0] * join.row_nbytes)
    for box, stretches in iter_windows(join):
        whole = space.whole(box.num_elements * width)
        elements = whole.view(f"V{width}")
        for number, offset, part in stretches:
            slice_source = join.sources[number]
            position = offset * width
            window = space.source(slice_source.offset + position, part.num_elements * width)
            sources[slice_source.shard_id].read_into(slice_source.offset + position, window.data)
            first, nbytes, crc = read_crcs.get(number, (position, 0, 0))
            read_crcs[number] = (first, nbytes + len(window), crc32c(window.data, crc))
            swap_bytes(window, join.swap)
            fill_part(elements, box, window.view(f"V{width}"), part)
        output = whole
        if join.cast.source != join.cast.target:
            output, found = space.cast(join.cast, whole, start + done, [0])
            stats.add(0, found)
        written_crc = crc32c(output.data, written_crc)
        target.write_at(start + done, output.data)
        done += len(output)
    read = [_one_piece(join.sources[number].source, *piece) for number, piece in read_crcs.items()]
    written = _one_piece(join.row, start, done, written_crc)
    return StepResult(read, [written], [(written.rows, stats)])
