"""Halving a checkpoint: float32 tensors become float16, everything else stays as it is, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.reader import BundleReader, open_bundle
from tfbundle.bundle.writer import IfExists, check_target, publish_index, remove_stale_shards, target_prefix
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import CastStats
from tfbundle.conversion.beside import record_checkpoint, surroundings_notes
from tfbundle.conversion.layout import Layout
from tfbundle.conversion.ledger import Ledger
from tfbundle.conversion.optimizer import find_optimizer_state
from tfbundle.conversion.pipeline import StepContext, run_steps
from tfbundle.conversion.plan import Plan, plan_halve
from tfbundle.conversion.progress import NoProgress, Progress
from tfbundle.conversion.report import HalveReport, conversion_notes, report_tensors
from tfbundle.conversion.select import Decision, Selection, decide
from tfbundle.conversion.transcode import pack_index, readable_bundle
from tfbundle.errors import BundleExistsError, FormatError
from tfbundle.format.naming import OBJECT_GRAPH_KEY, data_filename, index_filename, key_to_name
from tfbundle.format.object_graph import TrackableObject, decode_object_graph
from tfbundle.storage.base import Stage, Storage, staging
from tfbundle.storage.local import LocalStorage

_MAX_DEFAULT_JOBS = 4


@dataclass(frozen=True)
class RunOptions:
    """How to run, as opposed to what to do.

    Attributes:
        if_exists: ``"error"`` refuses a target that is there; ``"replace"`` puts the new bundle in its place.
        jobs: number of threads; None for one a processor, at most 4. The output does not depend on it.
        dry_run: decide and plan only; nothing is written and no payload is read.
        progress: is told how far the run has come.

    Raises:
        ValueError: fewer than one job.

    Example:
        >>> RunOptions(jobs=2).num_workers
        2
    """

    if_exists: IfExists = "error"
    jobs: int | None = None
    dry_run: bool = False
    progress: Progress = field(default_factory=NoProgress)

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs is {self.jobs}, expected at least 1")

    @property
    def num_workers(self) -> int:
        """Number of threads that ``jobs`` stands for."""
        return self.jobs or min(os.cpu_count() or 1, _MAX_DEFAULT_JOBS)


def halve(
    source: PathLike,
    target: PathLike,
    /,
    *,
    selection: Selection = Selection(),
    policy: CastPolicy = CastPolicy(),
    layout: Layout = Layout(),
    options: RunOptions = RunOptions(),
) -> HalveReport:
    """Write a copy of a checkpoint in which float32 tensors are float16.

    Reads and writes in windows of 1 MiB, whatever the size of a tensor. The checksum of every tensor that is copied
    or cast is verified. Payloads and checksums of tensors that are not cast stay byte-identical.

    Args:
        source: a prefix, any file of the bundle, a directory with a ``checkpoint`` file, or a SavedModel directory.
        target: a prefix, or a directory in which the bundle takes the source's name.
        selection: which tensors to cast, keep and drop.
        policy: what to do with values beyond 65504.
        layout: whether slices are joined, and how many shards there are.
        options: threads, overwriting, dry run, progress.

    Returns:
        What was done to each tensor, and what the cast did to its numbers.

    Raises:
        BundleNotFoundError: no source, or one of its shards is missing.
        BundleExistsError: the target is there already, or is the source.
        FormatError: the source is damaged, or changed while it was read. Nothing is left behind.
        CastError: values overflow and ``policy`` does not allow it. Nothing is left behind.
        UnsupportedError: the source is of a kind that cannot be halved yet.
        ValueError: a pattern in ``selection`` matches nothing.
        OSError: reading or writing failed. Nothing is left behind.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> folder = tempfile.mkdtemp()
        >>> tfbundle.save(folder + "/model", {"w": np.ones(4, np.float32), "step": np.int64(7)})
        >>> report = tfbundle.halve(folder + "/model", folder + "/half/model")
        >>> report.source_nbytes, report.target_nbytes
        (24, 16)
        >>> tfbundle.load(folder + "/half/model")["w"].dtype
        dtype('float16')
    """
    storage = LocalStorage()
    with open_bundle(source, storage=storage) as bundle:
        prefix = target_prefix(target, bundle.prefix, storage)
        _check_not_same(bundle, prefix, storage)
        try:
            plan = _plan(bundle, selection, layout)
            notes = surroundings_notes(bundle.prefix, storage)
            stats: Mapping[bytes, CastStats] = {}
            if not options.dry_run:
                check_target(prefix, plan.header.num_shards, options.if_exists, storage)
                with readable_bundle(bundle, prefix) as readable:
                    plan = plan if readable is bundle else _plan(readable, selection, layout)
                    stats = _carry_out(readable, prefix, plan, policy, options)
                notes += record_checkpoint(bundle.prefix, prefix, storage)
        except FormatError as error:
            raise error.add_path(bundle.prefix) from error
        tensors = report_tensors(plan, stats)
        return HalveReport(
            bundle.prefix,
            prefix,
            options.dry_run,
            sum(row.entry.size for row in plan.sources),
            sum(plan.shard_nbytes),
            tensors,
            (*conversion_notes(tensors), *notes),
        )


def _plan(bundle: BundleReader, selection: Selection, layout: Layout) -> Plan:
    decisions = decide_tensors(bundle, selection)
    if bundle.is_v1:
        return plan_halve(*pack_index(bundle.index), decisions, layout)
    shard_nbytes = [bundle.shards.open(number).nbytes for number in range(bundle.index.header.num_shards)]
    return plan_halve(bundle.index, shard_nbytes, decisions, layout)


def decide_tensors(bundle: BundleReader, selection: Selection) -> dict[str, Decision]:
    """Decide what becomes of each tensor of a bundle, its object graph taken into account.

    Raises:
        ValueError: a pattern matches nothing.
        FormatError: an entry or the object graph is damaged.
    """
    dtypes = {name: bundle.entry(name).dtype for name in bundle}
    return decide(dtypes, selection, find_optimizer_state(dtypes, _read_object_graph(bundle)))


def _read_object_graph(bundle: BundleReader) -> tuple[TrackableObject, ...]:
    name = key_to_name(OBJECT_GRAPH_KEY)
    return decode_object_graph(bundle[name].item()) if name in bundle else ()


def _check_not_same(bundle: BundleReader, prefix: str, storage: Storage) -> None:
    num_shards = bundle.index.header.num_shards
    pairs = [(index_filename(bundle.prefix), index_filename(prefix))]
    pairs += [
        (data_filename(bundle.prefix, shard, num_shards), data_filename(prefix, shard, num_shards))
        for shard in range(num_shards)
    ]
    for source, target in pairs:
        if storage.is_same(source, target):
            raise BundleExistsError(f"the target is the source {source}; choose another one", target)


def _carry_out(
    bundle: BundleReader, prefix: str, plan: Plan, policy: CastPolicy, options: RunOptions
) -> Mapping[bytes, CastStats]:
    """Run a plan and publish its result; return the statistics of each tensor."""
    storage = bundle.storage
    num_shards = bundle.index.header.num_shards
    with staging(storage, replace=options.if_exists == "replace") as stage:
        context = StepContext(
            storage,
            tuple(data_filename(bundle.prefix, shard, num_shards) for shard in range(num_shards)),
            _stage_shards(stage, prefix, plan),
            policy,
        )
        ledger = Ledger(plan)
        _run(context, plan, ledger, options)
        for shard in range(num_shards):
            bundle.shards.open(shard).check_unchanged()
        ledger.check_overflow(policy)
        publish_index(stage, prefix, plan.header, ledger.entries())
    if options.if_exists == "replace":
        remove_stale_shards(prefix, plan.header.num_shards, storage)
    return ledger.stats


def _stage_shards(stage: Stage, prefix: str, plan: Plan) -> tuple[str, ...]:
    """Create every target shard at its full size; return their temporary paths."""
    files = [
        stage.create(data_filename(prefix, shard, plan.header.num_shards)) for shard in range(plan.header.num_shards)
    ]
    for file, nbytes in zip(files, plan.shard_nbytes, strict=True):
        file.reserve(nbytes)
    return tuple(file.path for file in files)


def _run(context: StepContext, plan: Plan, ledger: Ledger, options: RunOptions) -> None:
    progress = options.progress
    num_workers = min(options.num_workers, max(1, len(plan.steps)))
    progress.start(plan.source_nbytes)
    try:
        with ExitStack() as stack:
            executor: Executor | None = None
            if num_workers > 1:
                executor = ThreadPoolExecutor(num_workers)
                stack.callback(executor.shutdown, cancel_futures=True)
            for step, result in run_steps(context, plan, executor, num_workers):
                ledger.enter(result)
                progress.advance(step.nbytes)
        ledger.check_complete()
    finally:
        progress.finish()
