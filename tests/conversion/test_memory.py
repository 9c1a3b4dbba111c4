from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.giant import write_giant
from tests.support.processes import BARE_IMPORTS, peak_nbytes

MIB = 1 << 20
HALVE = "import tfbundle; report = tfbundle.halve(*sys.argv[1:]); assert report.totals.elements == 1 << 26"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_peak_does_not_follow_the_size_of_a_tensor(tmp_path: Path) -> None:
    source = write_giant(tmp_path / "giant", 256 * MIB, sparse=True)
    bare = peak_nbytes(BARE_IMPORTS)
    assert peak_nbytes(HALVE, source, tmp_path / "half") - bare <= 120 * MIB
