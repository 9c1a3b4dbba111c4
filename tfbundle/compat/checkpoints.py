"""``tf.train``: functions that read checkpoints.

Source: TensorFlow ``python/training/checkpoint_utils.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from tfbundle.compat.gfile import isdir
from tfbundle.compat.log_messages import info
from tfbundle.compat.reader import CheckpointReader, NewCheckpointReader
from tfbundle.compat.states import latest_checkpoint
from tfbundle.compat.text import path_to_str


def load_checkpoint(ckpt_dir_or_file: Any) -> CheckpointReader:
    """Open a checkpoint, or the latest one of a directory.

    Raises:
        ValueError: the directory has no ``checkpoint`` file that leads to one.
        NotFoundError, DataLossError, OpError: as ``NewCheckpointReader``.

    Example:
        >>> load_checkpoint("/")
        Traceback (most recent call last):
        ValueError: Couldn't find 'checkpoint' file or checkpoints in given directory /
    """
    path = path_to_str(ckpt_dir_or_file)
    filename = latest_checkpoint(path) if isdir(path) else path
    if filename is None:
        text = f"Couldn't find 'checkpoint' file or checkpoints in given directory {ckpt_dir_or_file}"
        raise ValueError(text)
    return NewCheckpointReader(filename)


def load_variable(ckpt_dir_or_file: Any, name: str) -> Any:
    """Read a tensor by name; a ``:0`` at its end is left out.

    Raises:
        NotFoundError: no such tensor, or no checkpoint.
        ValueError, OpError: as ``load_checkpoint`` and ``CheckpointReader.get_tensor``.

    Example:
        >>> import tempfile, os, tfbundle
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
        >>> tfbundle.save(prefix, {"step": 7, "text": b"seven"})
        >>> load_variable(prefix, "text"), load_variable(prefix, "step:0").item()
        (b'seven', 7)
    """
    if name.endswith(":0"):
        name = name[:-2]
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name)


def list_variables(ckpt_dir_or_file: Any) -> list[tuple[str, list[int]]]:
    """Return names and shapes of all tensors, by name. That of the path of an ``.index`` file itself is empty.

    Raises:
        NotFoundError, DataLossError, ValueError, OpError: as ``load_checkpoint``.

    Example:
        >>> import tempfile, os, tfbundle
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model")
        >>> tfbundle.save(prefix, {"w": [[1.0, 2.0]], "step": 7})
        >>> list_variables(prefix)
        [('step', []), ('w', [1, 2])]
    """
    return sorted(load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map().items())


def wait_for_new_checkpoint(
    checkpoint_dir: Any,
    last_checkpoint: str | None = None,
    seconds_to_sleep: float = 1,
    timeout: float | None = None,
) -> str | None:
    """Wait until the latest checkpoint of a directory is another one, and return its prefix.

    Args:
        checkpoint_dir: where to look.
        last_checkpoint: prefix of the one that is known.
        seconds_to_sleep: between two looks.
        timeout: seconds after which None is returned; no end by default.
    """
    info("Waiting for new checkpoint at %s", checkpoint_dir)
    end = None if timeout is None else time.time() + timeout
    while True:
        path = latest_checkpoint(checkpoint_dir)
        if path not in (None, last_checkpoint):
            info("Found new checkpoint at %s", path)
            return path
        if end is not None and time.time() + seconds_to_sleep > end:
            return None
        time.sleep(seconds_to_sleep)


def checkpoints_iterator(
    checkpoint_dir: Any,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], Any] | None = None,
) -> Iterator[str]:
    """Yield the prefix of each new checkpoint of a directory as it appears.

    Args:
        checkpoint_dir: where to look.
        min_interval_secs: seconds that pass at least between two of them.
        timeout: seconds to wait for one; no end by default.
        timeout_fn: is asked after each wait whether there will be no more; without it, the first timeout is the end.
    """
    path: str | None = None
    while True:
        found = wait_for_new_checkpoint(checkpoint_dir, path, timeout=timeout)
        if found:
            start, path = time.time(), found
            yield found
            time.sleep(max(0, start + min_interval_secs - time.time()))
        elif timeout_fn is None:
            info("Timed-out waiting for a checkpoint (without timeout_fn).")
            return
        if timeout_fn is not None and timeout_fn():
            info("Done. No new checkpoints will be generated.")
            return
