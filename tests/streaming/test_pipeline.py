from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.handmade import (
    HandmadeBundle,
    HandmadeTensor,
    bundle_files,
    floats,
    integers,
    numpy_cast,
    numpy_clamp,
    strings,
)
from tests.support.steps import prepare, to_plain
from tests.support.tables import varint
from tfbundle import CastPolicy, CastStats, RunOptions, Selection, halve
from tfbundle.errors import FormatError
from tfbundle.streaming import pipeline, workspace
from tfbundle.streaming.pipeline import run_step
from tfbundle.streaming.planning import plan_conversion
from tfbundle.streaming.steps import iter_steps

AS_NUMPY = CastPolicy(on_overflow="inf")
INTERESTING = (
    0.0,
    -0.0,
    1.0,
    -1.5,
    65504.0,
    65519.996,
    65520.0,
    1e38,
    6e-5,
    6e-8,
    2.9e-8,
    1e-38,
    np.inf,
    -np.inf,
    np.nan,
)


def tiny_pipeline(monkeypatch: pytest.MonkeyPatch, step_nbytes: int, window_nbytes: int) -> None:
    """Make steps and windows so small that even a small tensor takes several."""
    monkeypatch.setattr(pipeline, "WINDOW_NBYTES", window_nbytes)
    monkeypatch.setattr(workspace, "_local", type(workspace._local)())  # workspaces of the usual size

    monkeypatch.setattr(
        "tfbundle.streaming.planning.plan_conversion", partial(plan_conversion, step_nbytes=step_nbytes)
    )


FLOAT_LISTS = st.lists(st.sampled_from(INTERESTING) | st.floats(width=32, allow_nan=False), max_size=30)
SHARDS = st.integers(0, 1)


@st.composite
def bundles(draw: st.DrawFn) -> HandmadeBundle:
    """A bundle of two shards whose tensors lie at any offset, with gaps, in an order that is not that of their keys."""
    tensors: list[HandmadeTensor] = []
    for number in draw(st.permutations(range(draw(st.integers(0, 8))))):
        name = f"{number}/w"
        place = {"shard": draw(SHARDS), "gap": draw(st.integers(0, 5))}
        kind = draw(st.sampled_from(["floats", "floats", "floats", "integers", "strings"]))
        if kind == "floats":
            tensors.append(floats(name, draw(FLOAT_LISTS), **place))
        elif kind == "integers":
            tensors.append(integers(name, draw(st.lists(st.integers(-5, 5), max_size=9)), **place))
        else:
            tensors.append(strings(name, draw(st.lists(st.binary(max_size=40), max_size=5)), **place))
    return HandmadeBundle(tensors, 2)


