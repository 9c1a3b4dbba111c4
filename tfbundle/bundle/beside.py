"""What stands beside a bundle: the ``checkpoint`` file of its directory, and graphs that use it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from tfbundle.bundle.leftovers import leftover_notes
from tfbundle.bundle.locate import SAVED_MODEL_FILENAME
from tfbundle.bundle.state_file import read_state
from tfbundle.errors import BundleError
from tfbundle.format.naming import META_SUFFIX
from tfbundle.format.state import STATE_FILENAME, add_checkpoint, format_state
from tfbundle.storage import paths
from tfbundle.storage.base import Storage, staging


def surroundings_notes(prefix: str, storage: Storage, rewritten: str = "") -> list[str]:
    """Name the graphs beside a bundle, which describe its variables as they were.

    Args:
        prefix: of the bundle.
        storage: where it is.
        rewritten: the graph that the target gets, too.
    """
    graphs = [prefix + META_SUFFIX, paths.join(paths.parent(paths.dirname(prefix)), SAVED_MODEL_FILENAME)]
    return [
        f"the graph {paths.normalize(graph)} has the dtypes of before and is not copied"
        for graph in graphs
        if graph != rewritten and _is_there(graph, storage)
    ]


def _is_there(path: str, storage: Storage) -> bool:
    try:
        return storage.exists(path)
    except OSError:  # a directory above that nobody may look into
        return False


def settle(source_prefixes: Iterable[str], prefix: str, num_shards: int, storage: Storage) -> list[str]:
    """Do what remains when a bundle was published: record it, and look for what interrupted runs left beside it.

    Returns:
        Notes about both.
    """
    notes = record_checkpoint(source_prefixes, prefix, storage)
    try:
        notes += leftover_notes(prefix, num_shards, storage)
    except OSError as error:  # the bundle itself is complete
        notes.append(f"nobody knows what is left of interrupted runs: {error.filename}: {error.strerror}")
    return notes


def record_checkpoint(source_prefixes: Iterable[str], target_prefix: str, storage: Storage) -> list[str]:
    """Make the target the latest checkpoint in the ``checkpoint`` file of its directory, unless a source is there.

    Paths are written relative to the directory, so that it can be moved.

    Returns:
        A note that says so; or that a file which is there could not be understood or replaced, and was left alone.
    """
    directory, base = paths.split(target_prefix)
    if paths.resolve(directory) in {paths.resolve(paths.dirname(prefix)) for prefix in source_prefixes}:
        return []
    path = paths.join(directory, STATE_FILENAME)
    try:
        state = read_state(directory, storage)
        name = os.fsencode(base or os.path.join(os.curdir, "")).decode("utf-8")
        text = format_state(add_checkpoint(state, name, time.time()))
        with staging(storage, replace=True) as stage:
            stage.create(path).write_at(0, text.encode())
            stage.publish_over(path)
    except BundleError as error:
        return [f"left alone: {error}"]
    except UnicodeDecodeError:
        return [f"left alone: {path}: its text is UTF-8, which the name {base} is not"]
    except OSError as error:  # the bundle itself is complete
        return [f"left alone: {path}: {error.strerror}"]
    return [f"{path} names it as the latest checkpoint"]
