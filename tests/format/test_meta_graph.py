from __future__ import annotations

from typing import Any

import pytest

from tests.support.graphs import (
    FLOAT,
    HALF,
    INT64,
    RESOURCE,
    STRING,
    call,
    file_name,
    function,
    meta_graph,
    node,
    restore,
    shape_of,
    small_graph,
    strings,
    types,
    value,
    variable,
)
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.meta_graph import decode_meta_graph, decode_saved_model
from tfbundle.format.wanted import Wanted
from tfbundle.pb import message_class

SMALL = {"v": Wanted("float16", (4,)), "w": Wanted("float32", (2, 3))}


def decode(nodes: list[Any], **options: Any) -> dict[str, Wanted]:
    return decode_meta_graph(meta_graph(nodes, **options).SerializeToString())


def change(name: str, *replacements: Any) -> list[Any]:
    """Return the small graph with other nodes for one."""
    nodes = small_graph()
    (position,) = (number for number, found in enumerate(nodes) if found.name == name)
    nodes[position : position + 1] = replacements
    return nodes


def test_small_graph() -> None:
    assert decode(small_graph()) == SMALL


def test_order_of_nodes_does_not_matter() -> None:
    assert decode(small_graph()[::-1]) == SMALL


def test_what_the_saver_does_not_need_is_left_alone() -> None:
    others = [
        variable("other", FLOAT, (1,)),
        restore("warm_start", INT64, INT64),
        node("broken", "Assign", "nowhere", "warm_start"),
    ]
    assert decode([*others, *small_graph()]) == SMALL


def test_names_are_those_in_the_checkpoint() -> None:
    found = decode(change("names", strings("names", [b"scope/\xff", b"b"])))
    assert found == {"b": SMALL["v"], "scope/\udcff": SMALL["w"]}


def test_dtype_is_that_in_the_checkpoint() -> None:
    """Where the graph casts what it restores, the variable has another."""
    nodes = change("assign", node("cast", "Cast", "half"), node("assign", "Assign", "w", "cast"))
    nodes += [strings("one", [b"as half"]), strings("empty", [b""]), restore("half", HALF, names="one", parts="empty")]
    assert decode(nodes)["as half"] == Wanted("float16", (2, 3))


def test_parts_of_a_tensor() -> None:
    nodes = [
        file_name(),
        strings("names", [b"w", b"w", b"v", b"u"]),
        strings("parts", [b"5 2 2,3:-", b"5 2 0,2:-", b"3 -", b"3 0,3"]),
        restore("all", FLOAT, FLOAT, HALF, HALF),
    ]
    assert decode(nodes) == {
        "u": Wanted("float16", (3,)),
        "v": Wanted("float16", (3,)),
        "w": Wanted("float32", (5, 2), (((0, 2), (0, -1)), ((2, 3), (0, -1)))),
    }


def test_last_string_of_a_constant_fills_the_rest() -> None:
    assert decode(change("parts", strings("parts", [b""], [2]))) == SMALL
    assert decode(change("parts", strings("parts", [], [2]))) == SMALL


@pytest.mark.parametrize(("op", "expected"), [("Variable", None), ("VariableV2", ()), ("VarHandleOp", ())])
def test_empty_shape_of_the_old_operation_says_nothing(op: str, expected: tuple[int, ...] | None) -> None:
    assert decode(change("w", variable("w", FLOAT, (), op)))["w"] == Wanted("float32", expected)


def test_empty_variable_has_a_shape() -> None:
    assert decode(change("w", variable("w", FLOAT, (0, 3))))["w"] == Wanted("float32", (0, 3))


@pytest.mark.parametrize("sizes", [None, (2, -1)])
def test_shapes_that_are_not_known(sizes: tuple[int, ...] | None) -> None:
    assert decode(change("w", variable("w", FLOAT, sizes)))["w"] == Wanted("float32", None)


