"""Halving a checkpoint: float32 tensors become float16, everything else stays as it is, byte for byte."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from tfbundle.bundle.locate import PathLike, is_frozen_graph, is_saved_model
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import target_prefix
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.conversion.cast import cast_bundle
from tfbundle.conversion.request import Request
from tfbundle.format.naming import META_SUFFIX
from tfbundle.reporting.report import CastReport
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.run import RunOptions


def halve(
    source: PathLike,
    target: PathLike,
    /,
    *,
    selection: Selection = Selection(),
    naming: Naming = Naming(),
    policy: CastPolicy = CastPolicy(),
    layout: Layout = Layout(),
    options: RunOptions = RunOptions(),
) -> CastReport:
    """Write a copy of a checkpoint in which float32 tensors are float16, with the graph that goes with it.

    A SavedModel becomes a SavedModel; beside a checkpoint, its ``.meta`` file is rewritten; the constants of a frozen
    graph are stored as float16. Weights are float16 on disk only: what restores them casts them, variables and
    arithmetic stay float32, and callers change nothing. Where names change, or ``like`` settles the dtypes, another
    graph is meant, and the checkpoint is converted alone.

    Reads and writes in windows of 1 MiB, whatever the size of a tensor. The checksum of every tensor that is copied
    or cast is verified. Payloads and checksums of tensors that are not cast stay byte-identical.

    Args:
        source: a prefix, any file of the bundle, a directory with a ``checkpoint`` file, a SavedModel directory, or the
            ``.pb`` file of a frozen graph.
        target: a prefix, or a directory in which the bundle takes the source's name; for a SavedModel, the directory
            that becomes its copy; for a frozen graph, the new file, or a directory.
        selection: which tensors to cast, keep and drop.
        naming: what tensors are called in the target.
        policy: what to do with values beyond 65504.
        layout: whether slices are joined, how many shards there are, and whether the graph is converted, too.
        options: workers, overwriting, dry run, progress.

    Returns:
        What was done to each tensor and to the graph, and what the cast did to the numbers.

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
    if policy.to != "float16":
        raise ValueError(f"halve casts to float16; for {policy.to}, use cast")
    request = Request(policy, selection, naming, layout)
    storage = Anywhere()
    text = storage.admit(target)
    storage.check_writable(text)
    if selection.strip_training and (layout.graph == "leave" or not naming.changes_nothing):
        raise ValueError("--strip-training converts the graph, too; leave out --graph leave and new names")
    with_graph = layout.graph == "rewrite" and not selection.like and naming.changes_nothing
    if with_graph and is_saved_model(storage.admit(source), storage):
        from tfbundle.conversion.saved_model import halve_saved_model

        return halve_saved_model(storage.admit(source), text, request, options, storage)
    if layout.graph == "rewrite" and is_frozen_graph(storage.admit(source), storage):
        from tfbundle.conversion.frozen import halve_frozen

        return halve_frozen(storage.admit(source), text, request, options, storage)
    with open_bundle(source, storage=storage) as bundle, ExitStack() as stack:
        if with_graph:
            request = _add_graph(request, bundle, storage, stack)
        return cast_bundle(bundle, target_prefix(text, bundle.prefix, storage), request, options)


def _add_graph(request: Request, bundle: BundleReader, storage: Storage, stack: ExitStack) -> Request:
    """Return the request with the graph beside a bundle, if there is one; then slices stay as the graph has them.

    The file of the graph is open until ``stack`` is closed.
    """
    path = bundle.prefix + META_SUFFIX
    if not storage.exists(path):
        if request.selection.strip_training:
            raise ValueError(f"--strip-training needs the graph of the checkpoint, and {path} is not there")
        return request
    from tfbundle.conversion.companion import open_companion

    graph = stack.enter_context(open_companion("meta", path, storage, request.selection))
    return request._replace(graph=graph, layout=replace(request.layout, slices="keep"))
