"""Carrying out a plan: read, check, cast, check and write while the bytes are in cache.

A step is done by ``run_step``, in whatever process: it opens the files it needs, streams them through two small
buffers and returns checksums and counts. Neighbouring tensors of one kind go through together, so that ten thousand
small tensors cost little more than a large one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfbundle.casting.half import HalfCaster
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import CastStats
from tfbundle.conversion.plan import Part, Plan, Step, TensorPlan
from tfbundle.format.dtypes import data_type
from tfbundle.format.payload_checksum import payload_checksum
from tfbundle.sstable.checksum import crc32c
from tfbundle.storage.base import ReadableFile, StagedFile, Storage

WINDOW_NBYTES = 1 << 20
_PAGE_NBYTES = 4096
_LINE_NBYTES = 64


class PartResult(NamedTuple):
    """What came of one part.

    Attributes:
        source_crc: crc32c of the bytes read, unmasked.
        target_crc: crc32c of the bytes written, unmasked.
        stats: what the cast did, None for a copy.
    """

    source_crc: int
    target_crc: int
    stats: CastStats | None


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


class Structured(NamedTuple):
    """Number of elements and dtype of a tensor whose checksum follows from its structure."""

    dtype: int
    num_elements: int


def structures(step: Step, tensors: Sequence[TensorPlan]) -> dict[int, Structured]:
    """Return, for the parts of a step that need it, what their checksum depends on."""
    found = {}
    for part in step.parts:
        entry = tensors[part.tensor].source
        if not data_type(entry.dtype).is_memcpy:
            found[part.tensor] = Structured(entry.dtype, entry.num_elements)
    return found


def run_step(context: StepContext, step: Step, structured: dict[int, Structured]) -> list[PartResult]:
    """Do one step; return what came of its parts, in order.

    Raises:
        FormatError: the source is too short, changed, or a string payload is malformed.
        OSError: reading or writing failed.
    """
    with (
        closing(context.storage.open(context.sources[step.shard_id])) as source,
        closing(context.storage.open_staged(context.targets[step.shard_id])) as target,
    ):
        workspace = _workspace(context.policy)
        results: list[PartResult] = []
        for run in _iter_runs(step.parts, structured):
            if run[0].tensor in structured:
                results.append(_copy_structured(source, target, run[0], structured[run[0].tensor]))
            else:
                results += workspace.stream(source, target, run)
        return results


def run_steps(
    context: StepContext, plan: Plan, executor: Executor | None, num_workers: int
) -> Iterator[tuple[Step, list[PartResult]]]:
    """Do all steps of a plan and yield their results as they come.

    Args:
        context: where the files are.
        plan: what to do.
        executor: does the steps; None to do them here, one after the other.
        num_workers: how many steps to keep waiting at a time, twice over.
    """
    jobs = ((step, structures(step, plan.tensors)) for step in plan.steps)
    if executor is None:
        for step, structured in jobs:
            yield step, run_step(context, step, structured)
        return
    waiting: dict[Future[list[PartResult]], Step] = {}
    try:
        for step, structured in jobs:
            waiting[executor.submit(run_step, context, step, structured)] = step
            if len(waiting) >= 2 * num_workers:
                yield from _collect(waiting)
        while waiting:
            yield from _collect(waiting)
    finally:
        for future in waiting:
            future.cancel()


def _collect(waiting: dict[Future[list[PartResult]], Step]) -> Iterator[tuple[Step, list[PartResult]]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()


def _iter_runs(parts: Sequence[Part], structured: dict[int, Structured]) -> Iterator[list[Part]]:
    """Yield parts that lie side by side in both shards and are treated alike."""
    run: list[Part] = []
    for part in parts:
        if run and not _continues(run[-1], part, structured):
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def _continues(last: Part, part: Part, structured: dict[int, Structured]) -> bool:
    return (
        part.source_offset == last.source_offset + last.nbytes
        and part.target_offset == last.target_offset + last.target_nbytes
        and part.cast == last.cast
        and part.tensor not in structured
        and last.tensor not in structured
    )


def _copy_structured(source: ReadableFile, target: StagedFile, part: Part, structured: Structured) -> PartResult:
    """Copy a string or variant payload; its checksum says that it is well-formed, too."""
    checksum = payload_checksum(data_type(structured.dtype), structured.num_elements)
    buffer = memoryview(bytearray(min(part.nbytes, WINDOW_NBYTES)))
    for start in range(0, part.nbytes, WINDOW_NBYTES):
        window = buffer[: min(WINDOW_NBYTES, part.nbytes - start)]
        source.read_into(part.source_offset + start, window)
        checksum.update(window)
        target.write_at(part.target_offset + start, window)
    crc = checksum.finish()
    return PartResult(crc, crc, None)


class _Span(NamedTuple):
    """The stretch of one part within a window, in bytes from the window's start."""

    part: int
    start: int
    end: int


