"""Looking at what a cast would do to the numbers, without writing anything."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from tfbundle.bundle.locate import PathLike
from tfbundle.bundle.opening import open_bundle
from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.transcode import readable_bundle
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.decisions import OVERFLOW, Decision
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.conversion.request import Request
from tfbundle.errors import FormatError
from tfbundle.reporting.report import CastReport, TensorReports
from tfbundle.storage.anywhere import Anywhere
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.run import RunOptions, survey


def stats(
    source: PathLike,
    /,
    *,
    policy: CastPolicy = CastPolicy(),
    selection: Selection = Selection(),
    options: RunOptions = RunOptions(),
) -> CastReport:
    """Tell what a cast would do to the numbers of a checkpoint; nothing is written.

    Reads the tensors that would be cast, and verifies their checksums.

    Args:
        source: as for ``cast``.
        policy: what would be cast to what.
        selection: which tensors.
        options: workers, progress.

    Returns:
        The report that ``cast`` would give; its target is empty.

    Raises:
        BundleNotFoundError, FormatError, UnsupportedError, ValueError, OSError: as ``cast``.

    Example:
        >>> import numpy as np, tempfile, tfbundle
        >>> prefix = tempfile.mkdtemp() + "/model"
        >>> tfbundle.save(prefix, {"w": np.array([1, 1e5, 1e-9], np.float32)})
        >>> totals = tfbundle.stats(prefix).totals
        >>> totals.overflow, totals.underflow
        (1, 1)
    """
    import tempfile

    storage = Anywhere()
    request = Request(policy, selection, Naming(), Layout("keep"))
    with open_bundle(source, storage=storage) as bundle, ExitStack() as stack:
        try:
            scratch = ""
            if bundle.is_v1:
                scratch = stack.enter_context(tempfile.TemporaryDirectory())
                options = replace(options, executor=None)  # whose workers may not see what is made there
            readable = stack.enter_context(readable_bundle(bundle, os.path.join(scratch, "v1")))
            plan = request.plan(readable)
            found = survey(
                request.plan_survey(readable, plan.decisions),
                readable.open_shards(),
                storage,
                on_overflow=policy.on_overflow,
                options=options,
            )
        except FormatError as error:
            raise error.add_path(bundle.prefix) from error
        nbytes = int(plan.index.columns.size.sum())
        return CastReport(bundle.prefix, "", True, nbytes, sum(plan.shard_nbytes), TensorReports(plan, found))


def keep_overflowing(bundle: BundleReader, request: Request, plan: Plan, options: RunOptions) -> Plan:
    """Return the plan in which tensors whose values would overflow keep their dtype; reads all that would be cast.

    Raises:
        ChecksumError, FormatError: the source is damaged, or changed meanwhile.
    """
    found = survey(
        request.plan_survey(bundle, plan.decisions),
        bundle.open_shards(),
        bundle.storage,
        on_overflow=request.policy.on_overflow,
        options=replace(options, measure=False),
    )
    overflowing = np.flatnonzero(found.overflow).tolist()
    if not overflowing:
        return plan
    return request.plan(bundle, plan.decisions.replaced({Decision("keep", OVERFLOW): overflowing}))
