"""What a long run starts from beside its seeds: the small files of the corpus of checkpoints, where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.packing import pack
from tests.fuzz.target import Target
from tests.support.corpus import v1_items, v2_items
from tests.support.requirements import find_corpus

_FILES = {
    "table": ("*.index",),
    "graph": ("*.meta", "saved_model.pb"),
    "rewrite": ("*.meta",),
    "state": ("checkpoint",),
}


def corpus_inputs(target: Target) -> Iterator[bytes]:
    """Yield inputs of a target from the corpus, as far as they are small enough; none without one."""
    yield from (data for data in _iter_inputs(target.name) if len(data) <= target.max_nbytes)


def _iter_inputs(name: str) -> Iterator[bytes]:
    root = find_corpus()
    for pattern in _FILES.get(name, ()):
        yield from (path.read_bytes() for path in sorted(root.rglob(pattern) if root else ()) if path.is_file())
    if name == "bundle":
        yield from (pack([_read(f"{item.prefix}.index"), *_beside(item.prefix, ".data-")]) for item in v2_items())
    if name == "v1":
        for item in v1_items():
            whole = os.path.isfile(item.prefix)
            yield pack([_read(item.prefix)] if whole else _beside(item.prefix.partition("-?")[0], "-"))


def _beside(prefix: str, ending: str) -> list[bytes]:
    path = Path(prefix)
    names = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    return [file.read_bytes() for file in names if file.name.startswith(f"{os.path.basename(prefix)}{ending}")]


def _read(path: str) -> bytes:
    return Path(path).read_bytes()
