"""What interrupted runs leave beside a bundle: files under temporary names, data files that no index knows.

Beside a SavedModel they leave directories.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tfbundle.format.naming import (
    INDEX_SUFFIX,
    META_SUFFIX,
    SAVED_MODEL_PREFIX,
    STATE_FILENAME,
    index_filename,
    parse_data_suffix,
    strip_data_suffix,
)
from tfbundle.format.readable import plural
from tfbundle.storage import paths
from tfbundle.storage.base import Storage
from tfbundle.storage.temporary import Temporary, complete_directory, parse_temporary

_NAMELESS = ("", ".", "..")


class Leftover(NamedTuple):
    """The files of one run.

    Attributes:
        staged: temporary paths, by the path each file was to have.
        copies: files of a temporary copy of the source.
        is_in_use: whether that run still goes on.
    """

    staged: dict[str, str]
    copies: tuple[str, ...]
    is_in_use: bool

    @property
    def paths(self) -> list[str]:
        """Where the files are."""
        return [*self.staged.values(), *self.copies]


class StagedModel(NamedTuple):
    """The directory of one run that makes or replaces a SavedModel.

    Attributes:
        around: its path, under a temporary name.
        is_complete: whether all is in it that is to be the SavedModel's directory.
        is_in_use: whether that run still goes on.
    """

    around: str
    is_complete: bool
    is_in_use: bool

    @property
    def paths(self) -> list[str]:
        """Where the directory is."""
        return [self.around]


def find_leftovers(prefix: str, storage: Storage) -> list[Leftover]:
    """Find temporary files of a bundle, by the run that they are of."""
    directory, base = paths.split(prefix)
    return _find_runs(directory, lambda temporary: _belongs_to(temporary, base), storage)


def _find_runs(directory: str, belongs: Callable[[Temporary], bool], storage: Storage) -> list[Leftover]:
    runs: dict[str, list[tuple[Temporary, str]]] = defaultdict(list)
    for name in storage.list_directory(directory):
        temporary = parse_temporary(name)
        if temporary is not None and belongs(temporary):
            runs[temporary.owner].append((temporary, paths.join(directory, name)))
    return [_leftover(directory, run, storage) for run in runs.values()]


def _belongs_to(temporary: Temporary, base: str) -> bool:
    if temporary.rest:
        return temporary.path == base
    return (
        temporary.path in (base + INDEX_SUFFIX, base + META_SUFFIX, STATE_FILENAME)
        or strip_data_suffix(temporary.path) == base
    )


def _leftover(directory: str, run: list[tuple[Temporary, str]], storage: Storage) -> Leftover:
    return Leftover(
        {paths.join(directory, temporary.path): path for temporary, path in run if not temporary.rest},
        tuple(path for temporary, path in run if temporary.rest),
        any(storage.is_in_use(path) for _, path in run),
    )


def model_directory(prefix: str) -> str | None:
    """Return the directory of the SavedModel whose variables have a prefix; None for any other prefix.

    Example:
        >>> model_directory("half/variables/variables"), model_directory("variables/variables")
        ('half', '')
    """
    if not f"/{prefix}".endswith(f"/{SAVED_MODEL_PREFIX}"):
        return None
    folder = prefix.removesuffix(SAVED_MODEL_PREFIX)
    return folder and paths.strip_end(folder)


def find_staged_models(folder: str | None, storage: Storage) -> list[StagedModel]:
    """Find what runs that make or replace a SavedModel's directory have beside it, or beside where it will be."""
    if folder is None or paths.is_url(folder):  # a store has no directories to stage
        return []
    if paths.basename(folder) in _NAMELESS:
        folder = storage.absolute(folder)
    directory, base = paths.split(folder)
    found = _find_runs(directory, lambda temporary: (temporary.path, temporary.rest) == (base, ""), storage)
    return [
        StagedModel(path, storage.exists(complete_directory(path)), leftover.is_in_use)
        for leftover in found
        for path in leftover.paths
        if storage.is_directory(path)
    ]


def find_strays(prefix: str, num_shards: int, storage: Storage) -> list[str]:
    """Find data files with a bundle's prefix and another number of shards, which its index does not know."""
    directory, base = paths.split(prefix)
    return [
        paths.join(directory, name)
        for name in storage.list_directory(directory)
        if strip_data_suffix(name) == base and parse_data_suffix(name) != num_shards
    ]


def leftover_notes(prefix: str, num_shards: int, storage: Storage) -> list[str]:
    """Name what interrupted runs left beside a bundle, and what runs that go on still write there."""
    remedy = f"tfbundle verify --finish {prefix} removes them"
    notes = _notes_on_runs(find_leftovers(prefix, storage), remedy)
    if strays := find_strays(prefix, num_shards, storage):
        notes.append(f"not of this checkpoint, which has {plural(num_shards, 'shard')}: {_name(strays)}; {remedy}")
    return notes + model_notes(model_directory(prefix), storage)


def model_notes(folder: str | None, storage: Storage) -> list[str]:
    """Name the directories that interrupted runs left beside a SavedModel, and of runs that still write there."""
    return _notes_on_runs(find_staged_models(folder, storage), f"tfbundle verify --finish {folder or '.'} removes them")


def abandoned_notes(directory: str, belongs: Callable[[str], bool], storage: Storage) -> list[str]:
    """Name what interrupted runs left beside files that are no bundle, and what runs that go on still write there.

    Args:
        directory: where the files are.
        belongs: whether a file in it is one of them, by its name.
        storage: where the directory is.
    """
    leftovers = _find_runs(directory, lambda temporary: belongs(temporary.path), storage)
    return _notes_on_runs(leftovers, "nothing reads them, and they can go")


def _notes_on_runs(leftovers: Iterable[Leftover | StagedModel], remedy: str) -> list[str]:
    """Name the files of runs that were killed, and of those that go on."""
    abandoned, written = (
        [path for leftover in leftovers if leftover.is_in_use is in_use for path in leftover.paths]
        for in_use in (False, True)
    )
    notes = [f"left behind by an interrupted run: {_name(abandoned)}; {remedy}"] if abandoned else []
    return [*notes, f"another run writes here now: {_name(written)}"] if written else notes


def describe_unfinished(prefix: str, storage: Storage) -> str:
    """Say that a bundle without an index has one staged, and what to do about it; empty if there is none."""
    index = index_filename(prefix)
    leftovers = [leftover for leftover in find_leftovers(prefix, storage) if index in leftover.staged]
    if not leftovers or storage.exists(index):
        return ""
    if leftovers[0].is_in_use:
        return f"a run that still goes on is about to publish it: {leftovers[0].staged[index]}"
    return (
        f"an interrupted run left it unpublished, as {leftovers[0].staged[index]} and the like: "
        f"tfbundle verify --finish {prefix} publishes it if it is complete"
    )


def describe_unpublished(folder: str, storage: Storage) -> list[str]:
    """Say that a SavedModel's directory that is missing is beside its place, and what to do about it."""
    folder = paths.strip_end(folder)
    return [_describe_staged(folder, each) for each in find_staged_models(folder, storage)]


def _describe_staged(folder: str, staged: StagedModel) -> str:
    if staged.is_in_use:
        return f"a run that still goes on is about to publish it: {staged.around}"
    if not staged.is_complete:
        return f"an interrupted run left a part of it, which can be removed: {staged.around}"
    return (
        f"an interrupted run left it unpublished, in {staged.around}: "
        f"tfbundle verify --finish {folder} publishes it if it is complete"
    )


def _name(paths: Iterable[str]) -> str:
    first, *others = sorted(paths)
    return f"{first} and {len(others)} more" if others else first
