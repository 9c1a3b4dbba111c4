"""Telling how far a long run has come."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a run; the command line has bars and lines of this kind."""

    def start(self, nbytes: int) -> None:
        """Take the number of bytes that will be read in all."""

    def advance(self, nbytes: int) -> None:
        """Take the number of bytes that were done since the last call."""

    def finish(self) -> None:
        """Take the end of the run, whether it went well or not."""


class NoProgress:
    """Tells nobody."""

    def start(self, nbytes: int) -> None:
        """Ignore the total."""

    def advance(self, nbytes: int) -> None:
        """Ignore the step."""

    def finish(self) -> None:
        """Ignore the end."""
