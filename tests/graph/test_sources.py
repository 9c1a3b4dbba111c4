from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from tfbundle.errors import FormatError
from tfbundle.graph import sources
from tfbundle.graph.sources import FileSource, Memory, Source, whole_stream
from tfbundle.storage.local import LocalStorage

DATA = random.Random(5).randbytes(1000)


def check(source: Source) -> None:
    rng = random.Random(6)
    assert source.nbytes == len(DATA)
    for _ in range(300):
        start = rng.randint(0, len(DATA))
        end = rng.randint(start, min(len(DATA), start + rng.choice((3, 40, 1000))))
        assert source.read(start, end) == DATA[start:end]
    stream = whole_stream(source)
    assert (stream.nbytes, b"".join(stream.pieces())) == (len(DATA), DATA)


@pytest.mark.parametrize("near", [1, 16, 300, 5000])
def test_any_place_can_be_read(near: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_NEAR_NBYTES", near)
    monkeypatch.setattr(sources, "WINDOW_NBYTES", 64)
    (tmp_path / "f").write_bytes(DATA)
    check(Memory(DATA))
    with closing(LocalStorage().open(str(tmp_path / "f"))) as file:
        check(FileSource(file))


def test_file_that_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    with closing(LocalStorage().open(str(tmp_path / "f"))) as file:
        (tmp_path / "f").write_bytes(DATA[:500])
        with pytest.raises(FormatError):
            FileSource(file).read(400, 600)
