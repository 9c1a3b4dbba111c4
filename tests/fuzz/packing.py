"""Several files in one input: each after its size, 4 bytes little-endian."""

from __future__ import annotations

import random
from collections.abc import Iterable

from tests.fuzz.mutation import mutate_bytes

MOST_FILES = 6


def pack(files: Iterable[bytes]) -> bytes:
    """Return files as one input."""
    return b"".join(len(file).to_bytes(4, "little") + file for file in files)


def unpack(data: bytes) -> list[bytes]:
    """Return the files of an input, whatever its bytes; at least one, and not many."""
    files: list[bytes] = []
    while data and len(files) < MOST_FILES:
        nbytes = int.from_bytes(data[:4], "little")
        files.append(data[4 : 4 + nbytes])
        data = data[4 + nbytes :]
    return files or [b""]


def mutate_packed(data: bytes, rng: random.Random) -> bytes:
    """Change the bytes of one file."""
    files = unpack(data)
    at = rng.randrange(len(files))
    files[at] = mutate_bytes(files[at], rng)
    return pack(files)
