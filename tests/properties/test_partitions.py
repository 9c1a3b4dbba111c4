"""Partitioned tensors: whatever way they are cut, they read, join, keep and re-shard to the same values."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import tfbundle
from tests.support.handmade import numpy_cast
from tests.support.partitions import Piece, partitioned_bundle, partitions
from tests.support.requirements import tensorflow
from tfbundle import Layout, RunOptions, halve
from tfbundle.choosing.decisions import Decision, Decisions
from tfbundle.streaming.join import Join, iter_windows, row_elements
from tfbundle.streaming.planning import plan_conversion
from tfbundle.streaming.steps import iter_steps

Cut = tuple[tuple[int, ...], list[Piece]]


def numbered(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return ((np.arange(int(np.prod(shape))).reshape(shape) - 7) / 3).astype(np.float32)


def spread(data: st.DataObject, pieces: list[Piece]) -> list[int]:
    return data.draw(st.lists(st.integers(0, 2), min_size=len(pieces), max_size=len(pieces)))


@given(partitions(), st.data())
def test_whole_and_parts_read_as_numpy_indexes_them(cut: Cut, data: st.DataObject) -> None:
    shape, pieces = cut
    values = numbered(shape)
    where = tuple(
        data.draw(st.one_of(st.integers(-size, size - 1), st.slices(size).filter(lambda index: index.step != 0)))
        for size in shape
    )
    with TemporaryDirectory() as folder:
        prefix = partitioned_bundle("w", values, 1, pieces, spread(data, pieces)).write(f"{folder}/m")
        with tfbundle.open(prefix) as bundle:
            assert list(bundle) == ["w"]
            assert np.array_equal(bundle["w"], values)
            assert np.array_equal(bundle.read("w", where), values[where])
        assert tfbundle.verify(prefix).ok


@given(partitions(), st.integers(1, 40), st.integers(1, 9), st.integers(1, 2), st.data())
def test_join_and_keep(cut: Cut, window: int, step: int, jobs: int, data: st.DataObject) -> None:
    shape, pieces = cut
    values = numbered(shape)
    expected = numpy_cast(values)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("tfbundle.streaming.join.WINDOW_ELEMENTS", window)
        monkeypatch.setattr(
            "tfbundle.streaming.planning.plan_conversion", partial(plan_conversion, step_nbytes=16 * step)
        )
        prefix = partitioned_bundle("w", values, 1, pieces, spread(data, pieces)).write(f"{folder}/m")
        report = halve(prefix, f"{folder}/joined", options=RunOptions(jobs=jobs))
        halve(prefix, f"{folder}/kept", layout=Layout("keep"), options=RunOptions(jobs=jobs))
        with tfbundle.open(f"{folder}/joined") as joined, tfbundle.open(f"{folder}/kept") as kept:
            assert joined.entries["w"].slices == ()
            assert kept.entries["w"].slices == tuple(piece.extents for piece in pieces)
            assert np.array_equal(joined["w"], expected)
            assert np.array_equal(kept["w"], expected)
        assert tfbundle.verify(f"{folder}/joined").ok
        assert tfbundle.verify(f"{folder}/kept").ok
        assert report.tensors[0].num_slices == len(pieces)
        assert report.totals.elements == values.size
        assert report.totals.largest == np.abs(values).max()


@given(partitions(), st.integers(1, 40), st.integers(1, 9))
def test_windows_cover_the_tensor_and_every_slice_in_order(cut: Cut, window: int, step: int) -> None:
    shape, pieces = cut
    values = numbered(shape)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("tfbundle.streaming.join.WINDOW_ELEMENTS", window)
        prefix = partitioned_bundle("w", values, 1, pieces, [0] * len(pieces)).write(f"{folder}/m")
        with tfbundle.open(prefix) as bundle:
            plan = plan_conversion(
                bundle.index, [values.nbytes], Decisions.of([Decision("cast", "test", 19)]), step_nbytes=16 * step
            )
        seen = np.zeros(shape, int)
        read: dict[int, list[int]] = defaultdict(list)
        for work in iter_steps(plan):
            assert isinstance(work, Join)
            assert work.nbytes <= max(16 * step, row_elements(shape) * 4)
            for box, stretches in iter_windows(work):
                assert box.num_elements <= window or box.num_elements == row_elements(shape)
                for number, offset, part in stretches:
                    seen[tuple(map(slice, part.starts, part.ends))] += 1
                    read[work.sources[number].source] += range(offset, offset + part.num_elements)
    assert (seen == 1).all()
    sizes = (plan.index.columns.size // 4).tolist()
    assert all(read[number] == list(range(sizes[number])) for number in read)
    assert sum(map(len, read.values())) == values.size


@given(partitions(), st.one_of(st.builds(Layout, shards=st.integers(1, 4)), st.integers(1, 300)), st.data())
def test_other_shards_change_no_value(cut: Cut, sharding: Layout | int, data: st.DataObject) -> None:
    shape, pieces = cut
    values = numbered(shape)
    layout = sharding if isinstance(sharding, Layout) else Layout("keep", max_shard_nbytes=sharding)
    with TemporaryDirectory() as folder:
        prefix = partitioned_bundle("w", values, 1, pieces, spread(data, pieces)).write(f"{folder}/m")
        halve(prefix, f"{folder}/h", layout=layout)
        with tfbundle.open(f"{folder}/h") as bundle:
            sizes = [shard.nbytes for shard in bundle.open_shards()]
            largest = max(bundle.index[key].size for key in bundle.index)
            assert np.array_equal(bundle["w"], numpy_cast(values))
        assert layout.shards in (None, len(sizes))
        assert layout.max_shard_nbytes is None or max(sizes) <= max(layout.max_shard_nbytes, largest)
        assert tfbundle.verify(f"{folder}/h").ok


@given(partitions(), st.data())
def test_tensorflow_reads_what_the_writer_makes(cut: Cut, data: st.DataObject) -> None:
    tf = tensorflow()
    shape, pieces = cut
    dtype = data.draw(st.sampled_from(["float32", "float64", "int32", "int64", "uint8", "complex64", "bool"]))
    values = (np.arange(int(np.prod(shape))) % 2 if dtype == "bool" else numbered(shape)).reshape(shape).astype(dtype)
    with TemporaryDirectory() as folder:
        with tfbundle.create(f"{folder}/m") as writer:
            for piece in pieces:
                writer.add_slice("w", values[piece.where], shape=shape, extents=piece.extents)
        assert np.array_equal(tf.train.load_checkpoint(f"{folder}/m").get_tensor("w"), values)
        assert np.array_equal(tfbundle.load(f"{folder}/m")["w"], values)