@given(bundles(), st.sampled_from([4, 8, 20, 64, 1 << 20]), st.sampled_from([4, 8, 12, 64, 4096]), st.integers(1, 3))
def test_output_is_that_of_a_plain_implementation(
    bundle: HandmadeBundle, step_nbytes: int, window_nbytes: int, jobs: int
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        tiny_pipeline(monkeypatch, step_nbytes, window_nbytes)
        source = bundle.write(f"{folder}/source")
        halve(source, f"{folder}/half", policy=AS_NUMPY, options=RunOptions(jobs=jobs))
        assert bundle_files(f"{folder}/half") == bundle.halved().files()
        assert bundle_files(source) == bundle.files()


@given(bundles(), st.data())
def test_chosen_tensors_only(bundle: HandmadeBundle, data: st.DataObject) -> None:
    names = [tensor.name.decode() for tensor in bundle.tensors]
    drop = data.draw(st.sets(st.sampled_from(names)) if names else st.just(set()))
    keep = data.draw(st.sets(st.sampled_from(names)) if names else st.just(set()))
    floating = {tensor.name.decode() for tensor in bundle.tensors if tensor.dtype == 1}
    with TemporaryDirectory() as folder:
        source = bundle.write(f"{folder}/source")
        halve(source, f"{folder}/half", selection=Selection(tuple(keep), (), tuple(drop)), policy=AS_NUMPY)
        assert bundle_files(f"{folder}/half") == bundle.halved(floating - keep, drop).files()


@given(bundles())
@settings(max_examples=10)
def test_clamped_output_is_that_of_a_plain_implementation(bundle: HandmadeBundle) -> None:
    with TemporaryDirectory() as folder:
        source = bundle.write(f"{folder}/source")
        halve(source, f"{folder}/half", policy=CastPolicy(on_overflow="clamp"))
        assert bundle_files(f"{folder}/half") == bundle.halved(how=numpy_clamp).files()


def count_with_numpy(values: list[float]) -> CastStats:
    before = np.array(values, np.float32)
    after = numpy_cast(before)
    finite = np.isfinite(before)
    magnitude = np.abs(after.astype(np.float64))
    return CastStats(
        elements=before.size,
        overflow=int((finite & np.isinf(after)).sum()),
        underflow=int(((before != 0) & (after == 0)).sum()),
        subnormal=int(((magnitude > 0) & (magnitude < 2.0**-14)).sum()),
        inf=int(np.isinf(before).sum()),
        nan=int(np.isnan(before).sum()),
        largest=float(np.abs(before[finite]).max(initial=0)),
    )


@given(st.lists(FLOAT_LISTS, max_size=6), st.sampled_from([4, 16, 1 << 20]), st.sampled_from([4, 12, 4096]))
def test_statistics_are_those_of_numpy(lists: list[list[float]], step_nbytes: int, window_nbytes: int) -> None:
    bundle = HandmadeBundle([floats(f"{number:03d}", values) for number, values in enumerate(lists)])
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        tiny_pipeline(monkeypatch, step_nbytes, window_nbytes)
        report = halve(bundle.write(f"{folder}/source"), f"{folder}/half", policy=AS_NUMPY)
    assert {tensor.name: tensor.stats for tensor in report.tensors} == {
        f"{number:03d}": count_with_numpy(values) for number, values in enumerate(lists)
    }


def test_ten_thousand_tiny_tensors(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(10_000, 3)).astype(np.float32)
    bundle = HandmadeBundle([floats(f"{number:05d}/w", row) for number, row in enumerate(values)])
    report = halve(bundle.write(tmp_path / "source"), tmp_path / "half")
    assert bundle_files(tmp_path / "half") == bundle.halved().files()
    stats = {tensor.name: tensor.stats for tensor in report.tensors}
    assert len(stats) == 10_000
    assert stats["04321/w"] == count_with_numpy(values[4321].tolist())


@pytest.mark.parametrize("jobs", [1, 2])
def test_large_tensor_at_odd_offsets(tmp_path: Path, jobs: int) -> None:
    """Several windows of the usual size, and several blocks of the cast; nothing is aligned."""
    values = np.random.default_rng(2).normal(size=800_001).astype(np.float32)
    bundle = HandmadeBundle(
        [
            strings("c", [b"odd"]),
            floats("b", values),
            strings("d", [b"x" * 2_500_001, b"", b"y"]),
            floats("a", values[:5], gap=3),
        ]
    )
    halve(bundle.write(tmp_path / "source"), tmp_path / "half", options=RunOptions(jobs=jobs))
    assert bundle_files(tmp_path / "half") == bundle.halved().files()


def test_sums_over_tensors_and_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_pipeline(monkeypatch, 1 << 20, 8)
    bundle = HandmadeBundle([floats("a", [7e4, 1, 8e4, np.inf]), floats("b", [1e-9, 6e-8, np.nan])])
    report = halve(bundle.write(tmp_path / "source"), tmp_path / "half", policy=AS_NUMPY)
    assert report.totals == CastStats(7, overflow=2, underflow=1, subnormal=1, inf=1, nan=1, largest=8e4)


# Steps on their own.


def test_steps_may_run_twice_in_any_order_and_elsewhere(tmp_path: Path) -> None:
    bundle = HandmadeBundle([strings("s", [b"abc"]), floats("w", np.arange(40)), integers("i", [1, 2, 3])])
    context, plan = prepare(bundle, tmp_path, 16)
    context, plan = pickle.loads(pickle.dumps((context, plan)))
    steps = pickle.loads(pickle.dumps(list(iter_steps(plan))))
    assert len(steps) > 5
    for step in (*reversed(steps), *steps):
        first = to_plain(run_step(context, step))
        assert to_plain(run_step(context, step)) == first
    expected = bundle.halved().files()[".data-00000-of-00001"]
    assert (tmp_path / "target").read_bytes() == expected


def test_shard_that_became_shorter(tmp_path: Path) -> None:
    context, plan = prepare(HandmadeBundle([floats("w", np.arange(100))]), tmp_path)
    Path(context.sources[0]).write_bytes(bytes(399))
    with pytest.raises(FormatError, match="Read less bytes than requested"):
        run_step(context, next(iter_steps(plan)))


def test_string_payload_that_is_none(tmp_path: Path) -> None:
    bundle = HandmadeBundle([strings("s", [b"abc"])])
    context, plan = prepare(bundle, tmp_path)
    payload = varint(1 << 40) + bundle.tensors[0].payload[1:]
    Path(context.sources[0]).write_bytes(payload)
    with pytest.raises(FormatError):
        run_step(context, next(iter_steps(plan)))
