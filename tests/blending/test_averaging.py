from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import HandmadeBundle, floats, integers, strings
from tfbundle import TruncatedError
from tfbundle.blending.averaging import check_sources, plan_average
from tfbundle.streaming.layout import Layout


def test_rows_are_matched_by_name(tmp_path: Path) -> None:
    first = [floats("a", [1]), strings("s", [b"x"]), floats("c", [1, 2], shard=1)]
    last = [floats("c", [1, 2]), floats("a", [1]), strings("s", [b"long"])]
    HandmadeBundle(first, 2).write(tmp_path / "1")
    HandmadeBundle(last).write(tmp_path / "2")
    indexes = [tfbundle.open(tmp_path / name).index for name in "12"]
    plan = plan_average(indexes, Layout())
    keys = [[index.keys_in_order[row] for row in rows] for index, rows in zip(indexes, plan.rows, strict=True)]
    assert keys == [[b"c", b"a", b"s"]] * 2
    assert plan.sizes.tolist() == [8, 4, 9]
    assert plan.placement.offset.tolist() == [0, 8, 12]
    assert (plan.num_averaged, plan.parted) == (2, ())


def test_partitions_that_differ_come_last_and_whole(tmp_path: Path) -> None:
    for name, cut in (("1", 1), ("2", 2)):
        with tfbundle.create(tmp_path / name) as writer:
            for tensor, at in (("same", 1), ("unlike", cut)):
                writer.add_slice(tensor, np.zeros(at), shape=(4,), extents=((0, at),))
                writer.add_slice(tensor, np.zeros(4 - at), shape=(4,), extents=((at, 4 - at),))
            writer.add("w", np.zeros(2))
    indexes = [tfbundle.open(tmp_path / name).index for name in "12"]
    plan = plan_average(indexes, Layout())
    assert plan.parted == (b"unlike",)
    assert plan.sizes.tolist() == [8, 24, 16, 32]
    assert plan.num_averaged == 3


def test_payload_beyond_its_file(tmp_path: Path) -> None:
    HandmadeBundle([floats("a", [1]), integers("n", [1])]).write(tmp_path / "m")
    path = tmp_path / "m.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])
    with (
        tfbundle.open(tmp_path / "m") as bundle,
        pytest.raises(TruncatedError, match="/m: tensor 'n': Read less bytes"),
    ):
        check_sources([bundle])
