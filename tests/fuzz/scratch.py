"""Files of an input on disk, as short as it takes to look at them; in memory where the system has such a place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.handmade import all_below, files_of

_MEMORY = "/dev/shm"


@contextmanager
def laid_out(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Give a directory in which ``in`` has these files and ``out`` has none; nobody may change the former."""
    base = Path(tempfile.mkdtemp(prefix="tfbundle-fuzz-", dir=_MEMORY if os.path.isdir(_MEMORY) else None))
    try:
        for name in ("in", "out"):
            (base / name).mkdir()
        for name, contents in files.items():
            (base / "in" / name).write_bytes(contents)
        yield base
        assert files_of(base / "in") == dict(files), "the source was changed"
        assert sorted(os.listdir(base)) == ["in", "out"], "something was written elsewhere"
    finally:
        shutil.rmtree(base)


@contextmanager
def whole_or_nothing(folder: Path) -> Iterator[None]:
    """Check that nothing is left in a folder, which need not exist, by what fails in the block."""
    try:
        yield
    except Exception:
        assert all_below(folder) == [], "something was left behind"
        raise
