"""Checkpoints converted with their graphs, without TensorFlow: selection, safety, hostile files."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfbundle
from tests.graph.test_constants import constant
from tests.graph.test_strip import training_graph
from tests.support.graphs import node, saver_graph, value
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.select import Selection
from tfbundle.errors import BundleError, BundleExistsError, FormatError, UnsupportedError
from tfbundle.pb import message_class, parse_message
from tfbundle.streaming.layout import Layout
from tfbundle.streaming.run import RunOptions

VALUES = {name: np.linspace(1, 2, 4).astype(np.float32) for name in ("a", "b")}


def write_meta(folder: Path, graph: Any = None) -> str:
    """Write a checkpoint with its graph; return its prefix."""
    prefix = str(folder / "model")
    tfbundle.save(prefix, VALUES)
    Path(f"{prefix}.meta").write_bytes((graph or saver_graph("a", "b")).SerializeToString())
    return prefix


def write_saved_model(folder: Path, graph: Any = None) -> Path:
    """Write a SavedModel of TF1."""
    tfbundle.save(str(folder / "variables" / "variables"), VALUES)
    message = message_class("SavedModel")(meta_graphs=[graph or saver_graph("a", "b")])
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())
    (folder / "assets" / "inner").mkdir(parents=True)
    (folder / "assets" / "inner" / "words.txt").write_text("words")
    (folder / "fingerprint.pb").write_bytes(b"old")
    (folder / "notes.txt").write_text("mine")
    return folder


def restored(path: str | Path) -> list[int]:
    """Return the dtypes that the saver of a ``.meta`` file restores."""
    message = parse_message("MetaGraphDef", Path(path).read_bytes())
    (found,) = [each for each in message.graph_def.node if each.op == "RestoreV2"]
    return list(found.attr["dtypes"].list.type)


def test_meta_and_checkpoint_agree(tmp_path: Path) -> None:
    source = write_meta(tmp_path)
    tfbundle.halve(source, tmp_path / "half", selection=Selection(only=("b",)))
    assert [value.dtype.name for value in tfbundle.load(tmp_path / "half").values()] == ["float32", "float16"]
    assert restored(tmp_path / "half.meta") == [1, 19]
    tfbundle.halve(source, tmp_path / "kept", policy=CastPolicy(on_overflow="keep"))
    assert restored(tmp_path / "kept.meta") == [19, 19]


def test_what_overflows_stays_in_both(tmp_path: Path) -> None:
    source = write_meta(tmp_path)
    tfbundle.save(source, {**VALUES, "a": np.full(4, 1e6, np.float32)}, if_exists="replace")
    tfbundle.halve(source, tmp_path / "half", policy=CastPolicy(on_overflow="keep"))
    assert restored(tmp_path / "half.meta") == [1, 19]
    with pytest.raises(tfbundle.CastError):
        tfbundle.halve(source, tmp_path / "other")
    assert not [name for name in os.listdir(tmp_path) if name.startswith("other")]


def test_graph_is_left_where_another_is_meant(tmp_path: Path) -> None:
    source = write_meta(tmp_path)
    note = f"the graph {source}.meta has the dtypes of before and is not copied"
    choices: list[dict[str, Any]] = [
        {"layout": Layout(graph="leave")},
        {"naming": Naming(add_prefix="x/")},
        {"selection": Selection(like=source)},
    ]
    for number, given in enumerate(choices):
        report = tfbundle.halve(source, tmp_path / str(number), **given)
        assert report.graph is None
        assert (note in report.notes) == bool(report.select("cast"))
        assert not (tmp_path / f"{number}.meta").exists()


def test_old_meta_is_in_the_way(tmp_path: Path) -> None:
    source = write_meta(tmp_path)
    (tmp_path / "half.meta").write_bytes(b"old")
    with pytest.raises(BundleExistsError, match=r"half\.meta: exists already; --force"):
        tfbundle.halve(source, tmp_path / "half")
    tfbundle.halve(source, tmp_path / "half", options=RunOptions(if_exists="replace"))
    assert restored(tmp_path / "half.meta") == [19, 19]


def test_other_dtypes_are_refused_beside_a_graph(tmp_path: Path) -> None:
    source = write_meta(tmp_path)
    with pytest.raises(ValueError, match="--graph leave"):
        tfbundle.halve(source, tmp_path / "half", policy=CastPolicy(rules=(("a", "bfloat16"),)))
    with pytest.raises(ValueError, match="halve, which converts the graph"):
        tfbundle.cast(source, tmp_path / "half", policy=CastPolicy(), selection=Selection(strip_training=True))


def test_graph_that_cannot_be_converted_names_the_way_out(tmp_path: Path) -> None:
    for number, (graph, error) in enumerate(
        (
            (saver_graph("a", "b", extra=[node("mine", "MyOp", "restore")]), UnsupportedError),
            (saver_graph("a", "b", extra=[node("mine", "Neg", "nowhere")]), FormatError),
        )
    ):
        source = write_meta(tmp_path / str(number), graph)
        with pytest.raises(error, match=r"model\.meta: .*; --graph leave converts the checkpoint alone"):
            tfbundle.halve(source, tmp_path / "half")
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]


def test_training_is_taken_out_of_both(tmp_path: Path) -> None:
    prefix = str(tmp_path / "model")
    tfbundle.save(prefix, {"w": VALUES["a"], "w/slot": VALUES["b"]})
    Path(f"{prefix}.meta").write_bytes(training_graph().SerializeToString())
    selection = Selection(strip_training=True, outputs=("y",))
    report = tfbundle.halve(prefix, tmp_path / "half", selection=selection)
    assert list(tfbundle.load(tmp_path / "half")) == ["w"]
    assert report.count_reasons("drop") == {"--strip-training": 1}
    assert restored(tmp_path / "half.meta") == [19]
    os.unlink(f"{prefix}.meta")
    with pytest.raises(ValueError, match="needs the graph"):
        tfbundle.halve(prefix, tmp_path / "other", selection=selection)


def test_saved_model_is_copied_with_its_assets(tmp_path: Path) -> None:
    source = write_saved_model(tmp_path / "model")
    report = tfbundle.halve(source / "saved_model.pb", tmp_path / "half")
    for name in ("saved_model.pb", "assets/inner/words.txt", "variables/variables.index"):
        assert (tmp_path / "half" / name).exists()
    assert "not copied: notes.txt" in report.notes
    assert (report.source, report.target) == (str(source), str(tmp_path / "half"))
    assert not (tmp_path / "half" / "fingerprint.pb").exists()
    assert not (tmp_path / "half" / "variables" / "checkpoint").exists()


def test_target_within_the_source(tmp_path: Path) -> None:
    source = write_saved_model(tmp_path / "model")
    for name in ("half", "assets/half"):
        with pytest.raises(BundleExistsError, match="the target is within the source"):
            tfbundle.halve(source, source / name)
    assert sorted(os.listdir(source / "assets")) == ["inner"]


def test_links_that_lead_in_circles_are_refused(tmp_path: Path) -> None:
    source = write_saved_model(tmp_path / "model")
    for name in ("loop", "again"):
        (source / "assets" / name).symlink_to(".")
    with pytest.raises(FormatError, match="a link to a directory that is copied already"):
        tfbundle.halve(source, tmp_path / "half")
    assert os.listdir(tmp_path) == ["model"]


def test_assets_that_cannot_be_listed_are_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_saved_model(tmp_path / "model")
    real = os.listdir

    def refuse(path: str) -> list[str]:
        if path.endswith("inner"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        patch.setattr(os, "listdir", refuse)
        tfbundle.halve(source, tmp_path / "half")
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("call", ["fsync", "pwrite", "rename", "mkdir"])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 8])
def test_fault_leaves_nothing(call: str, number: int, tmp_path: Path) -> None:
    """Or, when the directory has its name already, the whole of it."""
    source = write_saved_model(tmp_path / "model")
    real, calls = getattr(os, call), iter(range(1000))

    def fail(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, fail)
        with contextlib.suppress(OSError):
            tfbundle.halve(source, tmp_path / "half")
    left = sorted(os.listdir(tmp_path))
    assert left in (["model"], ["half", "model"])
    if "half" in left:
        assert tfbundle.verify(tmp_path / "half").ok
        assert (tmp_path / "half" / "saved_model.pb").exists()


@pytest.mark.parametrize("seed", range(4))
def test_damaged_graphs_are_errors_of_ours(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    model = write_saved_model(tmp_path / "model", training_graph())
    tfbundle.save(
        str(model / "variables" / "variables"), {"w": VALUES["a"], "w/slot": VALUES["b"]}, if_exists="replace"
    )
    frozen = message_class("GraphDef")(node=[constant("c", (70,), np.ones(70, "<f4").tobytes())])
    frozen.node.append(node("n", "Neg", "c", T=value(type=1)))
    whole = {model: (model / "saved_model.pb").read_bytes(), tmp_path / "g.pb": frozen.SerializeToString()}
    for number in range(120):
        for source, contents in whole.items():
            data = bytearray(contents)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            (source / "saved_model.pb" if source.is_dir() else source).write_bytes(data)
            target = tmp_path / f"out{number}"
            strip = Selection(strip_training=source.is_dir() and number % 2 == 0)
            try:
                tfbundle.halve(source, target, selection=strip)
            except (BundleError, ValueError):
                assert not target.exists()
            else:
                os.rename(target, tmp_path / f"done{number}{source.name}")
