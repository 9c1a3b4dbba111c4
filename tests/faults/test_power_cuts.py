"""Power cuts on real file systems: before every call that changes something, and at random moments."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.disks import MAKE
from tests.faults.namespaces import run_isolated
from tests.faults.scenes import SCENES
from tests.support.requirements import needs_device, needs_programs, needs_root

IN_SUITE = ["halve", "force", "set"]


@pytest.mark.parametrize("kind", MAKE)
def test_the_target_is_old_or_none_or_new(kind: str, tmp_path: Path) -> None:
    found = cut(kind, tmp_path, 0, IN_SUITE)
    assert sum(found.values()) >= 100, found


@pytest.mark.campaign
@pytest.mark.parametrize("kind", MAKE)
def test_the_target_is_old_or_none_or_new_at_random_moments(kind: str, tmp_path: Path) -> None:
    found = cut(kind, tmp_path, 100, list(SCENES))
    assert sum(found.values()) >= 1000, found


def cut(kind: str, directory: Path, num_random: int, names: list[str]) -> Counter[str]:
    needs_root()
    needs_device("/dev/loop-control")
    needs_programs(MAKE[kind][0])
    outcomes = run_isolated("tests.faults.power_cuts", kind, directory, str(num_random), *names, timeout=3600)
    found = Counter(state for _, _, state in outcomes)
    print(kind, dict(found))
    wrong = [outcome for outcome in outcomes if outcome[2].startswith("WRONG")]
    assert not wrong, wrong
    return found