def test_value_that_is_assigned_twice() -> None:
    twice = [variable("copy", FLOAT, (2, 3)), node("again", "Assign", "copy", "restore")]
    nodes = [*change("all", node("all", "NoOp", "^assign", "^assign_1", "^again")), *twice]
    assert decode(nodes) == SMALL
    twice[0] = variable("copy", FLOAT, (3, 2))
    with pytest.raises(FormatError, match=r"^tensor 'w': wanted with two shapes: \[[23], [23]\] and \[[23], [23]\]$"):
        decode([*change("all", node("all", "NoOp", "^assign", "^assign_1", "^again")), *twice])


def test_variable_of_another_shape_than_what_is_restored() -> None:
    """A reshape on the way leaves the shape in the checkpoint open."""
    nodes = change("assign", node("reshape", "Reshape", "restore"), node("assign", "Assign", "w", "reshape"))
    assert decode(nodes)["w"] == Wanted("float32", None)


def test_assignment_to_what_is_no_variable() -> None:
    assert decode(change("w", node("w", "Placeholder")))["w"] == Wanted("float32", None)


def test_assignment_of_what_was_not_restored() -> None:
    more = [variable("step", INT64, (7,)), node("zero", "Const"), node("reset", "Assign", "step", "zero")]
    nodes = change("all", node("all", "NoOp", "^assign", "^assign_1", "^reset"))
    assert decode([*nodes, *more]) == SMALL


def test_operations_of_old_graphs() -> None:
    """They restore one tensor each, and have no list of dtypes."""
    nodes = [
        file_name(),
        strings("name_w", [b"w"]),
        strings("name_v", [b"v"], []),
        strings("part", [b"4 3 0,2:-"], []),
        node("part_again", "Identity", "part"),
        node("whole", "Restore", "file", "name_w", dt=value(type=FLOAT)),
        node("some", "RestoreSlice", "file", "name_v", "part_again", dt=value(type=HALF)),
        variable("w", FLOAT, (2,)),
        node("assign", "Assign", "w", "whole"),
        node("all", "NoOp", "^assign", "^some"),
    ]
    assert decode(nodes) == {"v": Wanted("float16", (4, 3), (((0, 2), (0, -1)),)), "w": Wanted("float32", (2,))}
    nodes[5] = node("whole", "Restore", "file", "name_w")
    with pytest.raises(FormatError, match=r"^node 'whole': Restore has no attribute 'dt' of the kind 'type'$"):
        decode(nodes)


def test_reference_dtype_is_that_of_the_values() -> None:
    assert decode(change("restore", restore("restore", FLOAT + 100, HALF))) == SMALL


BY_FUNCTION = {"a": Wanted("float32", (2,)), "b": Wanted("float16", (3,))}


class TestFunctions:
    """As in a SavedModel of TF2."""

    def body(self, *extra: Any) -> list[Any]:
        return [
            strings("names", [b"a", b"b"]),
            strings("parts", [b"", b""]),
            node("r", "RestoreV2", "prefix", "names:output:0", "parts:output:0", dtypes=types(FLOAT, HALF)),
            node("i", "Identity", "r:tensors:1"),
            node("x", "AssignVariableOp", "first", "r:tensors:0"),
            node("y", "AssignVariableOp", "second", "i:output:0"),
            *extra,
        ]

    def nodes(self, *inputs: str, target: str = "f") -> list[Any]:
        variables = [variable("p", FLOAT, (2,), "VarHandleOp"), variable("q", HALF, (3,), "VarHandleOp")]
        return [*variables, file_name(), call("all", target, *inputs)]

    def test_call(self) -> None:
        functions = [function("f", ["prefix", "first", "second"], self.body())]
        assert decode(self.nodes("file", "p", "q"), functions=functions) == BY_FUNCTION

    def test_call_within_a_function(self) -> None:
        functions = [
            function("outer", ["s", "u", "name"], [call("inner", "f", "name", "u", "s", op="PartitionedCall")]),
            function("f", ["prefix", "first", "second"], self.body()),
        ]
        assert decode(self.nodes("q", "p", "file", target="outer"), functions=functions) == BY_FUNCTION

    def test_functions_that_call_each_other(self) -> None:
        again = call("again", "g", "prefix", "first", "second")
        functions = [
            function("f", ["prefix", "first", "second"], self.body(again)),
            function("g", ["a", "b", "c"], [call("back", "f", "a", "b", "c"), call("self", "g", "a", "b", "c")]),
        ]
        assert decode(self.nodes("file", "p", "q"), functions=functions) == BY_FUNCTION

    def test_missing_function(self) -> None:
        with pytest.raises(
            FormatError, match=r"^node 'all': calls the function 'f', which the graph does not have$"
        ) as caught:
            decode(self.nodes("file", "p", "q"))
        assert caught.value.path == ""

    def test_wrong_number_of_arguments(self) -> None:
        functions = [function("f", ["prefix", "first", "second"], self.body())]
        with pytest.raises(FormatError, match=r"^node 'all': 'f' takes 3 arguments, 2 are passed$") as caught:
            decode(self.nodes("file", "p", "^q"), functions=functions)
        assert caught.value.path == ""

    def test_two_functions_of_one_name(self) -> None:
        functions = [function("f", ["prefix"], []), function("f", ["prefix"], [])]
        with pytest.raises(FormatError, match=r"^two functions have the same name$"):
            decode(self.nodes("file"), functions=functions)


