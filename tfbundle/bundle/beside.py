"""What stands beside a bundle: the ``checkpoint`` file of its directory, and graphs that use it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from tfbundle.bundle.locate import SAVED_MODEL_FILENAME
from tfbundle.bundle.state_file import read_state
from tfbundle.errors import BundleError
from tfbundle.format.naming import META_SUFFIX
from tfbundle.format.state import STATE_FILENAME, add_checkpoint, format_state
from tfbundle.storage.base import Storage, staging


def surroundings_notes(prefix: str, storage: Storage) -> list[str]:
    """Name the graphs beside a bundle, which describe its variables as they were."""
    graphs = [prefix + META_SUFFIX, os.path.join(os.path.dirname(prefix), os.pardir, SAVED_MODEL_FILENAME)]
    return [
        f"the graph {os.path.normpath(graph)} has the dtypes of before and is not copied"
        for graph in graphs
        if storage.exists(graph)
    ]


def record_checkpoint(source_prefixes: Iterable[str], target_prefix: str, storage: Storage) -> list[str]:
    """Make the target the latest checkpoint in the ``checkpoint`` file of its directory, unless a source is there.

    Paths are written relative to the directory, so that it can be moved.

    Returns:
        A note that says so; or that a file which is there could not be understood or replaced, and was left alone.
    """
    directory, base = os.path.split(target_prefix)
    if os.path.realpath(directory) in {os.path.realpath(os.path.dirname(prefix)) for prefix in source_prefixes}:
        return []
    path = os.path.join(directory, STATE_FILENAME)
    try:
        state = read_state(directory, storage)
        name = os.fsencode(base or os.path.join(os.curdir, "")).decode("utf-8")
    except BundleError as error:
        return [f"left alone: {error}"]
    except UnicodeDecodeError:
        return [f"left alone: {path}: its text is UTF-8, which the name {base} is not"]
    text = format_state(add_checkpoint(state, name, time.time()))
    try:
        with staging(storage, replace=True) as stage:
            stage.create(path).write_at(0, text.encode())
            stage.publish_over(path)
    except OSError as error:  # the bundle itself is complete
        return [f"left alone: {path}: {error.strerror}"]
    return [f"{path} names it as the latest checkpoint"]
