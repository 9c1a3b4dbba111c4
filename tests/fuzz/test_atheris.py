"""Each target under the real fuzzer for a few seconds; the long runs are ``python -m tests.fuzz``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.__main__ import prepare, run
from tests.fuzz.target import Target
from tests.fuzz.targets import all_targets
from tests.support.requirements import needs_module

_SECONDS = 3


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.name)
def test_a_few_seconds(target: Target, tmp_path: Path) -> None:
    needs_module("atheris")
    prepare(target, tmp_path)
    outcome = run(target, tmp_path, _SECONDS, "-seed=1")
    assert outcome.findings == [], outcome.log[-3000:]
    assert outcome.executions > len(list(target.seeds()))
    assert outcome.edges > 50, "the package is not instrumented"
