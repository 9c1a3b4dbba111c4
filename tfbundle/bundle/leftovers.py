"""What interrupted runs leave beside a bundle: files under temporary names, data files that no index knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tfbundle.format.naming import (
    INDEX_SUFFIX,
    META_SUFFIX,
    STATE_FILENAME,
    index_filename,
    parse_data_suffix,
    strip_data_suffix,
)
from tfbundle.format.readable import plural
from tfbundle.storage import paths
from tfbundle.storage.base import Storage
from tfbundle.storage.temporary import Temporary, parse_temporary


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
    return notes


def abandoned_notes(directory: str, belongs: Callable[[str], bool], storage: Storage) -> list[str]:
    """Name what interrupted runs left beside files that are no bundle, and what runs that go on still write there.

    Args:
        directory: where the files are.
        belongs: whether a file in it is one of them, by its name.
        storage: where the directory is.
    """
    leftovers = _find_runs(directory, lambda temporary: belongs(temporary.path), storage)
    return _notes_on_runs(leftovers, "nothing reads them, and they can go")


def _notes_on_runs(leftovers: Iterable[Leftover], remedy: str) -> list[str]:
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


def _name(paths: Iterable[str]) -> str:
    first, *others = sorted(paths)
    return f"{first} and {len(others)} more" if others else first
