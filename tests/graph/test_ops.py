from __future__ import annotations

import zlib

from tests import make_op_table
from tests.support.graphs import FLOAT
from tfbundle.graph.ops import OpTable, known_ops
from tfbundle.pb import message_class


def op(name: str) -> object:
    return message_class("OpDef")(name=name)


def test_table_is_that_of_the_installed_tensorflow() -> None:
    """A newer TensorFlow may know more ops; those in the table are as they were."""
    theirs = message_class("OpList").FromString(make_op_table.make_op_table())
    ours = known_ops()
    found = {each.name: each for each in theirs.op}
    assert set(ours) <= set(found)
    assert [name for name in ours if ours[name] != found[name]] == []


def test_table_is_small() -> None:
    data = make_op_table.TARGET.read_bytes()
    assert len(data) < 40_000
    assert len(zlib.decompress(data)) < 200_000


def test_defaults_are_there() -> None:
    (attribute,) = known_ops()["MaxPool"].attr
    assert (attribute.name, attribute.default_value.type) == ("T", FLOAT)


def test_own_ops_serve_for_those_that_nobody_else_knows() -> None:
    mine, cast = op("Mine"), op("Cast")
    table = OpTable([mine, cast])
    assert table.find("Mine") is mine
    assert table.find("Cast") is known_ops()["Cast"]
    assert table.find("Nobody's") is None


def test_function_is_an_op() -> None:
    mine = op("f")
    assert OpTable(function={"f": mine}.get).find("f") is mine
