from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.requirements import tensorflow_module
from tests.support.wire import bytes_field, varint_field
from tfbundle.errors import FormatError
from tfbundle.format.object_graph import (
    SlotVariable,
    TrackableObject,
    decode_object_graph,
    drop_values,
    rename_values,
)

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
KEY = f"w{VALUE}"
SLOT_KEY = f"w/.OPTIMIZER_SLOT/opt/m{VALUE}"


def child(node: int, name: str) -> bytes:
    return bytes_field(1, varint_field(1, node) + bytes_field(2, name.encode()))


def attribute(key: str) -> bytes:
    return bytes_field(2, bytes_field(1, b"VARIABLE_VALUE") + bytes_field(2, b"w") + bytes_field(3, key.encode()))


def slot(variable: int, name: str, node: int) -> bytes:
    return bytes_field(3, varint_field(1, variable) + bytes_field(2, name.encode()) + varint_field(3, node))


def graph(*nodes: bytes) -> bytes:
    return b"".join(bytes_field(1, node) for node in nodes)


GRAPH = graph(child(1, "w") + child(2, "opt"), attribute(KEY), slot(1, "m", 3), attribute(SLOT_KEY))


def test_nodes() -> None:
    assert decode_object_graph(GRAPH) == (
        TrackableObject((("w", 1), ("opt", 2)), (), ()),
        TrackableObject((), (KEY,), (), ("w",)),
        TrackableObject((), (), (SlotVariable(1, "m", 3),)),
        TrackableObject((), (SLOT_KEY,), (), ("w",)),
    )


def test_graph_that_tensorflow_encodes() -> None:
    module = tensorflow_module("core.protobuf.trackable_object_graph_pb2")
    theirs = module.TrackableObjectGraph()
    root = theirs.nodes.add()
    root.children.add(node_id=1, local_name="w")
    root.has_checkpoint_values.value = True
    theirs.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name="w", checkpoint_key=KEY)
    optimizer = theirs.nodes.add(registered_saver=module.RegisteredSaver(name="s", object_name="o"))
    optimizer.slot_variables.add(original_variable_node_id=1, slot_name="m", slot_variable_node_id=0)
    assert decode_object_graph(theirs.SerializeToString()) == (
        TrackableObject((("w", 1),), (), ()),
        TrackableObject((), (KEY,), (), ("w",)),
        TrackableObject((), (), (SlotVariable(1, "m", 0),)),
    )


def test_empty_graph() -> None:
    assert decode_object_graph(b"") == ()


def test_objects_may_refer_to_each_other() -> None:
    assert len(decode_object_graph(graph(child(1, "a"), child(0, "b")))) == 2


@pytest.mark.parametrize("node", [child(1, "w"), child(-1, "w"), slot(1, "m", 0), slot(0, "m", 1), slot(-1, "m", 0)])
def test_reference_to_an_object_that_is_not_there(node: bytes) -> None:
    with pytest.raises(FormatError, match=r"object 0 refers to object -?1 of 1") as caught:
        decode_object_graph(graph(node))
    assert (caught.value.path, caught.value.part) == ("", "object graph")


@pytest.mark.parametrize("data", [b"\xff", GRAPH[:-1], bytes_field(1, child(0, "w")[:-1])])
def test_not_a_graph(data: bytes) -> None:
    with pytest.raises(FormatError, match="TrackableObjectGraph not parseable"):
        decode_object_graph(data)


def test_name_that_is_no_text() -> None:
    with pytest.raises(FormatError):
        decode_object_graph(graph(bytes_field(1, bytes_field(2, b"\xff"))))


def objects(*nodes: tuple[dict[str, int], str]) -> bytes:
    """Return a graph of objects, each with its children and the key of its value, if it has one."""
    return graph(
        *(
            b"".join(child(at, name) for name, at in children.items()) + (attribute(key + VALUE) if key else b"")
            for children, key in nodes
        )
    )


