"""A command loses power between any two of its calls, on a disk that keeps no more than POSIX promises."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.calls import watching
from tests.faults.durability import Journal, iter_outcomes
from tests.faults.scenes import SCENES, Scene, expect, judge, run


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_target_is_old_or_none_or_new(scene: Scene, tmp_path: Path) -> None:
    expected = expect(scene, tmp_path)
    scene.prepare(tmp_path)
    journal = Journal(tmp_path)
    found: Counter[str] = Counter()

    def look(_name: str, _arguments: object) -> None:
        for files in iter_outcomes(journal):
            found[judge(scene, expected, files)] += 1

    with watching(look, journal):
        status, errors = run(scene.command(tmp_path))
    assert status == 0, errors
    assert not [state for state in found if state.startswith("WRONG")], found
    assert found["new"]
    assert found["old" if scene.old else "none"]
    after = Counter(judge(scene, expected, files) for files in iter_outcomes(journal))
    assert set(after) == {"new"}, "success was told before it was durable"
