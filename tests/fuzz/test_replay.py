"""Every input that was once worth keeping, run again without a fuzzer; and mutations of the seeds, always the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import NAMES, all_targets, find_target

KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())
_FEW = {"bundle": 60, "v1": 60}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_kept_inputs(path: Path) -> None:
    find_target(path.parent.name).check_within_limits(path.read_bytes())


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.name)
def test_seeds_and_mutations(target: Target) -> None:
    for data in target.iter_mutations(_FEW.get(target.name, 300)):
        target.check_within_limits(data)


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.name)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 100, bytes(1000)], ids=["nothing", "a zero", "ones", "zeros"])
def test_nothing_at_all(target: Target, data: bytes) -> None:
    target.check_within_limits(data)


def test_corpus_is_small_and_complete() -> None:
    assert {path.parent.name for path in KEPT} == set(NAMES)
    assert sum(path.stat().st_size for path in KEPT) < 150_000
    assert all(path.stat().st_size <= find_target(path.parent.name).max_nbytes for path in KEPT)
