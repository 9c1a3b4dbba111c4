"""Running a plan: stage, stream, judge, publish; or only stream, for the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from tfbundle.bundle.publish import publish_bundle, stage_shards
from tfbundle.bundle.target import IfExists
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import StatsTable
from tfbundle.storage.base import ReadableFile, Stage, Storage, staging
from tfbundle.storage.paths import is_url
from tfbundle.storage.stream import Stream, write_stream
from tfbundle.streaming.dispatch import Results, run_steps
from tfbundle.streaming.ledger import Ledger
from tfbundle.streaming.pipeline import StepContext, run_step
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.progress import NoProgress, Progress
from tfbundle.streaming.steps import iter_steps
from tfbundle.streaming.workers import choose_num_workers, hired_workers
from tfbundle.streaming.workspace import Treatment

if TYPE_CHECKING:
    from concurrent.futures import Executor


@dataclass(frozen=True)
class RunOptions:
    """How to run, as opposed to what to do.

    Attributes:
        if_exists: ``"error"`` refuses a target that is there; ``"replace"`` puts the new bundle in its place.
        jobs: number of workers; the output does not depend on it. None for one for each core, up to eight. They are
            forked processes where that is safe, else threads; a small checkpoint has one in any case. With an
            executor, how many workers that has, as far as it is known.
        dry_run: decide and plan only; nothing is written and no payload is read.
        measure: measure errors and distributions, too, not only counts; it takes two or three times as long.
        progress: is told how far the run has come.
        executor: does the work instead of workers of our own: any ``concurrent.futures.Executor``, such as that of a
            ``dask.distributed.Client`` or of ``mpi4py``. Its workers have this package, of the same version, and
            find source and target under the same absolute paths, or URLs. It is not shut down. A worker that is lost
            does no harm where the executor does its steps again.

    Raises:
        ValueError: fewer than one job.

    Example:
        >>> RunOptions(jobs=2).jobs
        2
    """

    if_exists: IfExists = "error"
    jobs: int | None = None
    dry_run: bool = False
    measure: bool = False
    progress: Progress = field(default_factory=NoProgress)
    executor: Executor | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs is {self.jobs}, expected at least 1")


def carry_out(
    plan: Plan,
    sources: Sequence[ReadableFile],
    prefix: str,
    storage: Storage,
    *,
    on_overflow: OnOverflow,
    options: RunOptions,
    beside: Mapping[str, Stream] = MappingProxyType({}),
) -> StatsTable:
    """Run a plan and publish its result.

    Args:
        plan: what to do.
        sources: the source shards, opened before the plan was made.
        prefix: where the result goes.
        storage: where both are.
        on_overflow: what to do with values that do not fit.
        options: workers, overwriting, progress.
        beside: contents of further files that are published together with the result, by their paths.

    Returns:
        What the cast did to each tensor, in the order of the plan's decisions.

    Raises:
        ChecksumError, FormatError: a source is damaged, or changed meanwhile. Nothing is left behind.
        CastError: values overflow and ``on_overflow`` does not allow it. Nothing is left behind.
    """
    with _staged_shards(plan, prefix, storage, options) as (stage, targets):
        context = StepContext(storage, _paths(sources), targets, Treatment(on_overflow, options.measure))
        ledger = _run(context, plan, sources, options)
        ledger.check_overflow(on_overflow)
        for path, contents in beside.items():
            file = stage.create(path)
            write_stream(contents, file)
            file.close()
        publish_bundle(stage, storage, prefix, plan.header, ledger.iter_index_rows(), options.if_exists)
    return ledger.stats


@contextmanager
def _staged_shards(
    plan: Plan, prefix: str, storage: Storage, options: RunOptions
) -> Iterator[tuple[Stage, Mapping[int, str]]]:
    """Give a stage, and the path at which each target shard is written until it is published."""
    with ExitStack() as stack:
        replace = options.if_exists == "replace"
        if options.executor is not None and is_url(prefix):
            from tfbundle.streaming.uploads import take_over, uploaded_shards

            num_shards = len(plan.shard_nbytes)
            uploads = stack.enter_context(uploaded_shards(storage, prefix, num_shards, options.if_exists))
            stage = stack.enter_context(staging(storage, replace=replace))
            take_over(stage, prefix, uploads)
            yield stage, uploads
            return
        stage = stack.enter_context(staging(storage, replace=replace))
        files = stage_shards(stage, storage, prefix, plan.shard_nbytes)
        for file in files:
            file.close()  # whoever writes opens it; there may be thousands
        yield stage, {shard: file.path for shard, file in enumerate(files)}


def stream_into(
    targets: Sequence[str],
    plan: Plan,
    sources: Sequence[ReadableFile],
    storage: Storage,
    *,
    on_overflow: OnOverflow,
    options: RunOptions,
) -> StatsTable:
    """Run a plan into files that are staged already, whatever they are to become; otherwise as ``carry_out``.

    Args:
        targets: temporary path of each target shard, in which the plan's offsets are free.
        plan: what to do.
        sources: the source shards, opened before the plan was made.
        storage: where everything is.
        on_overflow: what to do with values that do not fit.
        options: workers, progress.

    Raises:
        ChecksumError, FormatError, CastError: as ``carry_out``.
    """
    context = StepContext(storage, _paths(sources), dict(enumerate(targets)), Treatment(on_overflow, options.measure))
    ledger = _run(context, plan, sources, options)
    ledger.check_overflow(on_overflow)
    return ledger.stats


def survey(
    plan: Plan, sources: Sequence[ReadableFile], storage: Storage, *, on_overflow: OnOverflow, options: RunOptions
) -> StatsTable:
    """Run a plan without writing anything; return what the cast would do, as ``carry_out`` does.

    Raises:
        ChecksumError, FormatError: a source is damaged, or changed meanwhile.
    """
    context = StepContext(storage, _paths(sources), {}, Treatment(on_overflow, options.measure))
    return _run(context, plan, sources, options).stats


def _paths(files: Sequence[ReadableFile]) -> dict[int, str]:
    return {number: file.path for number, file in enumerate(files)}


def _run(context: StepContext, plan: Plan, sources: Sequence[ReadableFile], options: RunOptions) -> Ledger:
    ledger = Ledger(plan, [source.path for source in sources])
    progress = options.progress
    with _doing_steps(context, plan, options) as results:
        progress.start(plan.source_nbytes)
        try:
            for step, result in results:
                ledger.enter(result)
                progress.advance(step.nbytes)
            ledger.check_complete()
        finally:
            progress.finish()
    for source in sources:
        source.check_unchanged()
    return ledger


@contextmanager
def _doing_steps(context: StepContext, plan: Plan, options: RunOptions) -> Iterator[Results]:
    """Give the results of all steps; when the block is left, nobody does any more."""
    uploads = any(map(is_url, context.targets.values()))  # each goes from its first to its last byte
    if options.executor is not None:
        with closing(_run_elsewhere(context, plan, options.executor, options.jobs, uploads=uploads)) as results:
            yield results
        return
    num_workers = choose_num_workers(1 if uploads else options.jobs, plan.source_nbytes, plan.step_nbytes)
    with (
        hired_workers(num_workers) as executor,
        closing(run_steps(run_step, context, iter_steps(plan), executor, num_workers)) as results,
    ):
        yield results


def _run_elsewhere(
    context: StepContext, plan: Plan, executor: Executor, num_workers: int | None, *, uploads: bool
) -> Results:
    from tfbundle.streaming.elsewhere import run_steps_elsewhere
    from tfbundle.streaming.uploads import run_batches

    run = run_batches if uploads else run_steps_elsewhere
    return run(context, plan, executor, num_workers)
