from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Command
from tests.support.requirements import corpus_root, tensorflow, tensorflow_module
from tfbundle.format.object_graph import decode_object_graph


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A module with a list, a shared variable and a slot."""
    tf: Any = tensorflow()
    module = tf.Module()
    module.w = tf.Variable(tf.ones((2, 3)))
    module.items = [module.w, tf.Variable(1.5)]
    optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
    optimizer.apply_gradients([(tf.ones((2, 3)), module.w)])
    checkpoint = tf.train.Checkpoint(net=module, optimizer=optimizer)
    return str(checkpoint.save(str(tmp_path_factory.mktemp("tree") / "ck")))


def test_tree(tfbundle: Command, saved: str) -> None:
    text = tfbundle("ls", "--tree", saved).output
    assert text.startswith("(root)\n")
    assert "float32 [2,3]  net/w/.ATTRIBUTES/VARIABLE_VALUE" in text
    assert "slot momentum" in text
    assert "float32 [2,3]  net/w/.OPTIMIZER_SLOT/optimizer/momentum/.ATTRIBUTES/VARIABLE_VALUE" in text
    assert "    items (object" in text
    assert "      0 -> object" in text
    assert "int64 []  save_counter/.ATTRIBUTES/VARIABLE_VALUE" in text


def test_every_stored_value_is_drawn_once(tfbundle: Command) -> None:
    for item in (
        "synth/tf2_ckpt_manager_optimizer",
        "synth/tf2_ckpt_nested",
        "synth/keras2_conv/sm",
        "real/pypi_basic_pitch",
    ):
        prefix = corpus_root() / item
        text = tfbundle("ls", "--tree", prefix).output
        listed = tfbundle("ls", prefix, "--json").json["tensors"]
        for tensor in listed:
            if tensor["name"] != "_CHECKPOINTABLE_OBJECT_GRAPH":
                assert text.count(f"  {tensor['name']}\n") == 1, (item, tensor["name"])


def test_json_is_what_tensorflow_has(tfbundle: Command, saved: str) -> None:
    tf: Any = tensorflow()
    proto = tensorflow_module("core.protobuf.trackable_object_graph_pb2")
    graph = proto.TrackableObjectGraph.FromString(
        tf.train.load_checkpoint(saved).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    )
    objects = tfbundle("ls", "--tree", saved, "--json").json["objects"]
    assert len(objects) == len(graph.nodes)
    for found, node in zip(objects, graph.nodes, strict=True):
        assert [(child["name"], child["object"]) for child in found["children"]] == [
            (child.local_name, child.node_id) for child in node.children
        ]
        assert [value["key"] for value in found["values"]] == [item.checkpoint_key for item in node.attributes]


def test_checkpoint_without_objects(tfbundle: Command, source: str, saved: str) -> None:
    tfbundle("ls", "--tree", source).check_error(5, "not object-based (saved with TF2)", "_CHECKPOINTABLE_OBJECT_GRAPH")
    tfbundle("ls", "--tree", saved, "w").check_error(2, "leave out the patterns")


def test_circles_end(tmp_path: Path) -> None:
    """Objects may refer to each other in a circle."""
    from tests.support.wire import bytes_field, varint_field
    from tfbundle import open as open_bundle
    from tfbundle import save
    from tfbundle.cli.tree import iter_tree_lines

    def child(number: int, name: bytes) -> bytes:
        return bytes_field(1, (varint_field(1, number) if number else b"") + bytes_field(2, name))

    graph = bytes_field(1, child(1, b"a")) + bytes_field(1, child(0, b"back") + child(1, b"self"))
    save(tmp_path / "m", {"_CHECKPOINTABLE_OBJECT_GRAPH": graph})
    with open_bundle(tmp_path / "m") as bundle:
        lines = list(iter_tree_lines(bundle, decode_object_graph(graph)))
    assert lines == ["(root)", "  a (object 1)", "    back -> object 0", "    self -> object 1"]


def test_children_named_twice_do_not_multiply(tfbundle: Command, tmp_path: Path) -> None:
    """A small graph must not ask for any amount of output."""
    import tfbundle as package
    from tests.support.wire import bytes_field, varint_field

    depth = 12
    graph = b""
    for number in range(1, depth + 1):
        graph += bytes_field(1, 2 * bytes_field(1, varint_field(1, number) + bytes_field(2, b"x")))
    package.save(tmp_path / "m", {"_CHECKPOINTABLE_OBJECT_GRAPH": graph + bytes_field(1, b"")})
    lines = tfbundle("ls", "--tree", tmp_path / "m").output.splitlines()
    assert len(lines) <= 1 + 2 * depth


def test_names_cannot_harm_a_terminal(tfbundle: Command, tmp_path: Path) -> None:
    import tfbundle as package
    from tests.support.wire import bytes_field, varint_field

    children = [bytes_field(1, varint_field(1, 1) + bytes_field(2, name)) for name in (b"\x1b[2J", b"two\nlines")]
    attribute = bytes_field(2, bytes_field(3, b"key\x1b]0;t\x07"))
    graph = bytes_field(1, b"".join(children)) + bytes_field(1, attribute)
    package.save(tmp_path / "m", {"_CHECKPOINTABLE_OBJECT_GRAPH": graph})
    found = tfbundle("ls", "--tree", tmp_path / "m")
    found.check_printable()
    assert found.output.splitlines() == [
        "(root)",
        r"  \x1b[2J (object 1): key\x1b]0;t\x07 (not stored)",
        r"  two\nlines -> object 1",
    ]


def test_damaged_graph(tfbundle: Command, tmp_path: Path) -> None:
    import tfbundle as package

    package.save(tmp_path / "m", {"_CHECKPOINTABLE_OBJECT_GRAPH": b"\xff"})
    tfbundle("ls", "--tree", tmp_path / "m").check_error(4, "TrackableObjectGraph not parseable")
