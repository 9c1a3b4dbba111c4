"""Averaging checkpoints of one model: the mean of every float, everything else from the last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from tfbundle.blending.alike import check_alike
from tfbundle.blending.averaging import AveragePlan, Averaging, check_sources, plan_average
from tfbundle.blending.blend import Difference
from tfbundle.blending.disagreement import check_agreement, difference_notes
from tfbundle.bundle.beside import settle
from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.publish import publish_bundle, stage_shards
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.state_file import newest_prefixes
from tfbundle.bundle.target import check_not_same, check_target, room_note, target_prefix
from tfbundle.bundle.transcode import pack_index, readable_bundle
from tfbundle.format.entries import LITTLE
from tfbundle.format.index import BundleIndex
from tfbundle.format.naming import key_to_name
from tfbundle.format.state import STATE_FILENAME
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage, staging
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.run import RunOptions

Integers = Literal["last", "agree"]


@dataclass(frozen=True)
class AverageReport:
    """What an ``average`` did, or would do.

    Attributes:
        sources: prefixes of the inputs, in order.
        target: prefix of the result.
        dry_run: whether nothing was written.
        num_tensors: how many tensors the result has.
        num_averaged: how many of them are means; the others are copies.
        num_shards: how many data files.
        nbytes: bytes of payload; of a V1 checkpoint's strings the least they can be, in a dry run.
        from_last: names of the tensors that are no floats and that differ, and were taken from the last input.
        notes: what the user should know beyond the numbers.
    """

    sources: tuple[str, ...]
    target: str
    dry_run: bool
    num_tensors: int
    num_averaged: int
    num_shards: int
    nbytes: int
    from_last: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


def average(
    sources: Sequence[PathLike],
    target: PathLike,
    /,
    *,
    last: int | None = None,
    integers: Integers = "last",
    layout: Layout = Layout(),
    options: RunOptions = RunOptions(),
) -> AverageReport:
    """Write the mean of checkpoints of one model.

    Floats of any width are summed in float64, in the order given, divided by the number of inputs and rounded once to
    their own dtype, to nearest even; complex numbers by their parts. Everything else is copied where the inputs agree,
    and taken from the last where they do not. Partitioned tensors stay so where all inputs have the same slices, else
    they become plain. Reads and writes in windows of 1 MiB, whatever the size of a tensor; every payload is verified.

    Args:
        sources: at least two paths as for ``open``; the same one twice counts double.
        target: a prefix, or a directory in which the result takes the last input's name.
        last: take the newest so many checkpoints of the directory that is then the only source, as its ``checkpoint``
            file lists them.
        integers: ``"last"`` takes what is no float and differs from the last input; ``"agree"`` refuses it. The object
            graph of a TF2 checkpoint is the last input's in any case.
        layout: shards other than those of the last input.
        options: overwriting, dry run, progress; a single worker does it all.

    Raises:
        BundleNotFoundError: an input, or one of its shards, is missing.
        BundleExistsError: the target is there already, or is an input.
        FormatError: an input is damaged, or changed while it was read. Nothing is left behind.
        UnsupportedError: an input is no checkpoint, or holds strings in different slices.
        ValueError: fewer than two inputs; inputs with other names, dtypes or shapes; or values that do not agree.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> folder = tempfile.mkdtemp()
        >>> tfbundle.save(folder + "/a", {"w": np.float32(1), "step": np.int64(7)})
        >>> tfbundle.save(folder + "/b", {"w": np.float32(2), "step": np.int64(8)})
        >>> tfbundle.average([folder + "/a", folder + "/b"], folder + "/mean").from_last
        ('step',)
        >>> tfbundle.load(folder + "/mean")["w"].item()
        1.5
    """
    storage = Anywhere()
    if integers not in get_args(Integers):
        raise ValueError(f"integers is {integers!r}, expected one of {get_args(Integers)}")
    storage.check_writable(storage.admit(target))
    places = list(sources) if last is None else _list_newest(sources, last, storage)
    if options.executor is not None:
        raise ValueError("a mean is taken by a single worker; leave out the executor")
    if len(places) < 2:
        raise ValueError("a mean needs at least two checkpoints; --last N takes the newest of a directory")
    with ExitStack() as stack:
        bundles = [stack.enter_context(open_bundle(path, storage=storage)) for path in places]
        prefix = target_prefix(target, bundles[-1].prefix, storage)
        for bundle in bundles:
            check_not_same(bundle, prefix, storage)
        check_alike(bundles)
        plan = plan_average([_planned_index(bundle) for bundle in bundles], layout)
        from_last: tuple[str, ...] = ()
        num_shards = len(plan.placement.shard_nbytes)
        notes = [room_note(prefix, sum(plan.placement.shard_nbytes), storage)]
        if not options.dry_run:
            for bundle in bundles:
                bundle.open_shards()  # before all those of the target are sought
            check_target(prefix, num_shards, options.if_exists, storage)
            copies = [stack.enter_context(readable_bundle(bundle, prefix)) for bundle in bundles]
            plan = plan_average([bundle.index for bundle in copies], layout)  # now with the sizes of all strings
            agreeing = bundles if integers == "agree" else []
            differences = _write(plan, copies, agreeing, prefix, options)
            from_last = _tensor_names(plan.index, differences)
            notes = difference_notes(bundles, differences)
            notes += settle((bundle.prefix for bundle in bundles), prefix, num_shards, storage)
        return AverageReport(
            tuple(bundle.prefix for bundle in bundles),
            prefix,
            options.dry_run,
            len(plan.index.tensor_rows),
            plan.num_averaged,
            len(plan.placement.shard_nbytes),
            int(plan.sizes.sum()),
            from_last,
            tuple(notes),
        )


def _list_newest(sources: Sequence[PathLike], count: int, storage: Storage) -> list[str]:
    """Return the prefixes of a directory's newest checkpoints, oldest first."""
    if len(sources) != 1:
        raise ValueError(f"--last takes one directory with a 'checkpoint' file, not {len(sources)} checkpoints")
    path = storage.admit(sources[0])
    is_file = paths.basename(path) == STATE_FILENAME and not storage.is_directory(path)
    directory = paths.dirname(path) if is_file else path
    return newest_prefixes(directory, max(count, 1), storage)


