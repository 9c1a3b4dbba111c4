from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Command
from tests.support.handmade import HandmadeBundle, floats, integers, strings

BUNDLE = HandmadeBundle(
    [
        floats("dense/kernel", np.linspace(-2, 2, 12).reshape(3, 4)),
        floats("dense/kernel/Adam", np.full((3, 4), 1e-9)),
        floats("dense/bias", [1e-9, 6e-8, 0.5, 0], shard=1),
        integers("step", [5]),
        strings("labels", [b"cat", b"dog"], shard=1),
    ],
    2,
)


@pytest.fixture
def tfbundle(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command: ``tfbundle("ls", prefix)``."""
    return Command(capsys)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Prefix of a small bundle."""
    return BUNDLE.write(tmp_path / "source" / "model")
