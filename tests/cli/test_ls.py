from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import BUNDLE
from tests.support.commands import HOSTILE_NAMES, Command, write_hostile
from tests.support.handmade import HandmadeBundle, floats, string_scalar
from tests.support.processes import start_tfbundle
from tests.support.requirements import corpus_root
from tfbundle.pb import message_class


def test_listing(tfbundle: Command, source: str) -> None:
    found = tfbundle("ls", source)
    assert (found.status, found.errors) == (0, "")
    assert [line.split() for line in found.output.splitlines()] == [
        ["float32", "[4]", "16", "dense/bias"],
        ["float32", "[3,4]", "48", "dense/kernel"],
        ["float32", "[3,4]", "48", "dense/kernel/Adam"],
        ["string", "[2]", "12", "labels"],
        ["int64", "[1]", "8", "step"],
        ["5", "tensors,", "31", "values,", "132", "B", "in", "2", "shards"],
    ]


def test_columns_are_aligned(tfbundle: Command, source: str) -> None:
    lines = tfbundle("ls", source).output.splitlines()[:-1]
    assert len({line.index(line.split()[-1]) for line in lines}) == 1


def test_patterns(tfbundle: Command, source: str) -> None:
    found = tfbundle("ls", source, "*/kernel", "re:^st")
    assert [line.split()[-1] for line in found.output.splitlines()[:-1]] == ["dense/kernel", "step"]
    assert found.output.splitlines()[-1].startswith("2 tensors, 13 values, 56 B ")


def test_pattern_that_matches_nothing(tfbundle: Command, source: str) -> None:
    tfbundle("ls", source, "dense/kernal").check_error(2, "'dense/kernal'", "close names: dense/kernel")


def write_objects(prefix: Path) -> str:
    """Write a checkpoint in which the variable ``dense/kernel`` is stored as ``v``."""
    key = "v/.ATTRIBUTES/VARIABLE_VALUE"
    graph = message_class("TrackableObjectGraph")()
    graph.nodes.add().children.add(node_id=1, local_name="v")
    graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name="dense/kernel", checkpoint_key=key)
    graph_tensor = string_scalar("_CHECKPOINTABLE_OBJECT_GRAPH", graph.SerializeToString())
    return HandmadeBundle([graph_tensor, floats(key, [1, 2])]).write(prefix)


def test_patterns_match_what_the_object_graph_tells(tfbundle: Command, tmp_path: Path) -> None:
    source = write_objects(tmp_path / "m")
    found = tfbundle("ls", source, "dense/*")
    assert (found.status, found.errors) == (0, "")
    assert found.output.splitlines()[0].endswith("  v/.ATTRIBUTES/VARIABLE_VALUE")
    assert found.output.splitlines()[1].startswith("1 tensor, ")


def test_patterns_without_data_go_by_keys(tfbundle: Command, tmp_path: Path) -> None:
    source = write_objects(tmp_path / "m")
    (tmp_path / "m.data-00000-of-00001").unlink()
    found = tfbundle("ls", source, "v")
    assert (found.status, found.output.splitlines()[1][:9]) == (0, "1 tensor,")
    assert found.errors.startswith("note: patterns go by keys alone, without the object graph: ")
    assert tfbundle("ls", source, "dense/*").status == 2
    assert tfbundle("ls", source).errors == ""


def test_json(tfbundle: Command, source: str) -> None:
    found = tfbundle("ls", source, "--json").json
    assert (found["prefix"], found["num_shards"]) == (source, 2)
    assert [tensor["name"] for tensor in found["tensors"]] == sorted(t.name.decode() for t in BUNDLE.tensors)
    bias = found["tensors"][0]
    assert (bias["dtype"], bias["shape"], bias["nbytes"], bias["shard"], bias["offset"]) == ("float32", [4], 16, 1, 0)


def test_json_with_patterns(tfbundle: Command, source: str) -> None:
    found = tfbundle("ls", source, "step", "--json").json
    assert [tensor["name"] for tensor in found["tensors"]] == ["step"]


def test_bundle_without_tensors(tfbundle: Command, tmp_path: Path) -> None:
    found = tfbundle("ls", HandmadeBundle([]).write(tmp_path / "empty"))
    assert found.output == "0 tensors, 0 values, 0 B in 1 shard\n"


def test_no_data_is_needed(tfbundle: Command) -> None:
    lenet = corpus_root() / "real" / "lingvo_index_only" / "lenet_test_model"
    found = tfbundle("ls", lenet)
    assert found.status == 0
    assert found.output.splitlines()[-1].startswith("23 tensors, ")


def test_partitioned_tensor(tfbundle: Command) -> None:
    found = tfbundle("ls", corpus_root() / "synth" / "tf2_ckpt_sharded_variable")
    assert "3 slices" in found.output
    assert found.output.splitlines()[-1].startswith("4 tensors, ")


def test_hostile_names(tfbundle: Command, tmp_path: Path) -> None:
    source = write_hostile(tmp_path / "source\x1b[1m")
    found = tfbundle("ls", source)
    found.check_printable()
    assert len(found.output.splitlines()) == len(HOSTILE_NAMES) + 2
    assert "ключ 漢字 🙂" in found.output
    assert r"\x1b]0;title\x07\x1b[2J" in found.output
    names = [tensor["name"] for tensor in tfbundle("ls", source, "--json").json["tensors"]]
    assert "ключ 漢字 🙂" in names
    assert {"hex": b"no \xff\xc3 UTF-8".hex()} in names


def test_closed_pipe(tmp_path: Path) -> None:
    """As in ``tfbundle ls … | head -1``."""
    source = HandmadeBundle([floats(f"{number:05d}/{'x' * 80}", [1]) for number in range(3000)]).write(tmp_path / "m")
    process = start_tfbundle("ls", source)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().split()[-1].startswith(b"00000/")
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141
    process.stderr.close()


def test_damaged_entry_is_blamed_on_the_index(tfbundle: Command, tmp_path: Path) -> None:
    source = HandmadeBundle([floats("a", [1]), floats("b", [2], extra=b"\x08\x63")]).write(tmp_path / "m")  # dtype 99
    found = tfbundle("ls", source)
    assert (found.status, found.output) == (4, "")
    assert found.errors == f"tfbundle: {source}.index: tensor 'b': unknown dtype 99, expected 1 to 33\n"