VARIABLES = [
    variable("w", FLOAT + 100, (2,)),
    variable("h", HALF, None, "VarHandleOp"),
    variable("old", INT64, (), "Variable"),
    strings("c", [b""]),
]
ALL_VARIABLES = {"h": Wanted("float16", None), "old": Wanted("int64", None), "w": Wanted("float32", (2,))}


class TestWithoutSaver:
    def collected(self, *definitions: Any) -> dict[str, Wanted]:
        message = meta_graph(VARIABLES, "")
        values = [definition.SerializeToString() for definition in definitions]
        message.collection_def["variables"].bytes_list.value.extend(values)
        return decode_meta_graph(message.SerializeToString())

    def test_all_variables(self) -> None:
        assert decode(VARIABLES, restore_op="") == ALL_VARIABLES

    def test_those_of_the_collection(self) -> None:
        definition = message_class("VariableDef")
        found = self.collected(definition(variable_name="w:0"), definition(variable_name="h"))
        assert found == {"h": Wanted("float16", None), "w": Wanted("float32", (2,))}
        assert self.collected() == {}

    def part(self, **fields: Any) -> Any:
        info = message_class("SaveSliceInfoDef")(**fields)
        return message_class("VariableDef")(variable_name="w:0", save_slice_info_def=info)

    def test_parts(self) -> None:
        definition = self.part(full_name="all", full_shape=[4, 3], var_offset=[2, 0], var_shape=[2, 3])
        assert self.collected(definition) == {"all": Wanted("float32", (4, 3), (((2, 2), (0, 3)),))}

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            (
                {"full_shape": [4], "var_offset": [2], "var_shape": [3]},
                r"node 'w': Extent in dimension 0 out of bounds: shape = \[4\], slice = 2,3",
            ),
            (
                {"full_shape": [4], "var_offset": [2], "var_shape": []},
                "node 'w': its part has different ranks for place and shape",
            ),
            (
                {"full_shape": [4, 4], "var_offset": [2], "var_shape": [3]},
                r"node 'w': Mismatching ranks: shape = \[4, 4\], slice = 2,3",
            ),
        ],
    )
    def test_parts_that_do_not_fit(self, fields: dict[str, list[int]], message: str) -> None:
        with pytest.raises(FormatError, match=f"^{message}$"):
            self.collected(self.part(full_name="all", **fields))

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("c", "node 'c': Const is no variable"),
            ("x:0", "node 'x' is needed, which the graph does not have"),
            ("", "node '' is needed, which the graph does not have"),
        ],
    )
    def test_collection_that_names_no_variable(self, name: str, message: str) -> None:
        with pytest.raises(FormatError, match=f"^{message}$") as caught:
            self.collected(message_class("VariableDef")(variable_name=name))
        assert caught.value.path == ""

    def test_variable_without_dtype(self) -> None:
        message = "^node 'v': VariableV2 has no attribute 'dtype' of the kind 'type'$"
        with pytest.raises(FormatError, match=message):
            decode([node("v", "VariableV2", shape=value(shape=shape_of([2])))], restore_op="")

    def test_variable_of_an_unknown_dtype(self) -> None:
        with pytest.raises(FormatError, match=r"^node 'v': unknown dtype 77, expected 1 to 33$"):
            decode([variable("v", 77, (2,))], restore_op="")


