from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import tfbundle
from tests.support.handmade import HandmadeBundle, HandmadeTensor, floats, integers, strings
from tests.support.tables import masked_crc
from tfbundle.blending.blend import Blend, Difference
from tfbundle.blending.lanes import Lane
from tfbundle.blending.placement import place_payloads
from tfbundle.sstable.checksum import mask_crc32c
from tfbundle.storage.local_stage import LocalStage


class Counter:
    """Adds up what it is told."""

    nbytes = 0

    def start(self, nbytes: int) -> None: ...

    def advance(self, nbytes: int) -> None:
        self.nbytes += nbytes

    def finish(self) -> None: ...


def blend(folder: Path, *bundles: list[HandmadeTensor]) -> tuple[bytes, Blend, int]:
    """Blend bundles whose tensors are in the order of their names; return the data file, and what was told of it."""
    lanes = []
    for number, tensors in enumerate(bundles):
        HandmadeBundle(tensors).write(folder / f"{number}")
        reader: Any = tfbundle.open(folder / f"{number}")
        lanes.append(Lane(reader, np.arange(len(tensors))))
    stage, counter = LocalStage(replace=False), Counter()
    file = stage.create(str(folder / "out"))
    placement = place_payloads(lanes[-1].size, lanes[-1].shard_id, 1)
    found = Blend(lanes, placement, [file], counter)
    found.copy_rows()
    found.average_rows()
    data = Path(file.path).read_bytes()
    stage.discard()
    return data, found, counter.nbytes


def test_means_and_copies(tmp_path: Path) -> None:
    first = [floats("a", [1, 2]), integers("b", [5, 6]), floats("c", []), floats("d", [4]), strings("e", [b"x"])]
    last = [floats("a", [3, 8]), integers("b", [5, 7]), floats("c", []), floats("d", [5]), strings("e", [b"yy"])]
    data, found, nbytes = blend(tmp_path, first, last)
    expected = [floats("a", [2, 5]), last[1], last[2], floats("d", [4.5]), last[4]]
    assert data == b"".join(tensor.payload for tensor in expected)
    assert [mask_crc32c(int(crc)) for crc in found.crcs] == [tensor.stored_crc for tensor in expected]
    assert found.differences == {1: Difference(0, 8), 4: Difference(0)}
    assert nbytes == sum(len(tensor.payload) for tensor in first + last)


def test_the_first_lane_that_differs_is_named(tmp_path: Path) -> None:
    three = [[integers("n", [1, value])] for value in (7, 8, 7)]
    assert blend(tmp_path, *three)[1].differences == {0: Difference(1, 8)}


def test_one_lane_is_a_copy_to_the_last_bit(tmp_path: Path) -> None:
    odd = bytes.fromhex("0100807f00000080")  # a signalling NaN, and a negative zero
    tensor = HandmadeTensor(b"w", 1, (2,), odd)
    data, found, _ = blend(tmp_path, [tensor])
    assert data == odd
    assert found.differences == {}
    assert mask_crc32c(int(found.crcs[0])) == int.from_bytes(masked_crc(odd), "little")
