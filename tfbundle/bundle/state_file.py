"""The ``checkpoint`` file on storage."""

from __future__ import annotations

import os

from tfbundle.errors import FormatError
from tfbundle.format.state import MAX_STATE_NBYTES, STATE_FILENAME, CheckpointState, parse_state
from tfbundle.storage.base import Storage


def read_state(directory: str, storage: Storage) -> CheckpointState | None:
    """Return what the directory's ``checkpoint`` file says, None if there is no such file.

    Raises:
        FormatError: the file does not parse, or is far too large for one.
    """
    path = os.path.join(directory, STATE_FILENAME)
    if not storage.exists(path):
        return None
    file = storage.open(path)
    try:
        if file.nbytes > MAX_STATE_NBYTES:
            raise FormatError(f"{file.nbytes} bytes are too many for a checkpoint state file")
        return parse_state(file.read(0, file.nbytes).decode("utf-8"))
    except FormatError as error:
        raise error.add_path(path) from error
    except UnicodeDecodeError as error:
        raise FormatError(f"not a checkpoint state file: {error}", path) from error
    finally:
        file.close()


def latest_prefix(directory: str, storage: Storage) -> str | None:
    """Return the prefix that the directory's ``checkpoint`` file calls the latest, None if there is no such file.

    A path that leads out of the directory, as absolute ones do after a move, is replaced by the file of the same
    name within it.
    """
    state = read_state(directory, storage)
    if state is None:
        return None
    inside = not os.path.isabs(state.latest) and ".." not in state.latest.split(os.sep)
    return os.path.join(directory, state.latest if inside else os.path.basename(state.latest))
