from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.graph.test_constants import constant
from tests.support.graphs import function, node, value
from tests.support.wire import bytes_field
from tfbundle.errors import FormatError
from tfbundle.graph import outline
from tfbundle.graph.constants import iter_content
from tfbundle.graph.library import Graph
from tfbundle.graph.outline import LARGE_NBYTES, Outline, read_outline
from tfbundle.graph.sources import Memory
from tfbundle.pb import message_class, parse_message
from tfbundle.storage.local import LocalStorage
from tfbundle.storage.stream import Stream

COUNT = LARGE_NBYTES // 4 + 1
LARGE = np.random.default_rng(1).random(COUNT, np.float32).tobytes()


def graph(*nodes: Any, functions: tuple[Any, ...] = ()) -> Any:
    message = message_class("GraphDef")(node=nodes)
    message.library.function.extend(functions)
    return message


def read(path: Path, data: bytes) -> Outline:
    path.write_bytes(data)
    with closing(LocalStorage().open(str(path))) as file:
        return read_outline(file)


def whole(path: Path, found: Outline) -> bytes:
    """Write a graph again, with what was left in the file."""
    with closing(LocalStorage().open(str(path))) as file:
        streams = {
            name: Stream(content.nbytes, partial(iter_content, content, file))
            for name, content in found.contents.items()
        }
        stream = Graph(Memory(found.data)).stream(streams)
        data = b"".join(stream.pieces())
    assert len(data) == stream.nbytes
    return data


def test_large_contents_stay_in_the_file(tmp_path: Path) -> None:
    inner = function("g", [], [constant("b", (COUNT,), LARGE)])
    message = graph(
        constant("small", (2,), LARGE[:8]),
        constant("a", (COUNT,), LARGE),
        node("n", "Neg", "a", T=value(type=1)),
        constant("edge", (COUNT - 1,), LARGE[4:]),
        constant("c", (3, COUNT), LARGE * 3),
        functions=(inner,),
    )
    found = read(tmp_path / "g", message.SerializeToString())
    data = (tmp_path / "g").read_bytes()
    assert {name: data[at : at + nbytes] for name, (at, nbytes) in found.contents.items()} == {
        "a": LARGE,
        "c": LARGE * 3,
    }
    left = parse_message("GraphDef", found.data)
    constants = [each for each in left.node if each.op == "Const"]
    kept = {each.name: len(each.attr["value"].tensor.tensor_content) for each in constants}
    assert kept == {"small": 8, "a": 0, "edge": LARGE_NBYTES, "c": 0}
    assert left.library == message.library
    assert parse_message("GraphDef", whole(tmp_path / "g", found)) == message


def twice(message: Any) -> bytes:
    """Return a constant that gives its value two times, of which the last counts."""
    entry = message_class("NodeDef").AttrEntry(key="value", value=message.attr["value"])
    return bytes(message.SerializeToString() + bytes_field(5, entry.SerializeToString()))


@pytest.mark.parametrize(
    "data",
    [
        bytes_field(1, twice(constant("a", (COUNT,), LARGE))),
        graph(node("a", "Odd", value=constant("x", (COUNT,), LARGE).attr["value"])).SerializeToString(),
        graph(node("a", "Const", other=constant("x", (COUNT,), LARGE).attr["value"])).SerializeToString(),
        graph(constant("a", (COUNT,), LARGE), constant("a", (COUNT,), LARGE)).SerializeToString(),
    ],
    ids=["said twice", "another op", "another attribute", "two of one name"],
)
def test_what_only_a_whole_parser_understands(data: bytes, tmp_path: Path) -> None:
    assert read(tmp_path / "g", data) == Outline(data, {})


def test_many_fields_take_a_whole_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "_MOST_FIELDS", 3)
    message = graph(constant("a", (COUNT,), LARGE), *(node(f"n{number}", "Neg", "a") for number in range(5)))
    assert read(tmp_path / "g", message.SerializeToString()) == Outline(message.SerializeToString(), {})


def test_unknown_fields_and_wire_types_stay(tmp_path: Path) -> None:
    data = graph(constant("a", (COUNT,), LARGE)).SerializeToString()
    odd = b"\x98\x06\x05" + b"\x9d\x06abcd" + b"\x99\x06abcdefgh" + b"\x9a\x06\x03abc"  # field 99, of every kind
    found = read(tmp_path / "g", odd + data + odd)
    assert list(found.contents) == ["a"]
    again = whole(tmp_path / "g", found)
    assert parse_message("GraphDef", again) == parse_message("GraphDef", odd + data + odd)


@pytest.mark.parametrize("end", [1, 2, 5, 40, 70, -1, -LARGE_NBYTES])
def test_cut_short(end: int, tmp_path: Path) -> None:
    data = graph(constant("a", (COUNT,), LARGE)).SerializeToString()
    with pytest.raises(FormatError, match="GraphDef"):
        read(tmp_path / "g", data[:end])


@pytest.mark.parametrize("data", [b"\x0b", b"\x0c", b"\xff" * 30, b"\x0a" + b"\xff" * 9 + b"\x01"])
def test_no_fields(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="GraphDef"):
        read(tmp_path / "g", data)