def _planned_index(bundle: BundleReader) -> BundleIndex:
    return pack_index(bundle.index)[0] if bundle.is_v1 else bundle.index


def _write(
    plan: AveragePlan,
    bundles: Sequence[BundleReader],
    agreeing: Sequence[BundleReader],
    prefix: str,
    options: RunOptions,
) -> dict[bytes, Difference]:
    """Carry a plan out, and publish the result; return what is no float and differs, unless bundles must agree."""
    storage, num_shards = bundles[-1].storage, len(plan.placement.shard_nbytes)
    check_target(prefix, num_shards, options.if_exists, storage)
    check_sources(bundles)
    header = replace(plan.index.header, num_shards=num_shards, endianness=LITTLE)
    with staging(storage, replace=options.if_exists == "replace") as stage:
        files = stage_shards(stage, storage, prefix, plan.placement.shard_nbytes)
        averaging = Averaging(plan, bundles, files, options.progress)
        options.progress.start(averaging.nbytes)
        try:
            averaging.copy()
            if agreeing:
                check_agreement(agreeing, averaging.differences)
            averaging.average()
        finally:
            options.progress.finish()
        publish_bundle(stage, storage, prefix, header, averaging.iter_index_rows(), options.if_exists)
    return averaging.differences


def _tensor_names(index: BundleIndex, keys: Collection[bytes]) -> tuple[str, ...]:
    """Return the names of tensors that have these keys, or slices that do."""
    tensors = {key: key for key in keys}
    for row in np.flatnonzero(index.columns.sliced).tolist():
        tensor = index.keys_in_order[row]
        tensors |= {key: tensor for key, _ in index.slice_rows(tensor) if key in keys}
    return tuple(sorted({key_to_name(key) for key in tensors.values()}))
