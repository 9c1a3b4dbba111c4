from __future__ import annotations

from pathlib import Path

import pytest

import tfbundle
from tests.support.corpus import Item, v2_items
from tests.support.handmade import HandmadeBundle, floats, integers, strings
from tests.support.requirements import corpus_root
from tfbundle.bundle.listing import Kind, iter_kinds
from tfbundle.errors import FormatError


def test_names_and_kinds_in_key_order(tmp_path: Path) -> None:
    bundle = HandmadeBundle(
        [
            floats("b", [[1, 2]]),
            floats(b"a\xff", [[3, 4]]),
            integers("n", [7]),
            strings("s", [b"x"]),
            floats("u", [1], extra=b"\x48\x01"),  # an unknown field
        ]
    )
    with tfbundle.open(bundle.write(tmp_path / "m")) as reader:
        found = list(iter_kinds(reader.index))
    assert found == [
        ("a\udcff", Kind("float32", (1, 2), 8)),
        ("b", Kind("float32", (1, 2), 8)),
        ("n", Kind("int64", (1,), 8)),
        ("s", Kind("string", (1,), len(strings("s", [b"x"]).payload))),
        ("u", Kind("float32", (1,), 4)),
    ]
    assert found[0][1] is found[1][1]


def test_damaged_entry(tmp_path: Path) -> None:
    bundle = HandmadeBundle([floats("a", [1]), floats("b", [2], extra=b"\x08\x63")])  # dtype 99
    with (
        tfbundle.open(bundle.write(tmp_path / "m")) as reader,
        pytest.raises(FormatError, match="tensor 'b': unknown dtype 99"),
    ):
        list(iter_kinds(reader.index))


@pytest.mark.parametrize("item", v2_items(), ids=str)
def test_corpus_is_listed_as_its_entries_say(item: Item) -> None:
    corpus_root()
    with tfbundle.open(item.prefix) as reader:
        expected = [
            (name, Kind(info.dtype, info.shape, info.nbytes, len(info.slices))) for name, info in reader.entries.items()
        ]
        assert list(iter_kinds(reader.index)) == expected
