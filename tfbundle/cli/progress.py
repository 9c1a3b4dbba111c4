"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from tfbundle.cli.output import format_nbytes

if TYPE_CHECKING:
    from tfbundle.streaming.progress import Progress

_SECONDS_BETWEEN_LINES = 5.0


def terminal_progress(*, quiet: bool) -> Progress:
    """Return what suits this run: nothing, a bar (``tqdm``, where it is installed), or lines."""
    from tfbundle.streaming.progress import NoProgress

    if quiet:
        return NoProgress()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        try:
            import tqdm  # noqa: F401
        except ImportError:
            return LineProgress()
        return BarProgress()
    return LineProgress()


class BarProgress:
    """A bar that is gone when the run ends."""

    def __init__(self) -> None:
        self._bar: Any = None

    def start(self, nbytes: int) -> None:
        """Draw the bar."""
        from tqdm import tqdm

        self._bar = tqdm(total=nbytes, unit="B", unit_scale=True, leave=False, delay=0.5, file=sys.stderr)

    def advance(self, nbytes: int) -> None:
        """Move the bar."""
        self._bar.update(nbytes)

    def finish(self) -> None:
        """Remove the bar."""
        self._bar.close()


class LineProgress:
    """A line every five seconds, so that a short run prints none and a log stays short."""

    def __init__(self) -> None:
        self._total = self._done = 0
        self._last_line = time.monotonic()

    def start(self, nbytes: int) -> None:
        """Note the total."""
        self._total = nbytes

    def advance(self, nbytes: int) -> None:
        """Print a line if it is time."""
        self._done += nbytes
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            percent = 100 * self._done // max(1, self._total)
            line = f"tfbundle: {percent} % of {format_nbytes(self._total)}"
            print(line, file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Print nothing more: the summary follows."""
