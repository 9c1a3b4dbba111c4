"""The ``checkpoint`` file of a directory, read as TensorFlow reads it: its paths are followed wherever they lead.

Source: TensorFlow ``python/checkpoint/checkpoint_management.py``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

from tfbundle.compat.gfile import exists, stat
from tfbundle.compat.globbing import glob_paths, local_path
from tfbundle.compat.log_messages import error as log_error
from tfbundle.compat.log_messages import warning as log_warning
from tfbundle.compat.op_errors import OpError
from tfbundle.errors import BundleError, escape
from tfbundle.format.naming import STATE_FILENAME, index_filename
from tfbundle.format.state import MAX_STATE_NBYTES
from tfbundle.pb import message_class
from tfbundle.storage.local import LocalStorage


def get_checkpoint_state(checkpoint_dir: Any, latest_filename: str | None = None) -> Any:
    """Return what the ``checkpoint`` file of a directory says, as the message ``CheckpointState``.

    Returns:
        None where there is no such file, or none that can be read, about which a warning is logged.

    Raises:
        ValueError: it names no latest checkpoint.

    Example:
        >>> get_checkpoint_state("no/such/directory") is None
        True
    """
    from google.protobuf.text_format import ParseError

    directory = os.fspath(checkpoint_dir)
    path = os.path.join(directory, STATE_FILENAME if latest_filename is None else latest_filename)
    try:
        state = _read_state(path)
    except (OpError, ParseError, BundleError, OSError) as error:
        log_warning("%s: %s", type(error).__name__, escape(str(error)))
        log_warning("%s: Checkpoint ignored", escape(path))
        return None
    if state is None:
        return None
    if not state.model_checkpoint_path:
        raise ValueError(f"Invalid checkpoint state loaded from {directory}")
    state.model_checkpoint_path = os.path.join(directory, state.model_checkpoint_path)
    paths = [os.path.join(directory, each) for each in state.all_model_checkpoint_paths]
    state.all_model_checkpoint_paths[:] = paths
    return state


def _read_state(path: str) -> Any:
    from google.protobuf import text_format

    storage = LocalStorage()
    if not exists(path):
        return None
    file = storage.open(local_path(path))
    try:
        if file.nbytes > MAX_STATE_NBYTES:
            raise text_format.ParseError(f"{file.nbytes} bytes are too many for a checkpoint state file")
        text = file.read(0, file.nbytes).decode("utf-8")
    finally:
        file.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape that Python does not know stands for itself
        return text_format.Merge(text, message_class("CheckpointState")())


def latest_checkpoint(checkpoint_dir: Any, latest_filename: str | None = None) -> str | None:
    """Return the prefix of the checkpoint that a directory's ``checkpoint`` file calls the latest.

    Returns:
        None where there is no such file, or no checkpoint where it points, which is logged as an error.

    Example:
        >>> latest_checkpoint("no/such/directory") is None
        True
    """
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    if state is None:
        return None
    path: str = state.model_checkpoint_path
    if checkpoint_exists(path):
        return path
    log_error("Couldn't match files for checkpoint %s", escape(path))
    return None


def checkpoint_exists(checkpoint_prefix: str) -> bool:
    """Tell whether there are files of a checkpoint; the prefix may be a pattern, as of the shards of V1."""
    return bool(_find_files(checkpoint_prefix))


def get_checkpoint_mtimes(checkpoint_prefixes: Iterable[str]) -> list[float]:
    """Return the times at which checkpoints were last written, in seconds, of those that are there."""
    found = map(_find_files, checkpoint_prefixes)
    return [stat(files[0]).mtime_nsec / 1e9 for files in found if files]


def _find_files(prefix: str) -> list[str]:
    """Return the index of a checkpoint, or else the files of V1."""
    return glob_paths(index_filename(prefix)) or glob_paths(prefix)
