from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfbundle
from tests.support.handmade import HandmadeBundle, floats, integers
from tests.support.wire import varint_field
from tfbundle.blending.placement import Placement, encode_placed_rows, place_payloads
from tfbundle.format.entries import decode_entry
from tfbundle.streaming.layout import Layout


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=20),
    st.sampled_from([Layout(), Layout(shards=3), Layout(max_shard_nbytes=60)]),
)
def test_every_byte_of_every_shard_belongs_to_one_payload(rows: list[tuple[int, int]], layout: Layout) -> None:
    sizes, current = np.array([size for size, _ in rows], np.int64), np.array([shard for _, shard in rows], np.int32)
    placement = place_payloads(sizes, current, 4, layout)
    shards = [np.zeros(nbytes, np.int64) for nbytes in placement.shard_nbytes]
    for size, shard, offset in zip(sizes, placement.shard_id, placement.offset, strict=True):
        shards[shard][offset : offset + size] += 1
        assert offset + size <= len(shards[shard])
    assert all((shard == 1).all() for shard in shards)
    if layout == Layout():
        assert placement.shard_id.tolist() == current.tolist()


@pytest.mark.parametrize("extra", [b"", varint_field(99, 3)])
def test_entries_keep_all_but_their_place(tmp_path: Path, extra: bytes) -> None:
    HandmadeBundle([integers("n", [1]), floats("w", [[1, 2]], extra=extra)]).write(tmp_path / "m")
    placement = Placement(np.array([3, 4], np.int32), np.array([70, 80]), (0,) * 5)
    with tfbundle.open(tmp_path / "m") as bundle:
        rows = dict(
            encode_placed_rows(bundle.index, np.array([1, 0]), placement, np.array([8, 8]), np.array([0, 1], np.uint32))
        )
    entry = decode_entry(rows[b"w"])
    assert (entry.dtype, entry.shape, entry.shard_id, entry.offset, entry.size) == (1, (1, 2), 3, 70, 8)
    assert entry.crc32c == 0xA282EAD8  # 0, masked
    assert decode_entry(rows[b"n"]).offset == 80
    assert rows[b"w"].endswith(extra)


def test_many_rows_in_many_shards_take_no_longer_than_in_few() -> None:
    """A look at all rows for each shard would take minutes."""
    count = 100_000
    sizes, current = np.arange(count), np.arange(count, dtype=np.int32)[::-1]
    begin = time.process_time()
    placement = place_payloads(sizes, current, count)
    assert time.process_time() - begin < 2
    assert not placement.offset.any()
    assert placement.shard_nbytes == tuple(range(count))[::-1]
