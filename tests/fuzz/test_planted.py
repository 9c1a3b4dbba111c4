"""Each target finds a bug that is put in on purpose, within a few hundred mutations of its seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fuzz.targets import NAMES, find_target
from tfbundle.storage.stream import whole


@dataclass(frozen=True)
class Planted:
    """A bug.

    Attributes:
        target: which has to find it.
        what: it is.
        place: the attribute that is replaced.
        make: makes the replacement, of the original.
        tries: number of mutations among which one must find it.
    """

    target: str
    what: str
    place: str
    make: Callable[[Any], Any]
    tries: int = 400


def _accept_all(original: Any) -> Any:
    return lambda *arguments, **options: None


def _shifted_literal(original: Any) -> Any:
    """Long literals lose their last byte."""

    def append(data: bytes, position: int, output: bytearray) -> int:
        end: int = original(data, position, output)
        if data[position] >> 2 >= 30:
            output[-1:] = b"?"
        return end

    return append


def _crash(on: Callable[..., bool]) -> Callable[[Any], Any]:
    """Raise something foreign for some arguments."""

    def make(original: Any) -> Any:
        def replaced(*arguments: Any, **options: Any) -> Any:
            if on(*arguments):
                raise IndexError("planted")
            return original(*arguments, **options)

        return replaced

    return make


def _off_by_one(original: Any) -> Any:
    """Boxes that touch seem to overlap, or to be apart."""

    def disjoint(boxes: Any) -> None:
        found = sorted(boxes)
        original(found[:-1] if len(found) > 2 else found)

    return disjoint


def _lenient_sizes_crc(original: Any) -> Any:
    return lambda masked, crc: None


def _without_crc(original: Any) -> Any:
    return lambda self, entry, crc: None


def _rejoined(original: Any) -> Any:
    """Paths lose their first step when they are long."""
    return lambda graph, avoid: {n: p if p.count("/") < 1 else p[1:] for n, p in original(graph, avoid).items()}


def _backwards(original: Any) -> Any:
    return lambda data, dtype: original(data, dtype)[::-1]


def _one_further(original: Any) -> Any:
    return lambda part, outer: original(part, outer) + (part.starts[0] > 0)


def _as_they_are(original: Any) -> Any:
    return lambda window, swap: None


def _of_one_more(original: Any) -> Any:
    def finish(self: Any) -> Any:
        self._count += 1
        return original(self)

    return finish


def _without_last(original: Any) -> Any:
    return lambda self, names: original(self, sorted(names)[:-1])


def _is_long(data: bytes, limit: int) -> bool:
    return len(data) > 600


def _has_more(extents: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(extents) > len(shape)


def _is_no_constant(node: Any, num_elements: int) -> bool:
    return bool(node.op != "Const")


BUGS = [
    Planted("table", "blocks out of order", "tfbundle.sstable.reader._check_order", _accept_all),
    Planted("table", "a wrong literal", "tfbundle.sstable.snappy._append_literal", _shifted_literal),
    Planted("table", "a crash on odd kinds", "tfbundle.sstable.reader.unseal_block", _crash(lambda data: data[-5] > 1)),
    Planted("entry", "sizes that do not follow", "tfbundle.format.entries._check_entry", _accept_all),
    Planted("entry", "a shard that is lost", "tfbundle.format.columns.SHARD_TAG", lambda tag: tag + 64),
    Planted("strings", "sizes unchecked", "tfbundle.format.payload_checksum._check_sizes_crc", _lenient_sizes_crc),
    Planted(
        "strings",
        "a crash on long varints",
        "tfbundle.format.strings.decode_varints",
        _crash(_is_long),
    ),
    Planted("slices", "overlaps unseen", "tests.fuzz.slices.check_disjoint", _off_by_one),
    Planted("slices", "gaps unseen", "tests.fuzz.slices.check_covered", _accept_all),
    Planted(
        "v1",
        "a crash on other ranks",
        "tfbundle.format.v1.resolve_slice",
        _crash(_has_more),
    ),
    Planted("v1", "integers turned around", "tfbundle.format.v1._decode_integers", _backwards),
    Planted("state", "text that is no text", "tests.fuzz.state.format_state", lambda original: lambda state: ""),
    Planted("state", "a way out", "tfbundle.bundle.state_file._is_inside", lambda original: lambda home, path: True),
    Planted("bundle", "checksums ignored", "tfbundle.bundle.payloads.Payloads._check_crc", _without_crc),
    Planted("bundle", "overlaps unseen", "tfbundle.streaming.planning.check_places", _accept_all),
    Planted("bundle", "slices at a wrong place", "tfbundle.streaming.join._flat_offset", _one_further),
    Planted("bundle", "bytes in the other order", "tfbundle.streaming.pipeline.swap_bytes", _as_they_are),
    Planted("bundle", "names as they are", "tfbundle.cli.ls.escape_all", lambda original: lambda names: names),
    Planted("bundle", "a mean of one more", "tfbundle.casting.mean.Mean.finish", _of_one_more),
    Planted("graph", "shortened paths", "tests.fuzz.graph.nearest_paths", _rejoined),
    Planted("rewrite", "casts left out", "tfbundle.graph.models.repair_graph", lambda original: lambda *bodies: 0),
    Planted("rewrite", "functions lost", "tfbundle.graph.library.framed", lambda original: lambda *field: whole(b"")),
    Planted("rewrite", "a node too many removed", "tfbundle.graph.nodes.Nodes.keep", _without_last),
    Planted("rewrite", "types unchecked", "tfbundle.graph.check.Edge.fits", lambda original: True, 2000),
    Planted(
        "graph", "a crash on no constant", "tfbundle.format.meta_graph.string_constant", _crash(_is_no_constant), 1000
    ),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.target}: {bug.what}")
def test_is_found(bug: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    target = find_target(bug.target)
    monkeypatch.setattr(bug.place, bug.make(_current(bug.place)))
    for data in target.iter_mutations(bug.tries):
        try:
            target.check(data)
        except Exception:  # noqa: PERF203 for each on its own
            return
    pytest.fail(f"{bug.what}: not found in {bug.tries} mutations")


def test_every_target_has_one() -> None:
    assert {bug.target for bug in BUGS} == set(NAMES)


def _current(place: str) -> Any:
    from _pytest.monkeypatch import derive_importpath

    name, home = derive_importpath(place, raising=True)
    return getattr(home, name)
