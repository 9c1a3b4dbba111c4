"""What a target is, and the limits that every target has to keep."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tfbundle.errors import BundleError

CORPUS = Path(__file__).resolve().parent / "corpus"
MOST_SECONDS = 1.0
MOST_NBYTES = 100_000_000


_Decoded = TypeVar("_Decoded")


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Attributes:
        name: as on the command line.
        check: fails (with AssertionError, or whatever escapes) where a promise is broken.
        seeds: makes the inputs to start from.
        mutate: makes another input of one, such that it gets past checksums.
        max_nbytes: how large inputs grow.
        verbs: how many things ``check`` does one after the other, each within the limit of time.
        quick: checks a part of what ``check`` does, another for every input; for long runs.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Callable[[bytes, random.Random], bytes]
    max_nbytes: int = 8192
    verbs: int = 1
    quick: Callable[[bytes], None] | None = None

    def kept(self) -> list[bytes]:
        """Return the inputs of the corpus."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]

    def check_within_limits(self, data: bytes, *, quick: bool = False) -> None:
        """Check an input, and that it takes neither long nor much memory."""
        before = _reset_peak()
        start = time.process_time()
        (self.quick if quick and self.quick else self.check)(data)
        seconds = time.process_time() - start
        assert seconds < MOST_SECONDS * (1 if quick else self.verbs), f"took {seconds:.1f} s"
        if before is not None:
            nbytes = _status("VmHWM") - before
            assert nbytes < MOST_NBYTES, f"took {nbytes / 1e6:.0f} MB"

    def iter_mutations(self, count: int, seed: int = 1) -> Iterable[bytes]:
        """Yield that many inputs made from the seeds, the same ones every time."""
        rng = random.Random(seed)
        starts = list(self.seeds())
        yield from starts
        for _ in range(count):
            data = rng.choice(starts)
            for _ in range(rng.randint(1, 3)):
                data = self.mutate(data, rng)
            yield data[: self.max_nbytes]


def check_message(error: Exception) -> None:
    """Check that an error says something, in one line that does nothing to a terminal."""
    assert str(error), "an error that says nothing"
    assert str(error).isprintable(), "an error with more than text"


def attempt(decode: Callable[[bytes], _Decoded], data: bytes) -> _Decoded | None:
    """Return what a decoder makes of bytes, None where it refuses them."""
    try:
        return decode(data)
    except BundleError as error:
        check_message(error)
        return None


def _reset_peak() -> int | None:
    """Let the most memory ever held count from now on; return what is held, None where the system does not tell."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return _status("VmRSS")
    except OSError:
        return None


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
