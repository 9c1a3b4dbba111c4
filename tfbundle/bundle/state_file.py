"""The ``checkpoint`` file on storage."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache, partial

from tfbundle.errors import BundleNotFoundError, FormatError
from tfbundle.format.state import MAX_STATE_NBYTES, STATE_FILENAME, CheckpointState, parse_state
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage


def read_state(directory: str, storage: Storage) -> CheckpointState | None:
    """Return what the directory's ``checkpoint`` file says, None if there is no such file.

    Raises:
        FormatError: the file does not parse, or is far too large for one.
    """
    path = paths.join(directory, STATE_FILENAME)
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


def get_checkpoint_state(
    directory: str | os.PathLike[str], /, *, allow_outside: bool = False, storage: Storage | None = None
) -> CheckpointState | None:
    """Return what a directory's ``checkpoint`` file says, its paths joined to the directory.

    Args:
        directory: where the file is.
        allow_outside: follow paths that lead out of the directory, which absolute ones usually do, and links to other
            directories may. Otherwise such a path stands for the checkpoint of the same name within the directory, as
            after a move.
        storage: where the directory is; wherever the path leads by default.

    Returns:
        None if there is no such file.

    Raises:
        FormatError: the file does not parse.

    Example:
        >>> get_checkpoint_state("no/such/directory") is None
        True
    """
    storage = storage or Anywhere()
    text = storage.admit(directory)
    state = read_state(text, storage)
    if state is None:
        return None

    is_inside = cache(partial(_is_inside, text))  # very many paths may lie in one place

    def resolve(stored: str) -> str:
        path = os.fsdecode(stored.encode("utf-8"))  # as the operating system names files, whatever the locale
        parent, name = paths.split(path)
        if allow_outside or (name != os.pardir and is_inside(parent)):
            return paths.join(text, path)
        return paths.join(text, "" if name == os.pardir else name)

    return replace(state, latest=resolve(state.latest), all_paths=tuple(map(resolve, state.all_paths)))


def _is_inside(directory: str, path: str) -> bool:
    """Tell whether a path leads to the directory or a place below, without ``..`` and past all symbolic links."""
    if paths.is_absolute(path) or ".." in path.split(os.sep):
        return False
    if paths.is_url(directory):
        return True
    home = paths.resolve(directory)
    try:
        place = paths.resolve(paths.join(directory, path))
    except ValueError:  # a NUL in the path
        return False
    return os.path.commonpath([home, place]) == home


def latest_prefix(directory: str, storage: Storage, *, allow_outside: bool = False) -> str | None:
    """Return the prefix that the directory's ``checkpoint`` file calls the latest, None if there is no such file.

    Raises:
        FormatError: the file does not parse.
    """
    state = get_checkpoint_state(directory, allow_outside=allow_outside, storage=storage)
    return None if state is None else state.latest


def newest_prefixes(directory: str, count: int, storage: Storage) -> list[str]:
    """Return the prefixes of the newest checkpoints that the directory's ``checkpoint`` file lists, oldest first.

    Raises:
        BundleNotFoundError: there is no such file, or it lists fewer.
        FormatError: the file does not parse.
    """
    state = get_checkpoint_state(directory, storage=storage)
    path = paths.join(directory, STATE_FILENAME)
    if state is None:
        raise BundleNotFoundError("Couldn't find 'checkpoint' file, which lists the checkpoints of a directory", path)
    prefixes = list(dict.fromkeys((*state.all_paths, state.latest)))
    if len(prefixes) < count:
        raise BundleNotFoundError(f"lists {len(prefixes)} checkpoints, not {count}", path)
    return prefixes[len(prefixes) - count :]
