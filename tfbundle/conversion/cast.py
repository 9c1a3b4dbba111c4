"""Casting a checkpoint: chosen tensors get another dtype, everything else stays as it is, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tfbundle.bundle.beside import settle, surroundings_notes
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import check_not_same, check_target, check_vacant, room_note, target_prefix
from tfbundle.bundle.transcode import is_copied_here, readable_bundle
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import StatsTable
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.conversion.request import Request
from tfbundle.errors import BundleExistsError, FormatError
from tfbundle.format.dtypes import ELEMENT_NBYTES
from tfbundle.reporting.notes import UNKNOWN_OVERFLOW_NOTE, UNKNOWN_SIZES_NOTE, conversion_notes
from tfbundle.reporting.report import CastReport, TensorReports
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage
from tfbundle.storage.stream import Stream
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.run import RunOptions, carry_out

if TYPE_CHECKING:
    from tfbundle.conversion.companion import Companion


def cast(
    source: PathLike,
    target: PathLike,
    /,
    *,
    policy: CastPolicy,
    selection: Selection = Selection(),
    naming: Naming = Naming(),
    layout: Layout = Layout(),
    options: RunOptions = RunOptions(),
) -> CastReport:
    """Write a copy of a checkpoint in which some tensors have another dtype.

    Reads and writes in windows of 1 MiB, whatever the size of a tensor. The checksum of every tensor that is copied
    or cast is verified. Payloads and checksums of tensors that are not cast stay byte-identical.

    Args:
        source: a prefix, any file of the bundle, a directory with a ``checkpoint`` file, or a SavedModel directory.
        target: a prefix, or a directory in which the bundle takes the source's name.
        policy: what is cast to what, and what to do with values that do not fit.
        selection: which tensors to cast, keep and drop.
        naming: what tensors are called in the target.
        layout: whether slices are joined, and how many shards there are.
        options: workers, overwriting, dry run, progress.

    Returns:
        What was done to each tensor, and what the cast did to its numbers.

    Raises:
        BundleNotFoundError: no source, or one of its shards is missing.
        BundleExistsError: the target is there already, or is the source.
        FormatError: the source is damaged, or changed while it was read. Nothing is left behind.
        CastError: values overflow and ``policy`` does not allow it. Nothing is left behind.
        UnsupportedError: the source is no checkpoint, or there is no such cast.
        ValueError: a pattern matches nothing, or new names collide.
        OSError: reading or writing failed. Nothing is left behind.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> folder = tempfile.mkdtemp()
        >>> tfbundle.save(folder + "/half", {"w": np.ones(4, np.float16), "step": np.int64(7)})
        >>> report = tfbundle.cast(folder + "/half", folder + "/single", policy=tfbundle.CastPolicy("float32"))
        >>> report.source_nbytes, report.target_nbytes
        (16, 24)
    """
    if selection.strip_training:
        raise ValueError("--strip-training is for halve, which converts the graph, too")
    storage = Anywhere()
    request = Request(policy, selection, naming, layout)
    storage.check_writable(storage.admit(target))
    with open_bundle(source, storage=storage) as bundle:
        prefix = target_prefix(target, bundle.prefix, storage)
        return cast_bundle(bundle, prefix, request, options)


def cast_bundle(bundle: BundleReader, prefix: str, request: Request, options: RunOptions) -> CastReport:
    """Do to an open bundle what was asked for; with its graph, if the request has one.

    Args:
        bundle: the source.
        prefix: of the target.
        request: what to do.
        options: how.

    Raises:
        As ``cast``.
    """
    storage, graph = bundle.storage, request.graph
    check_not_same(bundle, prefix, storage)
    try:
        plan = request.plan(bundle)
        notes = _surroundings(bundle, plan, graph)
        stats: StatsTable | None = None
        if options.dry_run:
            beside = _beside(request, plan, prefix)
            nbytes = sum(plan.shard_nbytes) + sum(stream.nbytes for stream in beside.values())
            notes += [*_unknowns(bundle, plan, request.policy), room_note(prefix, nbytes, storage)]
        else:
            _check_targets(prefix, plan, request, options, storage)
            if is_copied_here(bundle, prefix):
                options = replace(options, executor=None)
            with readable_bundle(bundle, prefix) as readable:
                plan, stats = _carry_out(readable, bundle, plan, prefix, request, options)
            if graph is None or graph.kind != "SavedModel":
                notes += settle([bundle.prefix], prefix, plan.header.num_shards, storage)
    except FormatError as error:
        raise error.add_path(bundle.prefix) from error
    return _report(bundle, prefix, request, plan, stats, options, notes)


def _carry_out(
    readable: BundleReader, bundle: BundleReader, plan: Plan, prefix: str, request: Request, options: RunOptions
) -> tuple[Plan, StatsTable]:
    """Carry out a plan, made again for what only payloads tell; return it, and what the cast did to the numbers."""
    if readable is not bundle:  # string sizes are only known now, and so where data files end
        plan = request.plan(readable)
    if request.policy.on_overflow == "keep":
        from tfbundle.conversion.survey import keep_overflowing

        plan = keep_overflowing(readable, request, plan, options)
    _check_targets(prefix, plan, request, options, bundle.storage)
    beside = _beside(request, plan, prefix)
    stats = carry_out(
        plan,
        readable.open_shards(),
        prefix,
        bundle.storage,
        on_overflow=request.policy.on_overflow,
        options=options,
        beside=beside,
    )
    return plan, stats


def _beside(request: Request, plan: Plan, prefix: str) -> dict[str, Stream]:
    """Return the files that are published together with the bundle."""
    graph = request.graph
    return {**request.beside, **({graph.place(prefix): graph.rewrite(plan)} if graph else {})}


def _check_targets(prefix: str, plan: Plan, request: Request, options: RunOptions, storage: Storage) -> None:
    check_target(prefix, plan.header.num_shards, options.if_exists, storage)
    graph = request.graph
    if graph is None or graph.kind != "meta":
        return
    path = graph.place(prefix)
    if storage.is_same(graph.path, path):
        raise BundleExistsError(f"the target is the source {graph.path}; choose another one", path)
    check_vacant([path], options.if_exists, storage)


def _surroundings(bundle: BundleReader, plan: Plan, graph: Companion | None) -> list[str]:
    """Name the graphs around the source that go with it no longer."""
    if not plan.decisions.are("cast").any() or (graph is not None and graph.kind == "SavedModel"):
        return []
    return surroundings_notes(bundle.prefix, bundle.storage, graph.path if graph else "")


def _report(
    bundle: BundleReader,
    prefix: str,
    request: Request,
    plan: Plan,
    stats: StatsTable | None,
    options: RunOptions,
    notes: list[str],
) -> CastReport:
    source_nbytes, target_nbytes = int(plan.index.columns.size.sum()), sum(plan.shard_nbytes)
    graph = request.graph.report(request.graph.place(prefix)) if request.graph else None
    told = request.graph.notes(source_nbytes - target_nbytes) if request.graph else []
    rewritten = graph.target if graph else ""
    return CastReport(
        bundle.prefix,
        prefix,
        options.dry_run,
        source_nbytes,
        target_nbytes,
        TensorReports(plan, stats),
        (*conversion_notes(plan, request.policy.to, rewritten), *told, *notes),
        graph,
    )


def _unknowns(bundle: BundleReader, plan: Plan, policy: CastPolicy) -> list[str]:
    """Say what a plan cannot tell before payloads are read."""
    notes = [UNKNOWN_OVERFLOW_NOTE] if policy.on_overflow == "keep" else []
    if bundle.is_v1 and (ELEMENT_NBYTES[plan.index.columns.dtype] == 0).any():
        notes.append(UNKNOWN_SIZES_NOTE)
    return notes
