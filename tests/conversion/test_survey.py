from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import HandmadeBundle, bundle_files, floats, integers, strings
from tfbundle import CastPolicy, RunOptions, Selection, cast, halve, stats
from tfbundle.errors import CastError, ChecksumError

TENSORS = [
    floats("a/fits", [1, 2, 3e-8]),
    floats("b/large", [1, 1e5, -7e4]),
    integers("c/step", [5]),
    floats("d/huge", [1e38]),
    strings("e/labels", [b"x"]),
]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return HandmadeBundle(TENSORS).write(tmp_path / "source")


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_stats_are_those_of_the_conversion_and_nothing_is_written(source: str, tmp_path: Path) -> None:
    before = everything_below(tmp_path)
    found = stats(source)
    assert everything_below(tmp_path) == before
    done = halve(source, tmp_path / "half", policy=CastPolicy(on_overflow="inf"))
    assert (found.target, found.dry_run, found.source_nbytes) == ("", True, done.source_nbytes)
    assert found.target_nbytes == done.target_nbytes
    assert [tensor.stats for tensor in found.tensors] == [tensor.stats for tensor in done.tensors]
    assert found.totals.overflow == 3


def test_stats_read_no_more_than_what_would_be_cast(tmp_path: Path) -> None:
    broken = HandmadeBundle([floats("w", [1]), integers("broken", [1], crc=1)]).write(tmp_path / "m")
    assert stats(broken).totals.elements == 1
    also = HandmadeBundle([floats("w", [1], crc=1), integers("n", [1])]).write(tmp_path / "n")
    with pytest.raises(ChecksumError, match="tensor 'w'"):
        stats(also)


def test_stats_of_other_dtypes_and_some_tensors(source: str) -> None:
    assert stats(source, policy=CastPolicy("bfloat16")).totals.overflow == 0
    only = stats(source, selection=Selection(only=("b/*",)))
    assert [tensor.name for tensor in only.tensors if tensor.stats] == ["b/large"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_tensors_that_would_overflow_are_kept(source: str, tmp_path: Path, jobs: int) -> None:
    policy, options = CastPolicy(on_overflow="keep"), RunOptions(jobs=jobs)
    report = halve(source, tmp_path / "half", policy=policy, options=options)
    assert bundle_files(tmp_path / "half") == HandmadeBundle(TENSORS).halved({"a/fits"}).files()
    kept = {tensor.name: tensor.reason for tensor in report.select("keep")}
    assert kept == {"b/large": "would overflow", "d/huge": "would overflow"}
    assert report.totals.elements == 3
    assert any("read twice" in note for note in report.notes)


def test_nothing_overflows_nothing_is_kept(tmp_path: Path) -> None:
    source = HandmadeBundle([floats("w", [1, 65504])]).write(tmp_path / "m")
    report = halve(source, tmp_path / "half", policy=CastPolicy(on_overflow="keep"))
    assert [tensor.action for tensor in report.tensors] == ["cast"]


def test_integers_that_do_not_fit_are_kept_or_refused(tmp_path: Path) -> None:
    source = HandmadeBundle([integers("big", [1, 1 << 40]), integers("small", [1, 2])]).write(tmp_path / "m")
    with pytest.raises(CastError, match=r"tensor big: 1 value overflows int32.*against a range of -2147483648 to"):
        cast(source, tmp_path / "refused", policy=CastPolicy("int32"))
    assert not list(tmp_path.glob("refused*"))
    cast(source, tmp_path / "kept", policy=CastPolicy("int32", on_overflow="keep"))
    found = tfbundle.load(tmp_path / "kept")
    assert {name: array.dtype for name, array in found.items()} == {"big": np.int64, "small": np.int32}
    assert found["big"].tolist() == [1, 1 << 40]


def test_damage_found_while_looking_leaves_nothing(tmp_path: Path) -> None:
    source = HandmadeBundle([floats("w", [1], crc=1)]).write(tmp_path / "m")
    before = everything_below(tmp_path)
    with pytest.raises(ChecksumError):
        halve(source, tmp_path / "half", policy=CastPolicy(on_overflow="keep"))
    assert everything_below(tmp_path) == before


def test_dry_run_does_not_look(tmp_path: Path) -> None:
    source = HandmadeBundle([floats("w", [1e9], crc=1)]).write(tmp_path / "m")
    options = RunOptions(dry_run=True)
    report = halve(source, tmp_path / "half", policy=CastPolicy(on_overflow="keep"), options=options)
    assert [tensor.action for tensor in report.tensors] == ["cast"]
    assert any("--dry-run" in note for note in report.notes)
