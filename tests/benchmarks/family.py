"""The memory of a process and its children together (Linux)."""

from __future__ import annotations

import os
import threading

_SECONDS_BETWEEN_LOOKS = 0.1


class FamilyWatch(threading.Thread):
    """Looks now and then at how much memory a process and its children hold, pages they share counted once.

    The kernel knows the peak of each process by itself, but not that of several: forked workers share most of what they
    have with their parent.

    Attributes:
        peak_nbytes: the most there was while there were children; 0 if there never were any.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._stop_event = threading.Event()
        self.peak_nbytes = 0

    def run(self) -> None:
        """Look until told to stop."""
        while not self._stop_event.wait(_SECONDS_BETWEEN_LOOKS):
            children = _children_of(self._pid)
            if children:
                nbytes = sum(map(_shared_out_nbytes, (self._pid, *children)))
                self.peak_nbytes = max(self.peak_nbytes, nbytes)

    def stop(self) -> int:
        """Stop looking, and return the peak."""
        self._stop_event.set()
        self.join()
        return self.peak_nbytes


def _children_of(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                children += map(int, file.read().split())
    except OSError:  # it ended, or this is no Linux
        return []
    return children


def _shared_out_nbytes(pid: int) -> int:
    """Return a process's memory; of a page that n processes share, an n-th."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
