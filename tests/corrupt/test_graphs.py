"""A graph with one thing broken at a time: an error of this package, or something sound, and soon."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.graphs import FLOAT, file_name, meta_graph, node, small_graph, strings, types, value
from tests.support.requirements import corpus_root
from tests.support.wire import bytes_field
from tfbundle.errors import FormatError, UnsupportedError
from tfbundle.format.dtypes import named_data_type
from tfbundle.format.meta_graph import decode_meta_graph, decode_saved_model
from tfbundle.format.wanted import Wanted

META = "synth/v1saver_mixed_dtypes/mixed.meta"
MODEL = "real/tfjs_times_three_float/saved_model.pb"
Decoder = Callable[[bytes], dict[str, Wanted]]


def outcome(decode: Decoder, data: bytes) -> dict[str, Wanted] | None:
    """Return what is wanted, checked to be sound; None for an error, which is one line and says what is wrong."""
    try:
        wanted = decode(data)
    except (FormatError, UnsupportedError) as error:
        assert str(error)
        assert "\n" not in str(error)
        return None
    for name, tensor in wanted.items():
        assert isinstance(name, str)
        assert named_data_type(tensor.dtype)
        assert tensor.shape is None or all(0 <= size < 2**63 for size in tensor.shape)
        assert tensor.shape is not None or not tensor.slices
    return wanted


@pytest.fixture(scope="module", params=["small", META, MODEL])
def case(request: pytest.FixtureRequest) -> tuple[bytes, Decoder]:
    if request.param == "small":
        return meta_graph(small_graph()).SerializeToString(), decode_meta_graph
    decode = decode_meta_graph if request.param == META else decode_saved_model
    return (corpus_root() / request.param).read_bytes(), decode


def positions(data: bytes) -> Iterator[int]:
    """Yield every position in a small file, some thousand in a larger one."""
    yield from range(len(data)) if len(data) < 1000 else sorted(random.Random(5).sample(range(len(data)), 1000))


def test_cut(case: tuple[bytes, Decoder]) -> None:
    data, decode = case
    original = outcome(decode, data)
    assert original
    for position in positions(data):
        found = outcome(decode, data[:position])
        if found is not None:
            # cut between two fields of the outermost message: the saver is gone, the variables are there
            assert len(found) <= len(original)
            assert decode is decode_meta_graph


def test_flipped(case: tuple[bytes, Decoder]) -> None:
    data, decode = case
    outcomes = []
    for position in positions(data):
        for mask in (0xFF, 1, 0x80):
            damaged = bytearray(data)
            damaged[position] ^= mask
            outcomes.append(outcome(decode, bytes(damaged)))
    assert None in outcomes
    assert any(found is not None for found in outcomes)


def test_each_node_missing() -> None:
    nodes = small_graph()
    for number, left_out in enumerate(nodes):
        found = outcome(decode_meta_graph, meta_graph(nodes[:number] + nodes[number + 1 :]).SerializeToString())
        assert found is None, left_out.name


def test_each_input_another_node() -> None:
    names = [found.name for found in small_graph()]
    for number in range(len(names)):
        for position in range(len(small_graph()[number].input)):
            for name in [*names, "restore:9", "^all", "", ":", "w:x"]:
                nodes = small_graph()
                nodes[number].input[position] = name
                outcome(decode_meta_graph, meta_graph(nodes).SerializeToString())


def soon(data: bytes) -> dict[str, Wanted] | None:
    """Return the outcome, which even in megabytes of malice takes a second or two."""
    start = time.monotonic()
    found = outcome(decode_meta_graph, data)
    assert time.monotonic() - start < 20
    return found


def test_long_chain() -> None:
    length = 50_000
    nodes = [node(f"n{number}", "Assign", f"n{number + 1}", f"n{number + 1}") for number in range(length)]
    assert soon(meta_graph([*nodes, node(f"n{length}", "NoOp")], "n0").SerializeToString()) is None
    nodes = [node(f"n{number}", "Identity", f"n{number + 1}") for number in range(length)]
    assigns = [node(f"a{number}", "Assign", "n0", "n0") for number in range(length)]
    start = node("all", "NoOp", *(f"^a{number}" for number in range(length)))
    assert soon(meta_graph([start, *assigns, *nodes, node(f"n{length}", "NoOp")]).SerializeToString()) is None


def test_long_name_that_many_nodes_restore() -> None:
    """Read once: a thousand copies of 2 MB would take 2 GB."""
    length = 1000
    parts = [node(f"r{number}", "RestoreV2", "file", "names", "parts", dtypes=types(FLOAT)) for number in range(length)]
    start = node("all", "NoOp", *(f"^r{number}" for number in range(length)))
    constants = [file_name(), strings("names", [b"x" * 2_000_000]), strings("parts", [b""])]
    found = soon(meta_graph([start, *constants, *parts]).SerializeToString())
    assert found == {"x" * 2_000_000: Wanted("float32", None)}


def test_constant_that_claims_to_be_huge() -> None:
    nodes = [file_name(), strings("names", [b"w"], [2**62]), strings("parts", [b""], [2**62])]
    restore = node("all", "RestoreV2", "file", "names", "parts", dtypes=types(FLOAT))
    assert soon(meta_graph([*nodes, restore]).SerializeToString()) is None


def test_messages_that_nest_without_end() -> None:
    data = b""
    for _ in range(5000):
        data = bytes_field(2, data)
    assert soon(data) in (None, {})
    attribute = value(type=1).SerializeToString()
    for _ in range(2000):  # an attribute that is a function with an attribute that is a function ...
        attribute = bytes_field(10, bytes_field(2, bytes_field(1, b"k") + bytes_field(2, attribute)))
    inner = bytes_field(1, b"all") + bytes_field(5, bytes_field(1, b"k") + bytes_field(2, attribute))
    assert soon(bytes_field(2, bytes_field(1, inner))) in (None, {})


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\0"])
def test_names_are_quoted_in_messages(name: str) -> None:
    data = meta_graph([node("all", "NoOp", f"^{name}")]).SerializeToString()
    with pytest.raises(FormatError) as caught:
        decode_meta_graph(data)
    assert name not in str(caught.value)


def test_files_of_the_corpus_for_each_other() -> None:
    """What is no graph at all, given as one."""
    root = corpus_root()
    for path in sorted(Path(root).rglob("*")):
        if path.is_file() and path.stat().st_size < 200_000:
            data = path.read_bytes()
            for decode in (decode_meta_graph, decode_saved_model):
                outcome(decode, data)
