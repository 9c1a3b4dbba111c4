"""Halving a checkpoint: float32 tensors become float16, everything else stays as it is, byte for byte."""

from __future__ import annotations

from tfbundle.bundle.locate import PathLike
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.conversion.cast import cast
from tfbundle.reporting.report import CastReport
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
    """Write a copy of a checkpoint in which float32 tensors are float16.

    Reads and writes in windows of 1 MiB, whatever the size of a tensor. The checksum of every tensor that is copied
    or cast is verified. Payloads and checksums of tensors that are not cast stay byte-identical.

    Args:
        source: a prefix, any file of the bundle, a directory with a ``checkpoint`` file, or a SavedModel directory.
        target: a prefix, or a directory in which the bundle takes the source's name.
        selection: which tensors to cast, keep and drop.
        naming: what tensors are called in the target.
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
    if policy.to != "float16":
        raise ValueError(f"halve casts to float16; for {policy.to}, use cast")
    return cast(source, target, policy=policy, selection=selection, naming=naming, layout=layout, options=options)
