"""Carrying out a plan: read, check, cast, check and write while the bytes are in cache.

A step is done by ``run_step``, in whatever thread or process: it opens the files it needs, streams them through small
buffers and returns checksums and counts. Neighbouring rows of one kind go through together, so that ten thousand
small tensors cost little more than a large one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import CastStats
from tfbundle.conversion.join import Join, iter_windows
from tfbundle.conversion.plan import Part, Plan, Step, Structure, Transform, Write
from tfbundle.conversion.workspace import WINDOW_NBYTES, Bytes, Workspace, swap_bytes, workspace
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import FLOAT16, FLOAT32, data_type
from tfbundle.format.payload_checksum import ByteOrder, StringChecksum, payload_checksum
from tfbundle.sstable.checksum import crc32c
from tfbundle.storage.base import ReadableFile, StagedFile, Storage


class Piece(NamedTuple):
    """A stretch of a row that was read or written.

    Attributes:
        row: position in ``Plan.sources`` or ``Plan.targets``.
        offset: where it starts, comparable within the row.
        nbytes: its size.
        crc: its crc32c, unmasked.
    """

    row: int
    offset: int
    nbytes: int
    crc: int


class StepResult(NamedTuple):
    """What came of one step.

    Attributes:
        read: the pieces that were read.
        written: the pieces that were written.
        stats: (row, what the cast did to its numbers), one for each row that was cast.
    """

    read: list[Piece]
    written: list[Piece]
    stats: list[tuple[int, CastStats]]


@dataclass(frozen=True)
class StepContext:
    """What every step needs to know; picklable.

    Attributes:
        storage: where both bundles are.
        sources: path of each source shard.
        targets: temporary path of each target shard.
        policy: how to cast.
    """

    storage: Storage
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    policy: CastPolicy


def run_steps(
    context: StepContext, plan: Plan, executor: Executor | None, num_workers: int
) -> Iterator[tuple[Step | Join | Write, StepResult]]:
    """Do all steps of a plan and yield their results as they come.

    Args:
        context: where the files are.
        plan: what to do.
        executor: does the steps; None to do them here, one after the other.
        num_workers: how many steps to keep waiting at a time, twice over.
    """
    if executor is None:
        for step in plan.steps:
            yield step, run_step(context, step)
        return
    waiting: dict[Future[StepResult], Step | Join | Write] = {}
    try:
        for step in plan.steps:
            waiting[executor.submit(run_step, context, step)] = step
            if len(waiting) >= 2 * num_workers:
                yield from _collect(waiting)
        while waiting:
            yield from _collect(waiting)
    finally:
        for future in waiting:
            future.cancel()


def _collect(
    waiting: dict[Future[StepResult], Step | Join | Write],
) -> Iterator[tuple[Step | Join | Write, StepResult]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()


def run_step(context: StepContext, step: Step | Join | Write) -> StepResult:
    """Do one step.

    Raises:
        FormatError: the source is too short, or a string payload is malformed.
        OSError: reading or writing failed.
    """
    with closing(context.storage.open_staged(context.targets[step.target_shard])) as target, ExitStack() as stack:

        def open_source(shard_id: int) -> ReadableFile:
            return stack.enter_context(closing(context.storage.open(context.sources[shard_id])))

        if isinstance(step, Join):
            shards = sorted({source.shard_id for source in step.sources})
            return _join({shard: open_source(shard) for shard in shards}, target, step, workspace(context.policy))
        if isinstance(step, Write):
            return _write(target, step)
        source = open_source(step.source_shard)
        result = StepResult([], [], [])
        for run in _iter_runs(step.parts):
            structure = run[0].transform.structure
            if structure is not None:
                try:
                    _copy_structured(source, target, run[0], structure, result)
                except FormatError as error:
                    raise error.add_path("", f"tensor {structure.tensor!r}") from error
            else:
                _stream(source, target, run, workspace(context.policy), result)
        return result


def _write(target: StagedFile, step: Write) -> StepResult:
    checksum = payload_checksum(data_type(step.structure.dtype), step.structure.num_elements)
    checksum.update(step.data)
    target.write_at(step.target_offset, step.data)
    piece = Piece(step.target, step.target_offset, len(step.data), checksum.finish())
    return StepResult([], [piece], [])


def _iter_runs(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield parts that lie side by side in both shards and are treated alike."""
    run: list[Part] = []
    for part in parts:
        if run and not _continues(run[-1], part):
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def _continues(last: Part, part: Part) -> bool:
    return (
        part.source_offset == last.source_offset + last.nbytes
        and part.target_offset == last.target_offset + last.target_nbytes
        and part.transform == last.transform
        and part.transform.structure is None
    )


class _Span(NamedTuple):
    """The stretch of one part within a window, in bytes from the window's start."""

    part: int
    start: int
    end: int


