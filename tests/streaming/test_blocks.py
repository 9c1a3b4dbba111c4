from __future__ import annotations

from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.streaming.test_steps import plan_of
from tests.support.handmade import HandmadeBundle, floats, integers, strings
from tests.support.steps import prepare
from tfbundle.choosing.castable import Cast
from tfbundle.storage.base import Buffer
from tfbundle.streaming.blocks import BlockFile, iter_stretches
from tfbundle.streaming.pipeline import run_step_into
from tfbundle.streaming.steps import Run, Step, Transform, iter_steps

BLOCK = 8


class Notebook:
    """A ``StagedFile`` that notes what is written to it."""

    path = "notebook"

    def __init__(self) -> None:
        self.writes: list[tuple[int, bytes]] = []
        self.calls: list[str] = []

    def write_at(self, offset: int, data: Buffer) -> None:
        self.writes.append((offset, bytes(data)))

    def reserve(self, nbytes: int) -> None:
        self.calls.append(f"reserve {nbytes}")

    def sync(self) -> None:
        self.calls.append("sync")

    def close(self) -> None:
        self.calls.append("close")


def places(writes: list[tuple[int, bytes]]) -> dict[int, int]:
    """Return the bytes that were written, by their offset."""
    return {offset + at: byte for offset, data in writes for at, byte in enumerate(data)}


@st.composite
def stretches(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Start and end of stretches that are apart from each other."""
    bounds = sorted(draw(st.sets(st.integers(0, 100), min_size=2, max_size=8)))
    return list(zip(bounds[::2], bounds[1::2], strict=False))


@given(stretches(), st.integers(1, 40))
def test_whole_blocks_are_written_and_the_rest_is_kept(parts: list[tuple[int, int]], window: int) -> None:
    wanted = {at: at % 251 for start, end in parts for at in range(start, end)}
    notebook = Notebook()
    file = BlockFile(notebook, parts, BLOCK)
    for start, end in parts:
        for first in range(start, end, window):
            last = min(first + window, end)
            file.write_at(first, memoryview(bytes(wanted[at] for at in range(first, last))))
    written, kept = places(notebook.writes), places([*file.edges])
    assert written | kept == wanted
    assert not written.keys() & kept.keys()
    for at in written:
        assert all(other in wanted for other in range(at // BLOCK * BLOCK, at // BLOCK * BLOCK + BLOCK))
    for at in kept:
        assert not all(other in wanted for other in range(at // BLOCK * BLOCK, at // BLOCK * BLOCK + BLOCK))


def test_bytes_that_are_written_again_come_last() -> None:
    file = BlockFile(Notebook(), [(3, 7)], BLOCK)
    file.write_at(3, b"abcd")
    file.write_at(4, b"X")
    assert places([*file.edges]) == places([(3, b"aXcd")])


def test_everything_else_is_up_to_the_file() -> None:
    notebook = Notebook()
    file = BlockFile(notebook, [(0, 8)], BLOCK)
    file.reserve(7)
    file.sync()
    file.close()
    assert (file.path, notebook.calls) == ("notebook", ["reserve 7", "sync", "close"])


@given(st.lists(st.sampled_from(["floats", "integers", "strings", "nothing"]), max_size=9), st.integers(1, 6))
def test_stretches_are_what_steps_write(kinds: list[str], step: int) -> None:
    makers = {
        "floats": lambda name: floats(name, np.arange(7)),
        "integers": lambda name: integers(name, [1, 2]),
        "strings": lambda name: strings(name, [b"odd", b""]),
        "nothing": lambda name: floats(name, []),
    }
    bundle = HandmadeBundle([makers[kind](f"{number}") for number, kind in enumerate(kinds)])
    with TemporaryDirectory() as folder:
        context, plan = prepare(bundle, Path(folder), 16 * step)
        for work in iter_steps(plan):
            notebook = Notebook()
            run_step_into(notebook, context, work)
            found = list(iter_stretches(work))
            assert sorted(places(notebook.writes)) == list(chain.from_iterable(range(*part) for part in found))
            assert all(before < after for (_, before), (after, _) in pairwise(found))


def test_gap_between_runs_belongs_to_another_step() -> None:
    row, four = np.zeros(1, np.intp), np.array([4])
    places = [(0, 3), (4, 7), (8, 20), (12, 22)]  # in the source and, cast, in the target
    halve = Transform(Cast(1, 19))
    step = Step(0, 0, tuple(Run(row, four, source, target, halve) for source, target in places))
    assert list(iter_stretches(step)) == [(3, 5), (7, 9), (20, 24)]


@pytest.mark.parametrize(("step_nbytes", "joins"), [(1024, {(1, 0, 16)}), (16, {(1, 0, 8), (1, 8, 16)})])
def test_stretches_of_joins_and_of_new_payloads(step_nbytes: int, joins: set[tuple[int, int, int]]) -> None:
    """A payload of three bytes, and in another shard a joined float16 tensor of eight elements."""
    found = {(step.target_shard, *part) for step in iter_steps(plan_of(step_nbytes)) for part in iter_stretches(step)}
    assert found == {(0, 0, 3), *joins}
