"""Data files that the workers of an executor upload, each of them whole, from its first to its last byte.

A worker gets all steps of one data file, reads its sources, uploads the file and returns checksums and counts; only the
index is published here. Whoever uploads a file again puts the same bytes there, in one moment. Until the index is there
nothing knows of these files, and where a bundle is to be replaced they have temporary names until then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from tfbundle.bundle.target import IfExists
from tfbundle.errors import BundleError, UnsupportedError
from tfbundle.format.naming import data_filename, index_filename
from tfbundle.storage.base import Stage, Storage, staging
from tfbundle.storage.temporary import new_owner, temporary_path
from tfbundle.streaming.dispatch import Results, run_steps
from tfbundle.streaming.elsewhere import DEFAULT_NUM_WORKERS, blaming_executor, make_absolute, naming_machine
from tfbundle.streaming.pipeline import StepContext, StepResult, run_step_into
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.steps import Batch, iter_batches

if TYPE_CHECKING:
    from concurrent.futures import Executor


@contextmanager
def uploaded_shards(storage: Storage, prefix: str, num_shards: int, if_exists: IfExists) -> Iterator[dict[int, str]]:
    """Give the paths to which workers upload the data files of a bundle; they are removed where no bundle comes of it.

    Args:
        storage: where the bundle will be.
        prefix: of the bundle.
        num_shards: of the bundle.
        if_exists: whether another bundle is replaced.

    Raises:
        UnsupportedError: files are not replaced at once there, so that a late worker could do harm.
    """
    if not storage.replaces_at_once(prefix):
        reason = "workers of an executor can write to shared disks, s3:// and gs:// only: elsewhere a file can be seen"
        raise UnsupportedError(f"{reason} while it is uploaded", prefix)
    shards = {shard: data_filename(prefix, shard, num_shards) for shard in range(num_shards)}
    owner = new_owner()
    replaces = if_exists == "replace" and storage.exists(index_filename(prefix))
    uploads = {shard: temporary_path(path, owner) for shard, path in shards.items()} if replaces else shards
    try:
        yield uploads
    except BaseException:
        if not replaces:
            _remove(uploads, storage, unless=index_filename(prefix))
        raise
    finally:
        if replaces:
            _remove(uploads, storage)


def take_over(stage: Stage, prefix: str, uploads: dict[int, str]) -> None:
    """Let a stage publish what was uploaded under temporary names."""
    for shard, upload in uploads.items():
        path = data_filename(prefix, shard, len(uploads))
        if upload != path:
            stage.link(upload, path)


def _remove(uploads: dict[int, str], storage: Storage, unless: str = "") -> None:
    """Remove files as far as that can be done, unless there is one that may need them."""
    with contextlib.suppress(BundleError, OSError):
        if unless and storage.exists(unless):
            return
        for path in uploads.values():
            storage.remove(path)


def run_batches(context: StepContext, plan: Plan, executor: Executor, num_workers: int | None) -> Results:
    """Have all data files of a plan uploaded and yield what came of each.

    Args:
        context: where the files are; the targets as ``uploaded_shards`` gives them.
        plan: what to do.
        executor: does it; it is not shut down.
        num_workers: how many workers it has; None where that is not known.

    Raises:
        OSError: the executor, or a worker, failed.
    """
    distant, num_workers = make_absolute(context), num_workers or DEFAULT_NUM_WORKERS
    results = run_steps(upload_batch, distant, iter_batches(plan), executor, num_workers, is_borrowed=True)
    with closing(blaming_executor(results)) as found:
        yield from found


def upload_batch(context: StepContext, batch: Batch) -> StepResult:
    """Upload one data file.

    Raises:
        FormatError: a source is too short, or a string payload is malformed. Nothing is left.
        OSError: reading or uploading failed; the message names the machine. Nothing is left.
    """
    path, whole = context.targets[batch.target_shard], StepResult([], [], [])
    with naming_machine(), staging(context.storage, replace=True) as stage:
        file = stage.create(path)
        file.reserve(batch.target_nbytes)
        for step in batch.steps:
            result = run_step_into(file, context, step)
            whole.read.extend(result.read)
            whole.written.extend(result.written)
            whole.stats.extend(result.stats)
        stage.publish_over(path)
    return whole