def renamed(data: bytes, names: Mapping[str, str], places: Mapping[str, str] | None = None) -> bytes:
    """Rename values; all keys and places without their ending."""
    moved = {old + VALUE: new + VALUE for old, new in names.items()}
    return rename_values(data, moved, {key + VALUE: place + VALUE for key, place in (places or {}).items()})


class TestDropping:
    def test_value_goes_and_its_object_stays(self) -> None:
        data = objects(({"a": 1, "b": 2}, ""), ({}, "a"), ({}, "b"))
        assert drop_values(data, {f"a{VALUE}", "unknown"}) == objects(({"a": 1, "b": 2}, ""), ({}, ""), ({}, "b"))

    def test_other_values_of_the_object_stay(self) -> None:
        data = graph(attribute("x") + attribute("y") + attribute("z"))
        assert drop_values(data, ["y"]) == graph(attribute("x") + attribute("z"))

    def test_slots_go_with_the_value_they_hold(self) -> None:
        slots = [slot(1, "m", 2), slot(1, "v", 3)]
        start, values = child(1, "w"), [attribute(name) for name in "wmv"]
        data = graph(start + b"".join(slots), *values)
        assert drop_values(data, ["m"]) == graph(start + slots[1], values[0], b"", values[2])
        assert drop_values(data, ["m", "v"]) == graph(start, values[0], b"", b"")
        assert drop_values(data, ["w"]) == graph(start + b"".join(slots), b"", *values[1:])  # their variable, not they

    def test_slot_with_a_value_left_stays(self) -> None:
        data = graph(slot(1, "m", 2), b"", attribute("m") + attribute("n"))
        assert drop_values(data, ["m"]) == graph(slot(1, "m", 2), b"", attribute("n"))

    def test_slot_that_never_had_a_value_stays(self) -> None:
        data = graph(slot(1, "m", 2) + attribute("x"), b"", b"")
        assert drop_values(data, ["x"]) == graph(slot(1, "m", 2), b"", b"")

    def test_nothing_to_drop(self) -> None:
        assert drop_values(GRAPH, ["x"]) == drop_values(GRAPH, []) == GRAPH

    def test_fields_that_are_not_known_stay(self) -> None:
        extra = bytes_field(500, b"new")
        data = graph(extra + attribute("x"), slot(1, "m", 1) + attribute("y")) + extra
        after = drop_values(data, ["x"])
        assert after.count(extra) == 2
        assert decode_object_graph(after) == (TrackableObject((), (), ()), *decode_object_graph(data)[1:])

    def test_not_a_graph(self) -> None:
        with pytest.raises(FormatError, match="TrackableObjectGraph not parseable"):
            drop_values(b"\xff", [])


LAYERS = objects(({"a": 1, "b": 2}, ""), ({"w": 3, "v": 4}, ""), ({"w": 5}, ""), ({}, "a/w"), ({}, "a/v"), ({}, "b/w"))
"""Two objects, ``a`` with two values, ``b`` with one."""


