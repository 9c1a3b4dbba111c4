"""Graphs with savers, made by hand: what is converted, what has to stay, and what is refused."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.graphs import (
    FLOAT,
    HALF,
    STRING,
    call,
    function,
    meta_graph,
    model_of,
    node,
    restore,
    saver_graph,
    strings,
    types,
    value,
    written_model,
)
from tests.support.wire import bytes_field
from tfbundle.errors import BundleError, FormatError, UnsupportedError
from tfbundle.graph.check import check_graph
from tfbundle.graph.library import Graph
from tfbundle.graph.models import NOT_FLOAT, TOGETHER, Model, Rewritten, settle
from tfbundle.graph.sources import Memory
from tfbundle.pb import message_class, parse_message


def whole(_name: str, part: str) -> bool:
    """Tell that nothing is stored in parts."""
    return not part


def dtypes(model: Model, name: str) -> list[int]:
    return list(model.graph.main.nodes[name].attr["dtypes"].list.type)


def limits(model: Model, names: Iterable[str]) -> dict[str, str]:
    return dict(settle([model], set(names), whole))


def test_restores_and_saves_float16() -> None:
    model = model_of(saver_graph("a", "b", "c"))
    assert limits(model, "ac") == {}
    assert model.convert({"a", "c"}) == Rewritten(num_casts=4, num_retyped=2)
    assert dtypes(model, "restore") == dtypes(model, "save") == [HALF, FLOAT, HALF]
    nodes = model.graph.main.nodes
    assert list(nodes["assign_0"].input) == ["a", "restore/cast_f32"]
    assert list(nodes["assign_2"].input) == ["c", "restore/cast_f32_2"]
    assert list(nodes["save"].input)[3:] == ["a/cast_f16", "b", "c/cast_f16"]
    assert nodes["a"].attr["dtype"].type == FLOAT


def test_nothing_to_cast_changes_nothing() -> None:
    message = saver_graph("a", "b")
    model = model_of(message)
    assert model.convert(()) == Rewritten()
    assert written_model(model) == message


def test_fields_that_nobody_declares_pass_through() -> None:
    def odd(number: int) -> bytes:
        return bytes_field(1023, b"odd %d" % number)

    message = saver_graph("a", extra=[call("f", "g")])
    message.graph_def.library.function.append(function("g", [], []))
    for number, each in enumerate(
        [
            message.graph_def.node[0],
            message.graph_def.library.function[0],
            message.graph_def.library,
            message.graph_def,
            message,
        ]
    ):
        each.MergeFromString(odd(number))
    model = model_of(message)
    model.convert({"a"})
    data = b"".join(model.stream().pieces())
    assert [data.count(odd(number)) for number in range(5)] == [1] * 5
    assert parse_message("MetaGraphDef", data).graph_def.library == message.graph_def.library


def test_message_in_pieces_is_read_as_one() -> None:
    """Protobuf lets a message come in pieces, which are merged."""
    parts = [saver_graph("a").SerializeToString(), meta_graph([node("more", "NoOp")]).SerializeToString()]
    model = Model(Memory(b"".join(parts)))
    assert "a" in model.graph.main.nodes
    assert "more" in model.graph.main.nodes
    model.convert({"a"})
    assert written_model(model).graph_def.node[-1].op == "Cast"


def test_what_is_restored_as_another_dtype_stays() -> None:
    message = saver_graph(
        "a", extra=[strings("more", [b"b"]), strings("p", [b""]), restore("r", HALF, names="more", parts="p")]
    )
    assert limits(model_of(message), "ab") == {"b": NOT_FLOAT}


def test_names_that_one_function_restores_are_decided_together() -> None:
    body = [restore("r", FLOAT, parts="p:output:0"), strings("p", [b""])]
    body[0].input[0] = "file"
    made = function("load", ["file", "names"], body)
    for argument in made.signature.input_arg:
        argument.type = STRING
    calls = []
    for name in ("x", "y"):
        each = call(name, "load", "file", f"{name}_names")
        each.attr["Tin"].list.type.extend([STRING, STRING])
        each.attr["Tout"].list.SetInParent()
        calls += [each, strings(f"{name}_names", [name.encode()])]
    message = saver_graph("a", extra=calls)
    message.graph_def.library.function.append(made)
    model = model_of(message)
    assert limits(model, "axy") == {}
    assert limits(model, "ax") == {"x": TOGETHER}
    assert model.convert({"a", "x", "y"}).num_retyped == 3


def test_file_with_another_name_is_not_that_of_the_saver() -> None:
    other = [strings("other", [b"start.ckpt"], []), strings("n", [b"a"]), strings("p", [b""])]
    message = saver_graph("a", extra=[*other, node("r", "RestoreV2", "other", "n", "p", dtypes=types(FLOAT))])
    model = model_of(message)
    model.convert({"a"})
    assert dtypes(model, "r") == [FLOAT]
    message.saver_def.filename_tensor_name = "other:0"
    assert len(model_of(message).savers) == 3


def test_names_that_are_no_constants() -> None:
    extra = [node("n", "Placeholder", dtype=value(type=STRING)), strings("p", [b""])]
    message = saver_graph("a", extra=[*extra, restore("r", FLOAT, names="n", parts="p")])
    with pytest.raises(UnsupportedError, match="node 'r': the names of its tensors are no constants"):
        limits(model_of(message), "a")


def test_custom_op_is_refused_by_name_where_it_matters() -> None:
    def reading() -> Any:
        return saver_graph("a", extra=[node("mine", "MyOp", "restore")])

    with pytest.raises(UnsupportedError, match="nobody knows the op 'MyOp'"):
        model_of(reading()).convert({"a"})
    harmless = model_of(saver_graph("a", extra=[node("mine", "MyOp", "a/read")]))
    assert harmless.convert({"a"}).num_casts == 2
    own = message_class("OpDef")(name="MyOp")
    own.input_arg.add(name="x", type=FLOAT)
    message = reading()
    message.meta_info_def.stripped_op_list.op.append(own)
    assert model_of(message).convert({"a"}).num_casts == 2


def test_dropped_tensors_are_not_restored() -> None:
    model = model_of(saver_graph("a", "b", "c"))
    assert model.reduce({"b", "nobody's"}) == Rewritten(num_removed=1)
    nodes = model.graph.main.nodes
    assert "assign_1" not in nodes
    assert list(nodes["all"].input) == ["^assign_0", "^assign_2"]
    assert list(nodes["assign_2"].input) == ["c", "restore:1"]
    assert list(nodes["save"].input)[3:] == ["a", "c"]
    assert model.names == {"a", "c"}
    assert model.convert({"c"}).num_casts == 2
    with pytest.raises(UnsupportedError, match="node 'save': nothing would be left for it to save"):
        model.reduce({"a", "c"})


def test_no_graph() -> None:
    with pytest.raises(FormatError, match="no graph"):
        model_of(message_class("MetaGraphDef")())
    assert model_of(meta_graph([])).savers == []


@pytest.mark.parametrize("seed", range(8))
def test_any_damage_is_an_error_of_ours(seed: int) -> None:
    """A bundle error or a graph that checks, whatever bytes there are; nothing else, and soon."""
    rng = random.Random(seed)
    whole_graph = saver_graph("a", "b", extra=[call("f", "g")]).SerializeToString()
    start = time.monotonic()
    for _ in range(300):
        data = bytearray(whole_graph)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            model = Model(Memory(bytes(data)))
            limits(model, "ab")
            model.reduce({"b"})
            model.convert({"a"})
            check_graph(Graph(Memory(written_model(model).graph_def.SerializeToString())))
        except BundleError:
            pass
    assert time.monotonic() - start < 60


def test_many_variables_take_linear_time() -> None:
    names = [f"v{number}" for number in range(4000)]
    start = time.monotonic()
    model = model_of(saver_graph(*names))
    assert limits(model, names) == {}
    model.reduce(set(names[::2]))
    assert model.convert(set(names[1::2])).num_casts == 4000
    assert time.monotonic() - start < 30
    assert isinstance(model.message, message_class("MetaGraphDef"))


def test_many_arguments_take_linear_time() -> None:
    """Each node of a function restores what an argument names, of which there is a constant for each."""
    count = 8000
    body = [node(f"r{at}", "Restore", "file", f"name{at}", dt=value(type=FLOAT)) for at in range(count)]
    made = function("load", ["file", *(f"name{at}" for at in range(count))], body)
    for argument in made.signature.input_arg:
        argument.type = STRING
    caller = call("call", "load", "file", *(f"c{at}" for at in range(count)))
    caller.attr["Tin"].list.type.extend([STRING] * (count + 1))
    caller.attr["Tout"].list.SetInParent()
    message = saver_graph("a", extra=[caller, *(strings(f"c{at}", [b"v%d" % at], []) for at in range(count))])
    message.graph_def.library.function.append(made)
    start = time.monotonic()
    model = model_of(message)
    assert len(model.names) == count + 1
    assert model.convert(model.names).num_retyped == count + 2
    assert time.monotonic() - start < 30


def test_cycles_end() -> None:
    loop: Any = [node("x", "Identity", "y", T=value(type=STRING)), node("y", "Identity", "x", T=value(type=STRING))]
    message = saver_graph("a", extra=[*loop, restore("r", FLOAT, names="x")])
    with pytest.raises(FormatError, match="passes through more than 32 nodes"):
        limits(model_of(message), "a")
