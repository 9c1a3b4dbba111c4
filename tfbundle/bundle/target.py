"""Where a bundle is to go, and what must not happen there: to be its own source, to replace what is to stay."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from tfbundle.bundle.leftovers import describe_unfinished
from tfbundle.bundle.locate import PathLike
from tfbundle.errors import BundleExistsError
from tfbundle.format.naming import INDEX_SUFFIX, data_filename, index_filename, strip_data_suffix
from tfbundle.format.readable import format_nbytes
from tfbundle.storage import paths
from tfbundle.storage.base import Storage

if TYPE_CHECKING:
    from tfbundle.bundle.reader import BundleReader

IfExists = Literal["error", "replace"]

_FORCE = "--force (if_exists='replace') would replace it"


def target_prefix(path: PathLike, source_prefix: str, storage: Storage) -> str:
    """Return the prefix to write to.

    Args:
        path: a prefix, or one of its files; or a directory, given by a closing separator or because it exists, in
            which the bundle takes the source's name.
        source_prefix: where the bundle comes from.
        storage: where ``path`` is.

    Raises:
        ValueError: there is no path, as where a variable of a shell was never set.
    """
    text = storage.admit(path)
    if text in ("", INDEX_SUFFIX):
        raise ValueError("the path of the target is empty; for the current directory, write ./")
    if paths.ends_as_directory(text) or storage.is_directory(text):
        return paths.join(text, paths.basename(source_prefix))
    return strip_data_suffix(text) or text.removesuffix(INDEX_SUFFIX)


def check_not_same(bundle: BundleReader, prefix: str, storage: Storage) -> None:
    """Refuse a target that is the source, by whatever path or link.

    Raises:
        BundleExistsError: it is.
    """
    num_shards, present = bundle.index.header.num_shards, bundle.shards.present()
    pairs = [(index_filename(bundle.prefix), index_filename(prefix))]
    pairs += [(bundle.shards.path(shard), data_filename(prefix, shard, num_shards)) for shard in present]
    for table in bundle.tables:  # may have the name of any file
        target = paths.join(paths.dirname(prefix), paths.basename(table.path))
        if prefix in (strip_data_suffix(target), target.removesuffix(INDEX_SUFFIX)):
            pairs.append((table.path, target))
    for source, target in pairs:
        if storage.is_same(source, target):
            raise BundleExistsError(f"the target is the source {source}; choose another one", target)


def check_target(prefix: str, num_shards: int, if_exists: IfExists, storage: Storage) -> None:
    """Refuse a target that is there already, unless it may be replaced.

    Raises:
        BundleExistsError: one of its files exists.
        ValueError: no such choice of ``if_exists``.
    """
    if if_exists not in ("error", "replace"):
        raise ValueError(f"if_exists is {if_exists!r}, expected 'error' or 'replace'")
    files = [index_filename(prefix)]
    if not paths.is_url(prefix):  # where data files without an index are what an upload left that was cut off
        files += [data_filename(prefix, shard, num_shards) for shard in range(num_shards)]
    for path in files if if_exists == "error" else ():
        if storage.exists(path):
            unfinished = describe_unfinished(prefix, storage)
            raise BundleExistsError("; ".join(filter(None, ["exists already", unfinished, _FORCE])), path)


def check_vacant(files: Iterable[str], if_exists: IfExists, storage: Storage) -> None:
    """Refuse files that are there already, unless they may be replaced.

    Raises:
        BundleExistsError: one is there.
    """
    for path in files if if_exists == "error" else ():
        if storage.exists(path):
            raise BundleExistsError(f"exists already; {_FORCE}", path)


def check_room(prefix: str, nbytes: int, storage: Storage) -> None:
    """Refuse to start on what cannot fit.

    Raises:
        OSError: less is free than the files of the target need.
    """
    free = storage.free_nbytes(paths.dirname(prefix))
    if free is not None and nbytes > free:
        needed = f"{format_nbytes(nbytes)} needed, {format_nbytes(free)} free"
        raise OSError(errno.ENOSPC, f"No space left on device: {needed}", paths.dirname(prefix) or os.curdir)


def room_note(prefix: str, nbytes: int, storage: Storage) -> str:
    """Say how much room the data files of a target need, and whether there is as much."""
    free = storage.free_nbytes(paths.dirname(prefix))
    verdict = "" if free is None else f"; {format_nbytes(free)} free" + (": not enough" if nbytes > free else "")
    return f"room needed: {format_nbytes(nbytes)}{verdict}"