def circle(length: int) -> list[Any]:
    return [node(f"c{number}", "Identity", f"c{(number + 1) % length}") for number in range(length)]


DAMAGED: dict[str, tuple[list[Any], str]] = {
    "no saver's operation": (change("all"), "node 'all' is needed, which the graph does not have"),
    "no assignment": (change("assign"), "node 'assign' is needed, which the graph does not have"),
    "no variable": (change("w"), "node 'w' is needed, which the graph does not have"),
    "no names": (change("names"), "node 'names' is needed, which the graph does not have"),
    "two nodes of one name": ([*small_graph(), node("w", "NoOp")], "node 'w': two nodes have this name"),
    "names that are no constant": (
        change("names", node("names", "Placeholder")),
        "node 'names': Placeholder instead of a constant with 2 strings",
    ),
    "names of another dtype": (
        change("names", strings("names", [], [2], FLOAT)),
        r"node 'names': dtype 1 and shape \[2\] instead of 2 strings",
    ),
    "too few names": (
        change("names", strings("names", [b"w"])),
        r"node 'names': dtype 7 and shape \[1\] instead of 2 strings",
    ),
    "a matrix of names": (
        change("names", strings("names", [b"w", b"v"], [2, 1])),
        r"node 'names': dtype 7 and shape \[2, 1\] instead of 2 strings",
    ),
    "more values than elements": (
        change("names", strings("names", [b"w"] * 3, [2])),
        "node 'names': 3 values for 2 elements",
    ),
    "names and parts from one constant": (
        change("restore", restore("restore", FLOAT, HALF, parts="names")),
        "node 'restore': Need least two elements in shape_and_slice specification: w",
    ),
    "constant without value": (
        change("names", node("names", "Const")),
        "node 'names': Const has no attribute 'value' of the kind 'tensor'",
    ),
    "value of another kind": (
        change("names", node("names", "Const", value=value(type=1))),
        "node 'names': Const has no attribute 'value' of the kind 'tensor'",
    ),
    "no dtypes": (
        change("restore", node("restore", "RestoreV2", "file", "names", "parts")),
        "node 'restore': RestoreV2 has no attribute 'dtypes' of the kind 'list'",
    ),
    "fewer dtypes": (
        change("restore", restore("restore", FLOAT)),
        r"node 'names': dtype 7 and shape \[2\] instead of 1 strings",
    ),
    "no such dtype": (
        change("restore", restore("restore", FLOAT, 77)),
        "node 'restore': unknown dtype 77, expected 1 to 33",
    ),
    "no dtype": (change("restore", restore("restore", FLOAT, 0)), "node 'restore': unknown dtype 0, expected 1 to 33"),
    "the number before that of the first reference": (
        change("restore", restore("restore", FLOAT, 100)),
        "node 'restore': unknown dtype 100, expected 1 to 33",
    ),
    "too few inputs": (
        change("restore", node("restore", "RestoreV2", "file", "names", "^parts", dtypes=types(FLOAT, HALF))),
        "node 'restore': RestoreV2 has 2 inputs, expected at least 3",
    ),
    "variable without shape": (
        change("w", node("w", "VariableV2", dtype=value(type=1))),
        "node 'w': VariableV2 has no attribute 'shape' of the kind 'shape'",
    ),
    "no number of an output": (
        change("identity", node("identity", "Identity", "restore:x")),
        "node 'restore': 'restore:x' names no output of a node",
    ),
    "values in a circle": (
        [*change("identity", node("identity", "Identity", "c0")), *circle(3)],
        "node 'identity': its value passes through more than 32 nodes",
    ),
    "variable in a circle": (
        [*change("assign", node("assign", "Assign", "c0", "restore")), *circle(1)],
        "node 'c0': its value passes through more than 32 nodes",
    ),
    "one name, two dtypes": (
        change("names", strings("names", [b"w", b"w"])),
        "tensor 'w': wanted with two dtypes: float32 and float16",
    ),
    "part outside": (
        change("parts", strings("parts", [b"2 3 1,2:-", b""])),
        r"node 'restore': Extent in dimension 0 out of bounds: shape = \[2, 3\], slice = 1,2:-",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_graph(case: str) -> None:
    nodes, message = DAMAGED[case]
    with pytest.raises(FormatError, match=f"^{message}$") as caught:
        decode(nodes)
    assert caught.value.path == ""


def test_needed_nodes_in_a_circle_are_harmless() -> None:
    nodes = [*change("all", node("all", "NoOp", "^assign", "^assign_1", "^all", "c0")), *circle(4)]
    assert decode(nodes) == SMALL


@pytest.mark.parametrize("order", [("^other", "^assign", "^assign_1"), ("^assign", "^assign_1", "^other")])
def test_constant_that_two_nodes_share(order: tuple[str, ...]) -> None:
    nodes = change("all", node("all", "NoOp", *order))
    assert decode([*nodes, restore("other", FLOAT, HALF)]) == SMALL
    for dtypes in ((FLOAT,), (FLOAT, HALF, HALF)):
        with pytest.raises(FormatError, match=f"^node 'names': .* {len(dtypes)} (strings|tensors)$") as caught:
            decode([*nodes, restore("other", *dtypes)])
        assert caught.value.path == ""


def test_constants_as_bytes() -> None:
    tensor = message_class("TensorProto")(dtype=STRING, tensor_shape=shape_of([2]), tensor_content=b"\x01\x03wabc")
    assert decode(change("names", node("names", "Const", value=value(tensor=tensor)))).keys() == {"w", "abc"}
    for content in (b"\x01", b"\x01\x03wab", b"\x01\x03wabcd", b"\x01\x83"):
        tensor.tensor_content = content
        with pytest.raises(FormatError, match=f"^node 'names': {len(content)} bytes do not hold 2 strings$") as caught:
            decode(change("names", node("names", "Const", value=value(tensor=tensor))))
        assert caught.value.path == ""
    tensor.tensor_content = b"\xff" * 30
    with pytest.raises(FormatError, match=r"^node 'restore': Parsed past limit: a varint of more than 10 bytes$"):
        decode(change("names", node("names", "Const", value=value(tensor=tensor))))


def test_saver_that_cannot_be_followed() -> None:
    with pytest.raises(
        UnsupportedError, match=r"^the saver's operation 'all' needs none of RestoreV2, RestoreSlice, Restore$"
    ):
        decode([node("all", "MyRestore", "^x"), variable("x", RESOURCE, ())])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a MetaGraphDef: no graph in it"),
        (b"\x0a\x00", "not a MetaGraphDef: no graph in it"),
        (b"graph_def {\n}\n", "MetaGraphDef not parseable"),
        (b"\x12\x05\x0a\x03\x0a\x01\xff", "MetaGraphDef not parseable"),  # a node's name that is no UTF-8
    ],
)
def test_other_files(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=f"^{message}"):
        decode_meta_graph(data)


class TestSavedModels:
    def encode(self, *graphs: Any) -> bytes:
        return bytes(message_class("SavedModel")(meta_graphs=graphs).SerializeToString())

    def test_all_graphs_count(self) -> None:
        """They share one checkpoint, from which the one for training restores more."""
        more = change("names", strings("names", [b"w", b"momentum"]))
        data = self.encode(meta_graph(small_graph()), meta_graph(more))
        assert decode_saved_model(data) == SMALL | {"momentum": SMALL["v"]}

    def test_graphs_that_do_not_go_together(self) -> None:
        other = change("w", variable("w", FLOAT, (3, 2)))
        with pytest.raises(FormatError, match=r"tensor 'w': wanted with two shapes: \[2, 3\] and \[3, 2\]"):
            decode_saved_model(self.encode(meta_graph(small_graph()), meta_graph(other)))

    def test_no_graph(self) -> None:
        with pytest.raises(FormatError, match=r"^not a SavedModel: no graph in it$"):
            decode_saved_model(b"\x08\x01")
