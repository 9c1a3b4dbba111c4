"""``halve`` on the command line with the graph that goes with a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conversion.test_graphs import VALUES, write_meta, write_saved_model
from tests.graph.test_constants import constant
from tests.graph.test_strip import training_graph
from tests.support.commands import Command
from tfbundle.bundle.writer import save
from tfbundle.pb import message_class


def test_both_sizes_are_printed(tfbundle: Command, tmp_path: Path) -> None:
    source = write_meta(tmp_path)
    found = tfbundle("halve", source, tmp_path / "half")
    before, after = (Path(f"{prefix}.meta").stat().st_size for prefix in (source, tmp_path / "half"))
    assert f"wrote {tmp_path / 'half'}: 32 B -> 16 B (50 %)" in found.output
    assert f"  graph  {before} B -> {after} B: 4 casts added" in found.output
    assert (
        f"note: the graph grew by {after - before} B, more than the 16 B that the checkpoint shrank by" in found.output
    )
    assert f"note: {tmp_path / 'half'}.meta restores the float16 tensors and casts them" in found.output


def test_json_has_the_graph(tfbundle: Command, tmp_path: Path) -> None:
    source = write_saved_model(tmp_path / "model")
    found = json.loads(tfbundle("halve", source, tmp_path / "half", "--json").output)
    assert (found["target"], found["graph"]["kind"]) == (str(tmp_path / "half"), "SavedModel")
    assert found["graph"]["target"] == str(tmp_path / "half" / "saved_model.pb")
    assert found["graph"]["num_casts"] == 4
    dry = json.loads(tfbundle("halve", source, tmp_path / "dry", "--json", "--dry-run").output)
    assert dry["graph"]["target_nbytes"] == found["graph"]["target_nbytes"]
    assert not (tmp_path / "dry").exists()


def test_graph_is_left(tfbundle: Command, tmp_path: Path) -> None:
    source = write_meta(tmp_path)
    found = tfbundle("halve", source, tmp_path / "half", "--graph", "leave", "--json")
    assert json.loads(found.output)["graph"] is None
    assert not (tmp_path / "half.meta").exists()


def test_training_is_taken_out(tfbundle: Command, tmp_path: Path) -> None:
    prefix = str(tmp_path / "model")
    save(prefix, {"w": VALUES["a"], "w/slot": VALUES["b"]})
    Path(f"{prefix}.meta").write_bytes(training_graph().SerializeToString())
    found = tfbundle("halve", prefix, tmp_path / "half", "--strip-training", "--outputs", "y")
    assert "  dropped  1 tensor: --strip-training (1)" in found.output
    assert "nodes removed" in found.output
    for wrong in (("--outputs", "y"), ("--strip-training", "--outputs", "x"), ("--strip-training", "--graph", "leave")):
        found = tfbundle("halve", prefix, tmp_path / "other", *wrong)
        assert (found.status, "strip-training" in found.errors) == (2, True), found


def test_dropped_state_has_to_be_initialized(tfbundle: Command, tmp_path: Path) -> None:
    source = write_meta(tmp_path)
    found = tfbundle("halve", source, tmp_path / "half", "--drop", "b")
    assert "note: the graph no longer restores 1 tensor; initialize it: b" in found.output


@pytest.mark.parametrize("verb", ["halve"])
def test_frozen_graph(verb: str, tfbundle: Command, tmp_path: Path) -> None:
    message = message_class("GraphDef")(node=[constant("w", (100,), bytes(400))])
    (tmp_path / "g.pb").write_bytes(message.SerializeToString())
    found = tfbundle(verb, tmp_path / "g.pb", tmp_path / "half.pb")
    assert found.output.startswith(f"wrote {tmp_path / 'half.pb'}: 400 B -> 200 B (50 %)\n  cast   1 tensor float32")
    assert tfbundle(verb, tmp_path / "g.pb", tmp_path / "half.pb").status == 3
    assert (
        tfbundle(verb, tmp_path / "g.pb", tmp_path / "half.pb", "--force", "--report", tmp_path / "p.html").status == 0
    )
    assert "g.pb" in (tmp_path / "p.html").read_text()
