"""Running a plan: stage, stream, judge, publish; or only stream, for the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tfbundle.bundle.publish import publish_bundle, stage_shards
from tfbundle.bundle.target import IfExists
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import StatsTable
from tfbundle.storage.base import ReadableFile, Storage, staging
from tfbundle.streaming.ledger import Ledger
from tfbundle.streaming.pipeline import StepContext, run_steps
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.progress import NoProgress, Progress
from tfbundle.streaming.steps import iter_steps
from tfbundle.streaming.workers import choose_num_workers, hired_workers
from tfbundle.streaming.workspace import Treatment


@dataclass(frozen=True)
class RunOptions:
    """How to run, as opposed to what to do.

    Attributes:
        if_exists: ``"error"`` refuses a target that is there; ``"replace"`` puts the new bundle in its place.
        jobs: number of workers; the output does not depend on it. None for one for each core, up to eight. They are
            forked processes where that is safe, else threads; a small checkpoint has one in any case.
        dry_run: decide and plan only; nothing is written and no payload is read.
        measure: measure errors and distributions, too, not only counts; it takes two or three times as long.
        progress: is told how far the run has come.

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
) -> StatsTable:
    """Run a plan and publish its result.

    Args:
        plan: what to do.
        sources: the source shards, opened before the plan was made.
        prefix: where the result goes.
        storage: where both are.
        on_overflow: what to do with values that do not fit.
        options: workers, overwriting, progress.

    Returns:
        What the cast did to each tensor, in the order of the plan's decisions.

    Raises:
        ChecksumError, FormatError: a source is damaged, or changed meanwhile. Nothing is left behind.
        CastError: values overflow and ``on_overflow`` does not allow it. Nothing is left behind.
    """
    with staging(storage, replace=options.if_exists == "replace") as stage:
        files = stage_shards(stage, storage, prefix, plan.shard_nbytes)
        for file in files:
            file.close()  # whoever writes opens it; there may be thousands
        targets = tuple(file.path for file in files)
        context = StepContext(
            storage, tuple(source.path for source in sources), targets, Treatment(on_overflow, options.measure)
        )
        ledger = _run(context, plan, sources, options)
        ledger.check_overflow(on_overflow)
        publish_bundle(stage, storage, prefix, plan.header, ledger.iter_index_rows(), options.if_exists)
    return ledger.stats


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
    paths = tuple(source.path for source in sources)
    context = StepContext(storage, paths, tuple(targets), Treatment(on_overflow, options.measure))
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
    context = StepContext(
        storage, tuple(source.path for source in sources), (), Treatment(on_overflow, options.measure)
    )
    return _run(context, plan, sources, options).stats


def _run(context: StepContext, plan: Plan, sources: Sequence[ReadableFile], options: RunOptions) -> Ledger:
    ledger = Ledger(plan, [source.path for source in sources])
    progress, nbytes = options.progress, plan.source_nbytes
    num_workers = choose_num_workers(options.jobs, nbytes, plan.step_nbytes)
    with hired_workers(num_workers) as executor:
        progress.start(nbytes)
        try:
            for step, result in run_steps(context, iter_steps(plan), executor, num_workers):
                ledger.enter(result)
                progress.advance(step.nbytes)
            ledger.check_complete()
        finally:
            progress.finish()
    for source in sources:
        source.check_unchanged()
    return ledger
