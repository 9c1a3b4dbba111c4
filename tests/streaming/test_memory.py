from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.giant import write_giant, write_giant_partition
from tests.support.processes import BARE_IMPORTS, peak_nbytes

MIB = 1 << 20
LIMIT_NBYTES = 24 * MIB
HALVE = """
import tfbundle
report = tfbundle.halve(*sys.argv[1:], options=tfbundle.RunOptions(jobs=1))
assert report.totals.elements == 1 << 26
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_peak_does_not_follow_the_size_of_a_tensor(tmp_path: Path) -> None:
    source = write_giant(tmp_path / "giant", 256 * MIB)
    bare = peak_nbytes(BARE_IMPORTS)
    assert peak_nbytes(HALVE, source, tmp_path / "half") - bare <= LIMIT_NBYTES


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("axis", [0, 1])
def test_peak_does_not_follow_the_size_of_a_partitioned_tensor(tmp_path: Path, axis: int) -> None:
    source = write_giant_partition(tmp_path / "giant", (8192, 8192), 8, axis)
    bare = peak_nbytes(BARE_IMPORTS)
    assert peak_nbytes(HALVE, source, tmp_path / "half") - bare <= LIMIT_NBYTES
    assert (tmp_path / "half.data-00000-of-00002").stat().st_size == 128 * MIB
