"""Carrying out a plan: read, check, cast, check and write while the bytes are in cache.

A step is done by ``run_step``, in whatever thread or process: it opens the files it needs, streams them through small
buffers and returns checksums and counts. Neighbouring rows of one kind go through together, so that ten thousand
small tensors cost little more than a large one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.stats import StatsTable
from tfbundle.choosing.castable import Cast
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import data_type
from tfbundle.format.extents import iter_row_windows
from tfbundle.format.payload_checksum import ByteOrder, StringChecksum, add_row_crcs, payload_checksum
from tfbundle.format.windows import fill_part
from tfbundle.sstable.checksum import crc32c
from tfbundle.storage.base import ReadableFile, StagedFile, Storage
from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.storage.nowhere import Nowhere
from tfbundle.streaming.join import Join, iter_windows
from tfbundle.streaming.plan import Rows
from tfbundle.streaming.steps import AnyStep, Run, Structure, Transform, Write
from tfbundle.streaming.workspace import Treatment, Workspace, swap_bytes, workspace

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future


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
    """

    read: list[Pieces]
    written: list[Pieces]
    stats: list[tuple[Rows, StatsTable]]


class StepContext(NamedTuple):
    """What every step needs to know; picklable.

    Attributes:
        storage: where both bundles are.
        sources: path of each source shard.
        targets: temporary path of each target shard; none where only the numbers are wanted.
        treatment: how to cast.
    """

    storage: Storage
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    treatment: Treatment


def run_steps(
    context: StepContext, steps: Iterable[AnyStep], executor: Executor | None, num_workers: int
) -> Iterator[tuple[AnyStep, StepResult]]:
    """Do all steps of a plan and yield their results as they come.

    Args:
        context: where the files are.
        steps: what to do.
        executor: does the steps; None to do them here, one after the other. Whoever shuts it down forgets those
            that have not begun.
        num_workers: how many steps to keep waiting at a time, twice over.
    """
    if executor is None:
        for step in steps:
            yield step, run_step(context, step)
        return
    waiting: dict[Future[StepResult], AnyStep] = {}
    for step in steps:
        waiting[executor.submit(run_step, context, step)] = step
        if len(waiting) >= 2 * num_workers:
            yield from _collect(waiting)
    while waiting:
        yield from _collect(waiting)


def _collect(waiting: dict[Future[StepResult], AnyStep]) -> Iterator[tuple[AnyStep, StepResult]]:
    from concurrent.futures import FIRST_COMPLETED, wait

    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()


def run_step(context: StepContext, step: AnyStep) -> StepResult:
    """Do one step.

    Raises:
        FormatError: the source is too short, or a string payload is malformed.
        OSError: reading or writing failed.
    """
    with closing(_open_target(context, step.target_shard)) as target, ExitStack() as stack:

        def open_source(shard_id: int) -> ReadableFile:
            return stack.enter_context(closing(context.storage.open(context.sources[shard_id])))

        if isinstance(step, Join):
            shards = sorted({source.shard_id for source in step.sources})
            return _join({shard: open_source(shard) for shard in shards}, target, step, workspace(context.treatment))
        if isinstance(step, Write):
            return _write(target, step)
        source = open_source(step.source_shard)
        result = StepResult([], [], [])
        for run in step.runs:
            if run.transform.structure is None:
                _stream(source, target, run, workspace(context.treatment), result)
            else:
                _copy_structured(source, target, run, run.transform.structure, result)
        return result


def _open_target(context: StepContext, shard_id: int) -> StagedFile:
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
    """Copy a string or variant payload; its checksum says that it is well-formed, too."""
    row, nbytes = int(run.rows[0]), run.nbytes
    swapped = run.transform.swap > 1
    byteorder: ByteOrder = "big" if swapped else "little"
    buffer = memoryview(bytearray(min(nbytes, WINDOW_NBYTES)))
    try:
        checksum = payload_checksum(data_type(structure.dtype), structure.num_elements, byteorder)
        for start in range(0, nbytes, WINDOW_NBYTES):
            window = buffer[: min(WINDOW_NBYTES, nbytes - start)]
            source.read_into(run.source_offset + start, window)
            checksum.update(window)
            target.write_at(run.target_offset + start, window)
        crc = written_crc = checksum.finish()
    except FormatError as error:
        raise error.add_path(source.path, f"tensor {structure.tensor!r}") from error
    if swapped and isinstance(checksum, StringChecksum):
        target.write_at(run.target_offset + checksum.sizes_nbytes, checksum.little_endian_sizes_crc)
        written_crc = checksum.little_endian_crc
    result.read.append(_one_piece(row, run.source_offset, nbytes, crc))
    result.written.append(_one_piece(row, run.target_offset, nbytes, written_crc))


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
