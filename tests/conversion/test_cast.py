from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.support.handmade import files_of
from tests.support.requirements import tensorflow
from tfbundle import BundleExistsError, CastError, CastPolicy, Layout, Naming, RunOptions, Selection, cast

DRY = RunOptions(dry_run=True)
NUMBERS = np.arange(-6, 6).reshape(4, 3)


@pytest.fixture
def partitioned(tmp_path: Path) -> Path:
    """Partitioned tensors of floats and integers, beside a plain one, an empty one and a scalar."""
    with tfbundle.create(tmp_path / "parted") as writer:
        for name, dtype in (("f64", np.float64), ("i64", np.int64), ("f32", np.float32)):
            values = NUMBERS.astype(dtype)
            writer.add_slice(name, values[:, 1:], shape=(4, 3), extents=((0, -1), (1, 2)))
            writer.add_slice(name, values[:, :1], shape=(4, 3), extents=((0, -1), (0, 1)))
        writer.add("empty", np.zeros((0, 3)))
        writer.add("scalar", np.float64(2.5))
    return tmp_path / "parted"


@pytest.mark.parametrize("slices", ["join", "keep"])
@pytest.mark.parametrize(
    ("to", "source", "name"),
    [
        ("float16", "float64", "f64"),
        ("float32", "float64", "f64"),
        ("float64", "float32", "f32"),
        ("uint16", "int64", "i64"),
        ("uint64", "int64", "i64"),
        ("int8", "int64", "i64"),
    ],
)
def test_partitioned(partitioned: Path, tmp_path: Path, to: str, source: str, name: str, slices: Any) -> None:
    """Slices are joined where TensorFlow cannot put them together; values are numpy's either way."""
    policy = CastPolicy(to, (source,), on_overflow="inf")
    foreseen = cast(partitioned, tmp_path / "new", policy=policy, layout=Layout(slices), options=DRY)
    done = cast(partitioned, tmp_path / "new", policy=policy, layout=Layout(slices))
    found = tfbundle.load(tmp_path / "new")
    assert found[name].dtype == np.dtype(to)
    assert found[name].tolist() == NUMBERS.astype(source).astype(to).tolist()
    (report,) = [tensor for tensor in done.tensors if tensor.name == name]
    joined = slices == "join" and to in ("float16", "uint16", "uint64")
    assert (report.num_slices, report.joined) == (2, joined)
    with tfbundle.open(tmp_path / "new") as bundle:
        assert bool(bundle.entries[name].slices) is not joined
    assert [tensor.target_nbytes for tensor in foreseen.tensors] == [tensor.target_nbytes for tensor in done.tensors]
    if source == "float64":
        assert found["scalar"] == 2.5
        assert found["scalar"].dtype == found["empty"].dtype == np.dtype(to)
        assert found["empty"].shape == (0, 3)


def test_overflow_of_one_slice(partitioned: Path, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    with pytest.raises(CastError, match=r"tensor i64: 6 values.*range of 0 to 65535; --on-overflow clamp would"):
        cast(partitioned, tmp_path / "new", policy=CastPolicy("uint16"))
    assert files_of(tmp_path) == before
    kept = cast(partitioned, tmp_path / "new", policy=CastPolicy("uint16", on_overflow="keep"))
    assert [(tensor.name, tensor.reason) for tensor in kept.select("keep")] == [("i64", "would overflow")]
    assert tfbundle.load(tmp_path / "new")["i64"].tolist() == NUMBERS.tolist()


def test_names_with_tensors_that_would_overflow(tmp_path: Path) -> None:
    """What is kept is planned anew, with the same names, and what else is left out."""
    tfbundle.save(tmp_path / "m", {"a/big": np.full(2, 1e6), "a/fits": np.ones(2), "b": np.ones(1)})
    report = cast(
        tmp_path / "m",
        tmp_path / "new",
        policy=CastPolicy("float16", ("float64",), on_overflow="keep"),
        naming=Naming(map={"a/big": "x", "a/fits": "y"}),
    )
    found = tfbundle.load(tmp_path / "new")
    assert {name: values.dtype.name for name, values in found.items()} == {"x": "float64", "y": "float16"}
    assert [tensor.reason for tensor in report.select("drop")] == ["not in --map"]


def test_target_is_the_source(tmp_path: Path) -> None:
    tfbundle.save(tmp_path / "m", {"w": np.ones(2, np.float32)})
    (tmp_path / "link.index").symlink_to(tmp_path / "m.index")
    for target in ("m", "link"):
        with pytest.raises(BundleExistsError, match="the target is the source"):
            cast(tmp_path / "m", tmp_path / target, policy=CastPolicy(), options=RunOptions("replace"))


def test_dry_run_of_a_v1_checkpoint_says_what_it_does_not_know(tmp_path: Path) -> None:
    tf = tensorflow()
    for name, value in (("text", np.array([b"long"], object)), ("w", np.ones(3, np.float32))):
        tf.raw_ops.SaveSlices(filename=str(tmp_path / name), tensor_names=[name], shapes_and_slices=[""], data=[value])
        notes = cast(tmp_path / name, tmp_path / "new", policy=CastPolicy("float16"), options=DRY).notes
        assert any("sizes of strings" in note for note in notes) == (name == "text")
        done = cast(tmp_path / name, tmp_path / f"{name}-new", policy=CastPolicy("float16"))
        assert not any("sizes of strings" in note for note in done.notes)


def test_report_of_a_selection(partitioned: Path, tmp_path: Path) -> None:
    report = cast(
        partitioned, tmp_path / "new", policy=CastPolicy("float16"), selection=Selection(drop=("i64",), keep=("f64",))
    )
    assert report.count_reasons("drop") == {"--drop i64": 1}
    assert report.source_nbytes == 12 * (8 + 8 + 4) + 8
    assert report.target_nbytes == 12 * (8 + 2) + 8
    assert report.totals.elements == 12