class TestRenaming:
    def test_value(self) -> None:
        data = objects(({"a": 1}, ""), ({"w": 2}, ""), ({}, "a/w"))
        assert renamed(data, {"a/w": "a/v"}) == objects(({"a": 1}, ""), ({"v": 2}, ""), ({}, "a/v"))

    def test_object_that_moves_as_a_whole_keeps_its_parts(self) -> None:
        assert renamed(LAYERS, {"a/w": "x/w", "a/v": "x/v"}) == objects(
            ({"b": 2, "x": 1}, ""), ({"w": 3, "v": 4}, ""), ({"w": 5}, ""), ({}, "x/w"), ({}, "x/v"), ({}, "b/w")
        )

    def test_object_of_which_a_part_stays_stays_itself(self) -> None:
        assert renamed(LAYERS, {"a/w": "x/w"}) == objects(
            ({"a": 1, "b": 2, "x": 6}, ""),
            ({"v": 4}, ""),
            ({"w": 5}, ""),
            ({}, "x/w"),
            ({}, "a/v"),
            ({}, "b/w"),
            ({"w": 3}, ""),
        )

    def test_parts_that_go_to_different_places(self) -> None:
        assert renamed(LAYERS, {"a/w": "x/w", "a/v": "y/v"}) == objects(
            ({"a": 1, "b": 2, "x": 6, "y": 7}, ""),
            ({}, ""),
            ({"w": 5}, ""),
            ({}, "x/w"),
            ({}, "y/v"),
            ({}, "b/w"),
            ({"w": 3}, ""),
            ({"v": 4}, ""),
        )

    def test_place_to_which_others_come_too_is_not_taken_by_the_object(self) -> None:
        assert renamed(LAYERS, {"b/w": "a/u"}) == objects(
            ({"a": 1, "b": 2}, ""),
            ({"w": 3, "v": 4, "u": 5}, ""),
            ({}, ""),
            ({}, "a/w"),
            ({}, "a/v"),
            ({}, "a/u"),
        )

    def test_objects_that_join_at_a_new_place(self) -> None:
        data = objects(({"a": 1, "b": 2}, ""), ({"w": 3}, ""), ({"v": 4}, ""), ({}, "a/w"), ({}, "b/v"))
        assert renamed(data, {"a/w": "x/w", "b/v": "x/v"}) == objects(
            ({"a": 1, "b": 2, "x": 5}, ""), ({}, ""), ({}, ""), ({}, "x/w"), ({}, "x/v"), ({"w": 3, "v": 4}, "")
        )

    def test_values_change_places(self) -> None:
        assert renamed(LAYERS, {"a/w": "a/v", "a/v": "a/w"}) == objects(
            ({"a": 1, "b": 2}, ""), ({"v": 3, "w": 4}, ""), ({"w": 5}, ""), ({}, "a/v"), ({}, "a/w"), ({}, "b/w")
        )

    def test_objects_change_places(self) -> None:
        assert renamed(LAYERS, {"a/w": "b/w", "a/v": "b/v", "b/w": "a/w"}) == objects(
            ({"b": 1, "a": 2}, ""), ({"w": 3, "v": 4}, ""), ({"w": 5}, ""), ({}, "b/w"), ({}, "b/v"), ({}, "a/w")
        )

    def test_outermost_object_moves_that_can(self) -> None:
        data = objects(({"m": 1}, ""), ({"n": 2}, ""), ({"w": 3}, ""), ({}, "m/n/w"))
        after = objects(({"x": 1}, ""), ({"n": 2}, ""), ({"w": 3}, ""), ({}, "x/n/w"))
        assert renamed(data, {"m/n/w": "x/n/w"}) == after

    def test_longer_and_shorter_paths(self) -> None:
        data = objects(({"w": 1}, ""), ({}, "w"))
        deep = objects(({"a": 2}, ""), ({}, "a/w"), ({"w": 1}, ""))
        assert renamed(data, {"w": "a/w"}) == deep
        assert renamed(deep, {"a/w": "w"}) == objects(({"a": 2, "w": 1}, ""), ({}, "w"), ({}, ""))

    def test_names_with_marks_in_them(self) -> None:
        data = objects(({"a/b": 1, "c.S": 2}, ""), ({}, "a.Sb"), ({}, "c..S"))
        after = objects(({"/.": 1, "..S": 2}, ""), ({}, ".S.."), ({}, "....S"))
        assert renamed(data, {"a.Sb": ".S..", "c..S": "....S"}) == after

    def test_all_names_of_an_object_at_its_old_place_move(self) -> None:
        data = graph(child(1, "w") + child(2, "w") + child(1, "alias"), attribute(KEY), b"")
        after = graph(child(1, "alias") + child(1, "v") + child(2, "v"), attribute(f"v{VALUE}"), b"")
        assert renamed(data, {"w": "v"}) == after

    def test_slots_are_found_by_their_variable(self) -> None:
        new = f"v/.OPTIMIZER_SLOT/opt/m{VALUE}"
        data = rename_values(GRAPH, {SLOT_KEY: new})
        assert data == graph(child(1, "w") + child(2, "opt"), attribute(KEY), slot(1, "m", 3), attribute(new))

    @pytest.mark.parametrize(("old", "new"), [("w", f"v{VALUE}"), (f"w{VALUE}", "v")])
    def test_key_that_names_no_place(self, old: str, new: str) -> None:
        data = graph(child(1, "w"), attribute(old))
        assert rename_values(data, {old: new}) == graph(child(1, "w"), attribute(new))

    def test_key_with_two_marks_names_the_place_before_the_first(self) -> None:
        data = objects(({"a": 1}, ""), ({}, "a/.ATTRIBUTES/b"))
        assert renamed(data, {"a/.ATTRIBUTES/b": "c"}) == objects(({"c": 1}, ""), ({}, "c"))

    def test_object_may_be_elsewhere_than_its_key_says(self) -> None:
        data = objects(({"model": 1, "optimizer": 2}, ""), ({"w": 3}, ""), ({"0": 3}, ""), ({}, "optimizer/0"))
        after = objects(({"model": 1, "optimizer": 2}, ""), ({"v": 3}, ""), ({"0": 3}, ""), ({}, "model/v"))
        assert renamed(data, {"optimizer/0": "model/v"}, {"optimizer/0": "model/w"}) == after

    def test_value_at_a_new_place_of_the_same_name_only_gets_its_key(self) -> None:
        data = objects(({"model": 1, "optimizer": 2}, ""), ({"w": 3}, ""), ({"0": 3}, ""), ({}, "optimizer/0"))
        after = objects(({"model": 1, "optimizer": 2}, ""), ({"w": 3}, ""), ({"0": 3}, ""), ({}, "model/w"))
        assert renamed(data, {"optimizer/0": "model/w"}, {"optimizer/0": "model/w"}) == after

    def test_object_without_values_gives_way(self) -> None:
        circle = ({"c": 3}, ""), ({"up": 2}, "")
        data = objects(({"a": 1, "b": 2}, ""), ({}, "a"), *circle)
        assert renamed(data, {"a": "b"}) == objects(({"b": 1}, ""), ({}, "b"), *circle)

    @pytest.mark.parametrize("below", [({}, "b"), ({"c": 3}, ""), ({"c": 6, "d": 3}, ""), ({"c": 3, "d": 6}, "")])
    def test_object_with_values_does_not(self, below: tuple[dict[str, int], str]) -> None:
        data = objects(
            ({"m": 4}, ""),
            ({}, "m/a"),
            below,
            ({"up": 2, "down": 5}, ""),
            ({"a": 1, "b": 2}, ""),
            ({}, "k"),
            ({}, ""),
        )
        with pytest.raises(ValueError, match=r"^cannot rename m/a to m/b: another object of the checkpoint is there$"):
            renamed(data, {"m/a": "m/b"}, {"b": "elsewhere", "k": "elsewhere"})

    @pytest.mark.parametrize("below", [(({"e": 5}, ""), ({}, "k")), (({}, "k"), ({"e": 5}, ""))])
    def test_object_with_values_behind_one_without(self, below: tuple[tuple[dict[str, int], str], ...]) -> None:
        data = objects(({"a": 1, "b": 2}, ""), ({}, "a"), ({"c": 3, "d": 4}, ""), *below, ({}, ""))
        with pytest.raises(ValueError, match=r"^cannot rename a to b: another object of the checkpoint is there$"):
            renamed(data, {"a": "b"}, {"k": "elsewhere"})

    def test_place_that_is_not_there(self) -> None:
        data = objects(({"a": 1}, ""), ({}, "x/y/w"))
        with pytest.raises(FormatError) as caught:
            renamed(data, {"x/y/w": "z/v"})
        reason = "no object at x/y, where a key says there is one"
        assert caught.value.args == (reason, "", "object graph", None)

    def test_nothing_to_rename(self) -> None:
        assert rename_values(LAYERS, {}) == rename_values(LAYERS, {"unknown": "x"}) == LAYERS

    def test_not_a_graph(self) -> None:
        with pytest.raises(FormatError, match="TrackableObjectGraph not parseable"):
            rename_values(b"\xff", {})
