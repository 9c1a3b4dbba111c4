"""Halving a checkpoint: float32 tensors become float16, everything else stays as it is, byte for byte."""

from __future__ import annotations

from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.reader import BundleReader, open_bundle
from tfbundle.bundle.writer import check_target, target_prefix
from tfbundle.casting.policy import CastPolicy
from tfbundle.casting.stats import StatsTable
from tfbundle.conversion.beside import record_checkpoint, surroundings_notes
from tfbundle.conversion.layout import Layout
from tfbundle.conversion.optimizer import find_optimizer_state
from tfbundle.conversion.plan import Edits, Plan
from tfbundle.conversion.planning import plan_halve
from tfbundle.conversion.rename import rename_names
from tfbundle.conversion.report import HalveReport, TensorReports, conversion_notes
from tfbundle.conversion.run import RunOptions, carry_out
from tfbundle.conversion.select import Decisions, Selection, decide
from tfbundle.conversion.transcode import pack_index, readable_bundle
from tfbundle.errors import BundleExistsError, FormatError
from tfbundle.format.naming import OBJECT_GRAPH_KEY, data_filename, index_filename, key_to_name, name_to_key
from tfbundle.format.object_graph import TrackableObject, decode_object_graph, drop_values, rename_values
from tfbundle.format.strings import encode_strings
from tfbundle.storage.base import Storage
from tfbundle.storage.local import LocalStorage


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
        options: workers, overwriting, dry run, progress.

    Returns:
        What was done to each tensor, and what the cast did to its numbers.

    Raises:
        BundleNotFoundError: no source, or one of its shards is missing.
        BundleExistsError: the target is there already, or is the source.
        FormatError: the source is damaged, or changed while it was read. Nothing is left behind.
        CastError: values overflow and ``policy`` does not allow it. Nothing is left behind.
        UnsupportedError: the source is no checkpoint, or holds what nobody can convert.
        ValueError: a pattern in ``selection`` matches nothing, or new names collide.
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
        check_not_same(bundle, prefix, storage)
        try:
            plan = _plan(bundle, selection, layout)
            notes = surroundings_notes(bundle.prefix, storage) if plan.decisions.are("cast").any() else []
            stats: StatsTable | None = None
            if not options.dry_run:
                check_target(prefix, plan.header.num_shards, options.if_exists, storage)
                with readable_bundle(bundle, prefix) as readable:
                    if readable is not bundle:  # string sizes are only known now, and so where data files end
                        plan = _plan(readable, selection, layout)
                        check_target(prefix, plan.header.num_shards, options.if_exists, storage)
                    stats = carry_out(plan, readable.open_shards(), prefix, storage, policy=policy, options=options)
                notes += record_checkpoint(bundle.prefix, prefix, storage)
        except FormatError as error:
            raise error.add_path(bundle.prefix) from error
        return HalveReport(
            bundle.prefix,
            prefix,
            options.dry_run,
            int(plan.index.columns.size.sum()),
            sum(plan.shard_nbytes),
            TensorReports(plan, stats),
            (*conversion_notes(plan), *notes),
        )


def _plan(bundle: BundleReader, selection: Selection, layout: Layout) -> Plan:
    decisions = decide_tensors(bundle, selection)
    edits = _plan_edits(bundle, selection, decisions)
    if bundle.is_v1:
        return plan_halve(*pack_index(bundle.index), decisions, layout, edits)
    return plan_halve(bundle.index, [shard.nbytes for shard in bundle.open_shards()], decisions, layout, edits)


def _plan_edits(bundle: BundleReader, selection: Selection, decisions: Decisions) -> Edits:
    """Return new names, and the object graph that goes with them and with what is dropped."""
    is_dropped = decisions.are("drop")
    if not (selection.rename or is_dropped.any()):
        return Edits()
    dropped = {name for name, drop in zip(bundle, is_dropped.tolist(), strict=True) if drop}
    renames = rename_names([name for name in bundle if name not in dropped], selection.rename)
    names = {name_to_key(old): name_to_key(new) for old, new in renames.items()}
    graph_name = key_to_name(OBJECT_GRAPH_KEY)
    if graph_name not in bundle or graph_name in dropped:
        return Edits(names)
    graph = bundle[graph_name].item()
    edited = rename_values(drop_values(graph, dropped), renames)
    payloads = {} if edited == graph else {OBJECT_GRAPH_KEY: encode_strings([edited])}
    return Edits(names, payloads)


def decide_tensors(bundle: BundleReader, selection: Selection) -> Decisions:
    """Decide what becomes of each tensor of a bundle, its object graph taken into account.

    Raises:
        ValueError: a pattern matches nothing.
        FormatError: an entry or the object graph is damaged.
    """
    dtypes = bundle.index.columns.dtype[bundle.index.tensor_rows]
    return decide(bundle, dtypes, selection, find_optimizer_state(bundle, _read_object_graph(bundle)))


def _read_object_graph(bundle: BundleReader) -> tuple[TrackableObject, ...]:
    name = key_to_name(OBJECT_GRAPH_KEY)
    return decode_object_graph(bundle[name].item()) if name in bundle else ()


def check_not_same(bundle: BundleReader, prefix: str, storage: Storage) -> None:
    """Refuse a target that is the source, by whatever path or link.

    Raises:
        BundleExistsError: it is.
    """
    num_shards = bundle.index.header.num_shards
    pairs = [(index_filename(bundle.prefix), index_filename(prefix))]
    pairs += [(bundle.shards.path(shard), data_filename(prefix, shard, num_shards)) for shard in range(num_shards)]
    for source, target in pairs:
        if storage.is_same(source, target):
            raise BundleExistsError(f"the target is the source {source}; choose another one", target)
