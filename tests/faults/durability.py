"""What a power cut may leave of calls that were made: the least that POSIX promises, which is less than any one disk.

``Journal`` notes the calls of a command. ``iter_outcomes`` goes through the moments between them and, for each, through
what may have reached the disk: the contents of a file that was not synced, or none of them, or zeros; and of the
changes to directories that were not synced, the first few, all but one, or one alone. A rename within one directory
is one change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.calls import Arguments

ROOT = 0


class Change(NamedTuple):
    """A change to a directory: names that go, and a name that comes, which stands for an inode."""

    directory: int
    removed: str
    added: str
    inode: int


@dataclass
class Inode:
    """A file or a directory: what it holds, and what of that is on the disk for sure."""

    contents: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    entries: dict[str, int] | None = None  # of a directory, on the disk


class Journal:
    """Notes what a command does below a directory, for ``watching``.

    Args:
        root: the directory; all that is below it now is on the disk.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.inodes: list[Inode] = []
        self.pending: list[Change] = []
        self._paths: dict[str, int] = {}
        self._descriptors: dict[int, int] = {}
        self._add_directory(self._root)
        for path in sorted(root.rglob("*")):
            if path.is_dir():
                self._add_directory(str(path))
            else:
                contents = path.read_bytes()
                self._place(str(path), Inode(bytearray(contents), contents), synced=True)

    def _add_directory(self, path: str) -> None:
        self._place(path, Inode(entries={}), synced=True)

    def _place(self, path: str, inode: Inode, *, synced: bool) -> None:
        self.inodes.append(inode)
        self._paths[path] = len(self.inodes) - 1
        if path == self._root:
            return
        parent, name = os.path.split(path)
        if synced:
            entries = self.inodes[self._paths[parent]].entries
            assert entries is not None
            entries[name] = self._paths[path]
        else:
            self.pending.append(Change(self._paths[parent], "", name, self._paths[path]))

    def __call__(self, name: str, arguments: Arguments, result: Any) -> None:
        """Take a call that succeeded."""
        getattr(self, f"_{name}")(result, *arguments)

    def _open(self, descriptor: int, path: str, flags: int, *_: int) -> None:
        path = os.path.abspath(path)
        if not path.startswith(self._root):
            return
        if path not in self._paths and flags & os.O_CREAT:
            self._place(path, Inode(), synced=False)
        self._descriptors[descriptor] = self._paths[path]

    def _close(self, _: None, descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)

    def _pwrite(self, count: int, descriptor: int, data: memoryview, offset: int) -> None:
        if descriptor in self._descriptors:
            contents = self.inodes[self._descriptors[descriptor]].contents
            contents.extend(bytes(max(0, offset + count - len(contents))))
            contents[offset : offset + count] = data[:count]

    def _ftruncate(self, _: None, descriptor: int, nbytes: int) -> None:
        contents = self.inodes[self._descriptors[descriptor]].contents
        del contents[nbytes:]
        contents.extend(bytes(nbytes - len(contents)))

    def _posix_fallocate(self, _: None, descriptor: int, offset: int, nbytes: int) -> None:
        contents = self.inodes[self._descriptors[descriptor]].contents
        contents.extend(bytes(max(0, offset + nbytes - len(contents))))

    def _fsync(self, _: None, descriptor: int) -> None:
        number = self._descriptors[descriptor]
        inode = self.inodes[number]
        inode.synced = bytes(inode.contents)
        if inode.entries is not None:
            for change in self.pending:
                if change.directory == number:
                    apply(inode.entries, change)
            self.pending = [change for change in self.pending if change.directory != number]

    def _rename(self, _: None, source: str, target: str) -> None:
        source, target = os.path.abspath(source), os.path.abspath(target)
        assert os.path.dirname(source) == os.path.dirname(target), "files are staged beside their targets"
        number = self._paths[target] = self._paths.pop(source)
        parent, name = os.path.split(target)
        self.pending.append(Change(self._paths[parent], os.path.basename(source), name, number))

    _replace = _rename

    def _unlink(self, _: None, path: str) -> None:
        path = os.path.abspath(path)
        parent, name = os.path.split(path)
        self._paths.pop(path)
        self.pending.append(Change(self._paths[parent], name, "", -1))

    _rmdir = _unlink

    def _link(self, _: None, source: str, target: str) -> None:
        target = os.path.abspath(target)
        parent, name = os.path.split(target)
        number = self._paths[target] = self._paths[os.path.abspath(source)]
        self.pending.append(Change(self._paths[parent], "", name, number))

    def _mkdir(self, _: None, path: str, *_mode: int) -> None:
        self._place(os.path.abspath(path), Inode(entries={}), synced=False)


def apply(entries: dict[str, int], change: Change) -> None:
    """Carry out a change to a directory."""
    entries.pop(change.removed, None)
    if change.added:
        entries[change.added] = change.inode


def iter_outcomes(journal: Journal) -> Iterator[Mapping[str, bytes]]:
    """Yield the files, by path below the root, that a power cut at this moment may leave."""
    seen: set[Any] = set()
    for changes in _iter_subsets(journal.pending):
        directories = {
            number: dict(inode.entries) for number, inode in enumerate(journal.inodes) if inode.entries is not None
        }
        for change in changes:
            apply(directories[change.directory], change)
        names = dict(_walk(ROOT, "", directories))
        for what in ("synced", "written", "zeros"):
            files = {path: _contents(journal.inodes[number], what) for path, number in names.items()}
            identity = frozenset(files.items())
            if identity not in seen:
                seen.add(identity)
                yield files


def _iter_subsets(changes: list[Change]) -> Iterator[list[Change]]:
    """Yield the changes that may have reached the disk."""
    for number in range(len(changes) + 1):
        yield changes[:number]
    for number in range(len(changes)):
        yield [changes[number]]
        yield changes[:number] + changes[number + 1 :]


def _walk(number: int, path: str, directories: Mapping[int, Mapping[str, int]]) -> Iterator[tuple[str, int]]:
    for name, child in directories[number].items():
        if child in directories:
            yield from _walk(child, f"{path}{name}/", directories)
        else:
            yield path + name, child


def _contents(inode: Inode, what: str) -> bytes:
    written = bytes(inode.contents)
    if what == "synced" or written == inode.synced:
        return inode.synced
    return written if what == "written" else bytes(len(written))
