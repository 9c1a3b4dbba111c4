"""Filling a frame: files staged at their full size, payloads streamed into them, sealed, and published together."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence

from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.target import IfExists, check_room
from tfbundle.casting.policy import OnOverflow
from tfbundle.casting.stats import StatsTable
from tfbundle.errors import BundleExistsError
from tfbundle.exporters.frame import Frame
from tfbundle.format.naming import index_filename
from tfbundle.storage.base import Stage, StagedFile, Storage, staging
from tfbundle.storage.buffers import WINDOW_NBYTES
from tfbundle.streaming.plan import Plan
from tfbundle.streaming.run import RunOptions, stream_into


def check_not_source(bundle: BundleReader, paths: Collection[str], storage: Storage) -> None:
    """Refuse to replace a file of the source.

    Raises:
        BundleExistsError: one of the paths leads to one.
    """
    sources = [table.path for table in bundle.tables]
    sources += [index_filename(bundle.prefix), *(bundle.shards.path(shard) for shard in bundle.shards.present())]
    for path in filter(storage.exists, paths):
        for source in sources:
            if storage.is_same(source, path):
                raise BundleExistsError(f"the target is the source {source}; choose another one", path)


def fill_frame(
    frame: Frame,
    plan: Plan,
    bundle: BundleReader,
    old: Sequence[str],
    *,
    on_overflow: OnOverflow,
    options: RunOptions,
) -> StatsTable:
    """Write and publish the files of a frame.

    Args:
        frame: the files.
        plan: what goes into them.
        bundle: the source.
        old: files of an earlier export that these replace.
        on_overflow: what to do with values that do not fit.
        options: workers, overwriting, progress.

    Returns:
        What the cast did to each tensor.

    Raises:
        ChecksumError, FormatError: the source is damaged, or changed meanwhile. Nothing is left behind.
        CastError: values overflow and ``on_overflow`` does not allow it. Nothing is left behind.
    """
    storage = bundle.storage
    check_room(frame.paths[-1], sum(frame.nbytes), storage)
    with staging(storage, replace=options.if_exists == "replace") as stage:
        files = [_start_file(stage, frame, number) for number in range(len(frame.paths))]
        for piece in frame.pieces:
            files[piece.file].write_at(piece.offset, piece.data)
            files[piece.file].close()
        targets = [file.path for file in files]
        sources = bundle.open_shards()
        stats = stream_into(targets, plan, sources, storage, on_overflow=on_overflow, options=options)
        _seal(frame, files, storage)
        _publish(stage, frame.paths, old, options.if_exists, storage)
    return stats


def _start_file(stage: Stage, frame: Frame, number: int) -> StagedFile:
    """Create a file at its full size; there may be thousands, so that none stays open."""
    file = stage.create(frame.paths[number])
    file.reserve(frame.nbytes[number])
    file.close()
    return file


def _seal(frame: Frame, files: Sequence[StagedFile], storage: Storage) -> None:
    if frame.seal is None:
        return
    opened = [storage.open(file.path) for file in files]
    buffer = memoryview(bytearray(WINDOW_NBYTES))

    def read_crc(number: int, start: int, end: int) -> int:
        crc = 0
        for at in range(start, end, WINDOW_NBYTES):
            window = buffer[: min(WINDOW_NBYTES, end - at)]
            opened[number].read_into(at, window)
            crc = zlib.crc32(window, crc)
        return crc

    try:
        for piece in frame.seal(read_crc):
            files[piece.file].write_at(piece.offset, piece.data)
    finally:
        for file in opened:
            file.close()


def _publish(stage: Stage, paths: Sequence[str], old: Sequence[str], if_exists: IfExists, storage: Storage) -> None:
    """Publish the files, the last one last; what is left of an earlier export goes."""
    stale = [path for path in old if path not in paths]

    def clean_up() -> None:
        for path in stale:
            storage.remove(path)

    if len(paths) == 1 and if_exists == "replace":
        stage.publish_over(paths[0], clean_up=clean_up)
    else:
        stage.publish(paths[-1], clean_up=clean_up)
