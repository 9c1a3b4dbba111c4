"""A place for bytes that nobody wants, where only what is learned on the way counts."""

from __future__ import annotations

from tfbundle.storage.base import Buffer


class Nowhere:
    """A ``StagedFile`` that forgets what is written to it.

    Example:
        >>> Nowhere().write_at(0, b"forgotten")
    """

    path = ""

    def reserve(self, nbytes: int) -> None:
        """Do nothing."""

    def write_at(self, offset: int, data: Buffer) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
