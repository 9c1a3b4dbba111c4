"""The data files of a bundle, opened as they are needed."""

from __future__ import annotations

import threading

from tfbundle.bundle.locate import check_not_pointer
from tfbundle.errors import BundleNotFoundError, FormatError
from tfbundle.format.naming import data_filename, index_filename, parse_data_filename, strip_data_suffix
from tfbundle.storage import paths
from tfbundle.storage.base import Identity, ReadableFile, Storage


class Shards:
    """The data files of one bundle. Thread-safe.

    Args:
        prefix: of the bundle.
        num_shards: as the index says.
        storage: where they are.
        index_identity: of the index that was read, so that data files which came with another are not taken for its
            own; None to take what is there.
    """

    def __init__(self, prefix: str, num_shards: int, storage: Storage, index_identity: Identity | None = None) -> None:
        self.prefix = prefix
        self.num_shards = num_shards
        self._storage = storage
        self._index_identity = index_identity
        self._files: dict[int, ReadableFile] = {}
        self._lock = threading.Lock()
        self._others = ""

    def path(self, shard_id: int) -> str:
        """Return the path of a shard, whether it exists or not."""
        return data_filename(self.prefix, shard_id, self.num_shards)

    def open(self, shard_id: int) -> ReadableFile:
        """Return a shard, opened once and kept until ``close``.

        Raises:
            BundleNotFoundError: it is missing; the message names data files that are there.
            FormatError: it is a Git LFS pointer, or another bundle has taken the place of the one whose index was read.
        """
        with self._lock:
            if shard_id not in self._files:
                self._files[shard_id] = self._open(shard_id)
            return self._files[shard_id]

    def check_unchanged(self) -> None:
        """Raise FormatError if a file that is open has changed since it was opened."""
        with self._lock:
            for file in self._files.values():
                file.check_unchanged()

    def close(self) -> None:
        """Release all files."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def _open(self, shard_id: int) -> ReadableFile:
        path = self.path(shard_id)
        missing = f"No such file or directory: shard {shard_id} of {self.num_shards}"
        if shard_id >= self.num_shards:
            raise BundleNotFoundError(missing, path)
        try:
            file = self._storage.open(path)
        except BundleNotFoundError:
            self._check_same_bundle()
            raise BundleNotFoundError(f"{missing}; {self._describe_others()}", path) from None
        check_not_pointer(file)
        self._check_same_bundle()
        return file

    def _check_same_bundle(self) -> None:
        """Make sure that the index is the one that was read: it goes before a data file is replaced, and comes last."""
        path = index_filename(self.prefix)
        if self._index_identity is not None and self._storage.identity(path) != self._index_identity:
            raise FormatError(
                "the checkpoint was replaced while it was read; run again when nothing writes to it", path
            )

    def present(self) -> list[int]:
        """Return the numbers of the shards that are there: an index may speak of far more.

        Where the directory may not be listed, those that are open.
        """
        if not self._storage.can_list(self.prefix):
            return [shard for shard in range(self.num_shards) if self._storage.exists(self.path(shard))]
        directory, base = paths.split(self.prefix)
        names = map(parse_data_filename, self._storage.list_directory(directory))
        mine = (name for name in names if name and (name.prefix, name.num_shards) == (base, self.num_shards))
        return sorted({*(name.shard_id for name in mine), *self._files})

    def _describe_others(self) -> str:
        """Say which data files there are; looked up once, since very many rows may lie in those that are missing."""
        self._others = self._others or self._find_others()
        return self._others

    def _find_others(self) -> str:
        directory, base = paths.split(self.prefix)
        others = [name for name in self._storage.list_directory(directory) if strip_data_suffix(name) is not None]
        own = [name for name in others if strip_data_suffix(name) == base]
        return f"found {', '.join((own or others)[:4])}" if others else "no data file is there"