def _stream(source: ReadableFile, target: StagedFile, run: list[Part], space: Workspace, result: StepResult) -> None:
    """Move a run of neighbouring parts, window by window."""
    transform = run[0].transform
    read_crcs, written_crcs = [0] * len(run), [0] * len(run)
    stats = [CastStats()] * len(run)
    read_at, write_at = run[0].source_offset, run[0].target_offset
    for spans in _iter_windows(run):
        window = space.source(read_at, spans[-1].end)
        source.read_into(read_at, window.data)
        _add_crcs(window, spans, read_crcs, 1)
        output = window
        swap_bytes(window, transform.swap)
        if transform.cast:
            output, found = space.cast(window, write_at, [span.start for span in spans])
            for span, span_stats in zip(spans, found, strict=True):
                stats[span.part] += span_stats
        if transform != _AS_IS:
            _add_crcs(output, spans, written_crcs, len(window) // len(output))
        target.write_at(write_at, output.data)
        read_at += len(window)
        write_at += len(output)
    crcs = zip(run, read_crcs, read_crcs if transform == _AS_IS else written_crcs, strict=True)
    for part, read_crc, written_crc in crcs:
        result.read.append(Piece(part.source, part.source_offset, part.nbytes, read_crc))
        result.written.append(Piece(part.target, part.target_offset, part.target_nbytes, written_crc))
    if transform.cast:
        result.stats.extend((part.target, part_stats) for part, part_stats in zip(run, stats, strict=True))


_AS_IS = Transform()


def _add_crcs(window: Bytes, spans: list[_Span], crcs: list[int], shrink: int) -> None:
    """Extend the checksum of each part by its stretch of a window; spans are in units ``shrink`` times as fine."""
    for part, start, end in spans:
        crcs[part] = crc32c(window[start // shrink : end // shrink].data, crcs[part])


def _iter_windows(run: list[Part]) -> Iterator[list[_Span]]:
    """Cut a run of neighbouring parts into windows of at most WINDOW_NBYTES."""
    spans: list[_Span] = []
    filled = 0
    for number, part in enumerate(run):
        done = 0
        while done < part.nbytes:
            count = min(part.nbytes - done, WINDOW_NBYTES - filled)
            spans.append(_Span(number, filled, filled + count))
            done += count
            filled += count
            if filled == WINDOW_NBYTES:
                yield spans
                spans, filled = [], 0
    if spans:
        yield spans


def _copy_structured(
    source: ReadableFile, target: StagedFile, part: Part, structure: Structure, result: StepResult
) -> None:
    """Copy a string or variant payload; its checksum says that it is well-formed, too."""
    swapped = part.transform.swap > 1
    byteorder: ByteOrder = "big" if swapped else "little"
    checksum = payload_checksum(data_type(structure.dtype), structure.num_elements, byteorder)
    buffer = memoryview(bytearray(min(part.nbytes, WINDOW_NBYTES)))
    for start in range(0, part.nbytes, WINDOW_NBYTES):
        window = buffer[: min(WINDOW_NBYTES, part.nbytes - start)]
        source.read_into(part.source_offset + start, window)
        checksum.update(window)
        target.write_at(part.target_offset + start, window)
    crc = written_crc = checksum.finish()
    if swapped and isinstance(checksum, StringChecksum):
        target.write_at(part.target_offset + checksum.sizes_nbytes, checksum.little_endian_sizes_crc)
        written_crc = checksum.little_endian_crc
    result.read.append(Piece(part.source, part.source_offset, part.nbytes, crc))
    result.written.append(Piece(part.target, part.target_offset, part.nbytes, written_crc))


def _join(sources: dict[int, ReadableFile], target: StagedFile, join: Join, space: Workspace) -> StepResult:
    """Put slices together, cast and write, window by window."""
    read_crcs: dict[int, tuple[int, int, int]] = {}  # by position in join.sources: first byte, bytes, crc
    written_crc = done = 0
    stats = CastStats()
    start = join.target_offset + join.rows[0] * _row_nbytes(join) // FLOAT32.nbytes * FLOAT16.nbytes
    for box, stretches in iter_windows(join):
        whole = space.whole(box.num_elements * FLOAT32.nbytes)
        elements = whole.view(np.uint32).reshape(box.sizes)
        for number, offset, part in stretches:
            slice_source = join.sources[number]
            position = offset * FLOAT32.nbytes
            window = space.source(slice_source.offset + position, part.num_elements * FLOAT32.nbytes)
            sources[slice_source.shard_id].read_into(slice_source.offset + position, window.data)
            first, nbytes, crc = read_crcs.get(number, (position, 0, 0))
            read_crcs[number] = (first, nbytes + len(window), crc32c(window.data, crc))
            swap_bytes(window, join.swap)
            elements[part.within(box)] = window.view(np.uint32).reshape(part.sizes)
        output, found = space.cast(whole, start + done, [0])
        stats += found[0]
        written_crc = crc32c(output.data, written_crc)
        target.write_at(start + done, output.data)
        done += len(output)
    read = [Piece(join.sources[number].source, *piece) for number, piece in read_crcs.items()]
    return StepResult(read, [Piece(join.target, start, done, written_crc)], [(join.target, stats)])


def _row_nbytes(join: Join) -> int:
    return join.nbytes // (join.rows[1] - join.rows[0])
