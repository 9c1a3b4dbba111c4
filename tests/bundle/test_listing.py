from __future__ import annotations

from pathlib import Path

import pytest

import tfbundle
from tests.support.corpus import Item, v2_items
from tests.support.handmade import HandmadeBundle, floats, integers, strings
from tests.support.requirements import corpus_root
from tfbundle.bundle.listing import Kind, list_tensors
from tfbundle.errors import FormatError
from tfbundle.format.index import BundleIndex


def pairs(index: BundleIndex) -> list[tuple[str, Kind]]:
    listing = list_tensors(index)
    return [(name, listing.kinds[number]) for name, number in zip(listing.iter_names(), listing.numbers, strict=True)]


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
        found = pairs(reader.index)
    assert found == [
        ("a\udcff", Kind("float32", (1, 2), 8)),
        ("b", Kind("float32", (1, 2), 8)),
        ("n", Kind("int64", (1,), 8)),
        ("s", Kind("string", (1,), len(strings("s", [b"x"]).payload))),
        ("u", Kind("float32", (1,), 4)),
    ]
    assert found[0][1] is found[1][1]


def test_strings_of_one_shape_differ_in_size(tmp_path: Path) -> None:
    bundle = HandmadeBundle([strings("a", [b"x"]), strings("b", [b"xyz"]), strings("c", [b"y"])])
    sizes = [len(tensor.payload) for tensor in bundle.tensors]
    with tfbundle.open(bundle.write(tmp_path / "m")) as reader:
        listing = reader.list_tensors()
    assert [listing.kinds[number].nbytes for number in listing.numbers] == sizes
    assert sizes[0] == sizes[2] != sizes[1]
    assert sorted(listing.counts()) == [1, 2]


def test_some_tensors_of_a_listing(tmp_path: Path) -> None:
    bundle = HandmadeBundle([floats("a", [1]), integers("b", [2]), floats(b"c\xff", [3, 4]), floats("d", [5])])
    with tfbundle.open(bundle.write(tmp_path / "m")) as reader:
        some = reader.list_tensors().only({"c\udcff", "d", "a", "z"})
        none = reader.list_tensors().only(())
    assert some.keys == [b"a", b"c\xff", b"d"]
    assert sorted(zip(some.kinds, some.counts(), strict=True)) == [
        (Kind("float32", (1,), 4), 2),
        (Kind("float32", (2,), 8), 1),
    ]
    assert [some.kinds[number].nbytes for number in some.numbers] == [4, 8, 4]
    assert (none.keys, none.kinds, none.counts()) == ([], [], [])


def test_damaged_entry(tmp_path: Path) -> None:
    bundle = HandmadeBundle([floats("a", [1]), floats("b", [2], extra=b"\x08\x63")])  # dtype 99
    with (
        tfbundle.open(bundle.write(tmp_path / "m")) as reader,
        pytest.raises(FormatError, match="tensor 'b': unknown dtype 99"),
    ):
        pairs(reader.index)


@pytest.mark.parametrize("item", v2_items(), ids=str)
def test_corpus_is_listed_as_its_entries_say(item: Item) -> None:
    corpus_root()
    with tfbundle.open(item.prefix) as reader:
        expected = [
            (name, Kind(info.dtype, info.shape, info.nbytes, len(info.slices))) for name, info in reader.entries.items()
        ]
        assert pairs(reader.index) == expected