class _Workspace:
    """Buffers that one worker uses over and over: memory touched for the first time costs more than the work on it."""

    def __init__(self, policy: CastPolicy) -> None:
        self.policy = policy
        self._source = _aligned_buffer(WINDOW_NBYTES)
        self._target = _aligned_buffer(WINDOW_NBYTES)
        self._caster = HalfCaster(policy.on_overflow)

    def stream(self, source: ReadableFile, target: StagedFile, run: list[Part]) -> list[PartResult]:
        """Move a run of neighbouring parts, window by window."""
        cast = run[0].cast
        results = [PartResult(0, 0, CastStats() if cast else None)] * len(run)
        read_at, write_at = run[0].source_offset, run[0].target_offset
        for spans in _iter_windows(run):
            window = _for_offset(self._source, read_at)[: spans[-1].end]
            source.read_into(read_at, window.data)
            read_at += len(window)
            output = self._cast_window(window, write_at, spans, results) if cast else window
            if not cast:
                _sum_window(window, spans, results)
            target.write_at(write_at, output.data)
            write_at += len(output)
        return results

    def _cast_window(
        self, window: NDArray[np.uint8], write_at: int, spans: list[_Span], results: list[PartResult]
    ) -> NDArray[np.uint8]:
        """Cast a window, bring the results up to date, and return what is to be written."""
        for span in spans:
            source_crc, target_crc, stats = results[span.part]
            results[span.part] = PartResult(crc32c(window[span.start : span.end].data, source_crc), target_crc, stats)
        output = _for_offset(self._target, write_at)[: len(window) // 2]
        starts = [span.start // 4 for span in spans]
        found = self._caster.cast(window.view(np.uint32), output.view(np.uint16), starts)
        for span, span_stats in zip(spans, found, strict=True):
            source_crc, target_crc, stats = results[span.part]
            target_crc = crc32c(output[span.start // 2 : span.end // 2].data, target_crc)
            results[span.part] = PartResult(source_crc, target_crc, (stats or CastStats()) + span_stats)
        return output


def _sum_window(window: NDArray[np.uint8], spans: list[_Span], results: list[PartResult]) -> None:
    """Bring the results up to date for a window that is copied."""
    for span in spans:
        crc = crc32c(window[span.start : span.end].data, results[span.part].source_crc)
        results[span.part] = PartResult(crc, crc, None)


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


_local = threading.local()


def _workspace(policy: CastPolicy) -> _Workspace:
    """Return this thread's workspace."""
    found: _Workspace | None = getattr(_local, "workspace", None)
    if found is None or found.policy != policy:
        found = _local.workspace = _Workspace(policy)
    return found


def _aligned_buffer(nbytes: int) -> NDArray[np.uint8]:
    """Return a buffer that starts at a page and has a cache line to spare."""
    memory = np.empty(nbytes + _LINE_NBYTES + _PAGE_NBYTES, np.uint8)
    start = -memory.ctypes.data % _PAGE_NBYTES
    return memory[start : start + nbytes + _LINE_NBYTES]


def _for_offset(buffer: NDArray[np.uint8], offset: int) -> NDArray[np.uint8]:
    """Return the buffer from the place where the kernel copies it fastest to or from a file offset.

    Some processors copy several times slower where source and destination, taken modulo the page size, lie a few
    bytes apart.
    """
    return buffer[_LINE_NBYTES:] if 0 < offset % _PAGE_NBYTES < _LINE_NBYTES else buffer
