"""A storage in which staged files stand already where they will be, for reading them before they are published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tfbundle.storage.base import Identity, ReadableFile, Storage


def overlay(storage: Storage, staged: Mapping[str, str]) -> Storage:
    """Return a view of a storage with staged files in place.

    Args:
        storage: where everything is.
        staged: temporary paths, by the path each file will have.
    """
    return cast(Storage, _Overlay(storage, staged))


class _Overlay:
    def __init__(self, storage: Storage, staged: Mapping[str, str]) -> None:
        self._storage = storage
        self._staged = staged

    def open(self, path: str) -> ReadableFile:
        return self._storage.open(self._staged.get(path, path))

    def exists(self, path: str) -> bool:
        return path in self._staged or self._storage.exists(path)

    def identity(self, path: str) -> Identity | None:
        return self._storage.identity(self._staged.get(path, path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)
