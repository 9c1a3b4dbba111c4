"""Casting a checkpoint: chosen tensors get another dtype, everything else stays as it is, byte for byte."""

from __future__ import annotations

from tfbundle.bundle.beside import settle, surroundings_notes
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import check_not_same, check_target, room_note, target_prefix
from tfbundle.bundle.transcode import readable_bundle
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import StatsTable
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.conversion.request import Request
from tfbundle.errors import FormatError
from tfbundle.format.dtypes import ELEMENT_NBYTES
from tfbundle.reporting.notes import UNKNOWN_OVERFLOW_NOTE, UNKNOWN_SIZES_NOTE, conversion_notes
from tfbundle.reporting.report import CastReport, TensorReports
from tfbundle.storage.anywhere import Anywhere
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.run import RunOptions, carry_out


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
    storage = Anywhere()
    request = Request(policy, selection, naming, layout)
    storage.check_writable(storage.admit(target))
    with open_bundle(source, storage=storage) as bundle:
        prefix = target_prefix(target, bundle.prefix, storage)
        check_not_same(bundle, prefix, storage)
        try:
            plan = request.plan(bundle)
            notes = surroundings_notes(bundle.prefix, storage) if plan.decisions.are("cast").any() else []
            stats: StatsTable | None = None
            if options.dry_run:
                notes += [*_unknowns(bundle, plan, policy), room_note(prefix, sum(plan.shard_nbytes), storage)]
            else:
                check_target(prefix, plan.header.num_shards, options.if_exists, storage)
                with readable_bundle(bundle, prefix) as readable:
                    if readable is not bundle:  # string sizes are only known now, and so where data files end
                        plan = request.plan(readable)
                    if policy.on_overflow == "keep":
                        from tfbundle.conversion.survey import keep_overflowing

                        plan = keep_overflowing(readable, request, plan, options)
                    check_target(prefix, plan.header.num_shards, options.if_exists, storage)
                    stats = carry_out(
                        plan,
                        readable.open_shards(),
                        prefix,
                        storage,
                        on_overflow=policy.on_overflow,
                        options=options,
                    )
                notes += settle([bundle.prefix], prefix, plan.header.num_shards, storage)
        except FormatError as error:
            raise error.add_path(bundle.prefix) from error
        return CastReport(
            bundle.prefix,
            prefix,
            options.dry_run,
            int(plan.index.columns.size.sum()),
            sum(plan.shard_nbytes),
            TensorReports(plan, stats),
            (*conversion_notes(plan, policy.to), *notes),
        )


def _unknowns(bundle: BundleReader, plan: Plan, policy: CastPolicy) -> list[str]:
    """Say what a plan cannot tell before payloads are read."""
    notes = [UNKNOWN_OVERFLOW_NOTE] if policy.on_overflow == "keep" else []
    if bundle.is_v1 and (ELEMENT_NBYTES[plan.index.columns.dtype] == 0).any():
        notes.append(UNKNOWN_SIZES_NOTE)
    return notes
