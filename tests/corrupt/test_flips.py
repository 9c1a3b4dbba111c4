"""A real checkpoint with one thing broken at a time: an error of this package, or the very same tensors.

The index has a Snappy block. Where damage gets past a repaired checksum other tensors may come out, but never
another exception.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import shard_path
from tests.support.tables import frame, read_rows, write_table
from tfbundle.bundle.opening import load, open_bundle
from tfbundle.errors import BundleError
from tfbundle.sstable.block import SNAPPY
from tfbundle.sstable.footer import decode_footer
from tfbundle.sstable.reader import open_table
from tfbundle.storage.local import LocalStorage

ITEM = "real/serving_saved_model_half_plus_two_cpu/00000123/variables/variables"
INDEX, DATA = "index", "data"
Tensors = dict[str, Any]


@pytest.fixture(scope="module")
def original() -> dict[str, bytes]:
    from tests.support.requirements import corpus_root

    prefix = str(corpus_root() / ITEM)
    return {INDEX: Path(f"{prefix}.index").read_bytes(), DATA: Path(shard_path(prefix)).read_bytes()}


@pytest.fixture
def prefix(tmp_path: Path, original: dict[str, bytes]) -> str:
    path = str(tmp_path / "model")
    put(path, INDEX, original[INDEX])
    put(path, DATA, original[DATA])
    return path


def put(prefix: str, part: str, contents: bytes) -> None:
    Path(prefix + ".index" if part == INDEX else shard_path(prefix)).write_bytes(contents)


def read_all(prefix: str) -> Tensors | None:
    """Return every tensor, None for an error of this package; anything else escapes and fails the test."""
    try:
        return {name: (value.dtype, value.shape, value.tobytes()) for name, value in load(prefix).items()}
    except BundleError as error:
        return None if str(error) else {}


def flips(contents: bytes) -> Iterator[tuple[str, bytes]]:
    for position in range(len(contents)):
        for mask in (0xFF, *(1 << bit for bit in range(8))):
            damaged = bytearray(contents)
            damaged[position] ^= mask
            yield f"byte {position} ^ {mask:#x}", bytes(damaged)


def cuts(contents: bytes) -> Iterator[tuple[str, bytes]]:
    for nbytes in range(len(contents)):
        yield f"cut at {nbytes}", contents[:nbytes]


def additions(contents: bytes) -> Iterator[tuple[str, bytes]]:
    for more in (b"\0", b"\xff", bytes(4096), contents):
        yield f"{len(more)} bytes more, {more[:1].hex()}", contents + more


def survivors(prefix: str, part: str, damaged: Iterable[tuple[str, bytes]]) -> dict[str, Tensors]:
    found = {}
    for label, contents in damaged:
        put(prefix, part, contents)
        tensors = read_all(prefix)
        if tensors is not None:
            found[label] = tensors
    return found


def test_without_damage(prefix: str) -> None:
    with open_bundle(prefix) as bundle:
        assert len(bundle) == 5
        assert bundle["a"] == 0.5
        assert bundle["b"] == 2.0


class TestIndex:
    def test_flips(self, prefix: str, original: dict[str, bytes]) -> None:
        expected = read_all(prefix)
        found = survivors(prefix, INDEX, flips(original[INDEX]))
        assert all(tensors == expected for tensors in found.values())
        assert {label.split(" ^")[0] for label in found} == {f"byte {at}" for at in unread_bytes(original[INDEX])}

    def test_cuts(self, prefix: str, original: dict[str, bytes]) -> None:
        assert survivors(prefix, INDEX, cuts(original[INDEX])) == {}

    def test_additions(self, prefix: str, original: dict[str, bytes]) -> None:
        found = survivors(prefix, INDEX, additions(original[INDEX]))
        assert all(
            label.startswith(f"{len(original[INDEX])} bytes") for label in found
        )  # one table after another is a table again


def unread_bytes(index: bytes) -> set[int]:
    """Return the positions of bytes that no reader looks at: the metaindex block and what pads the footer.

    The metaindex handle is read, and may change as long as it is a handle still.
    """
    footer = len(index) - 48
    metaindex = decode_footer(index[footer:]).metaindex_handle
    handles = bytes_of_handles(index[footer:])
    return {
        *range(metaindex.offset, metaindex.offset + metaindex.nbytes + 5),
        *range(footer, footer + handles[0]),
        *range(footer + handles[1] - 1, footer + 40),  # a handle's end may announce one more byte, which is zero
    }


def bytes_of_handles(footer: bytes) -> tuple[int, int]:
    """Return where the first handle and the second end."""
    ends = [at + 1 for at, byte in enumerate(footer[:40]) if byte < 0x80]
    return ends[1], ends[3]


class TestData:
    def test_flips(self, prefix: str, original: dict[str, bytes]) -> None:
        assert survivors(prefix, DATA, flips(original[DATA])) == {}

    def test_cuts(self, prefix: str, original: dict[str, bytes]) -> None:
        assert survivors(prefix, DATA, cuts(original[DATA])) == {}

    def test_additions(self, prefix: str, original: dict[str, bytes]) -> None:
        expected = read_all(prefix)
        found = survivors(prefix, DATA, additions(original[DATA]))
        assert list(found.values()) == [expected] * 4


def resealed(index: bytes, offset: int, nbytes: int) -> Iterator[tuple[str, bytes]]:
    """Damage one block, its compression type included, and make its checksum right again."""
    for label, damaged in flips(index[offset : offset + nbytes + 1]):
        sealed = frame(damaged[:-1], damaged[-1])
        yield label, index[:offset] + sealed + index[offset + nbytes + 5 :]


class TestDamageUnderRightChecksums:
    """Whatever comes out, it is tensors or an error of this package."""

    def test_data_block(self, prefix: str, original: dict[str, bytes]) -> None:
        index = original[INDEX]
        nbytes = decode_footer(index[-48:]).metaindex_handle.offset - 5
        assert index[nbytes] == SNAPPY
        found = survivors(prefix, INDEX, resealed(index, 0, nbytes))
        assert len(found) < 9 * nbytes / 2

    def test_index_block(self, prefix: str, original: dict[str, bytes]) -> None:
        where = decode_footer(original[INDEX][-48:]).index_handle
        expected = read_all(prefix)
        found = survivors(prefix, INDEX, resealed(original[INDEX], where.offset, where.nbytes))
        assert all(tensors == expected for tensors in found.values())

    def test_uncompressed_block(self, prefix: str, original: dict[str, bytes]) -> None:
        index = write_table(read_rows(original[INDEX]))
        put(prefix, INDEX, index)
        assert read_all(prefix) is not None
        nbytes = decode_footer(index[-48:]).metaindex_handle.offset - 5
        assert survivors(prefix, INDEX, resealed(index, 0, nbytes))

    def test_entries(self, prefix: str, original: dict[str, bytes]) -> None:
        rows = dict(read_rows(original[INDEX]))
        count = 0
        for key in (b"", b"a"):
            for _, value in [*flips(rows[key]), *cuts(rows[key])]:
                put(prefix, INDEX, write_table(sorted({**rows, key: value}.items())))
                read_all(prefix)
                count += 1
        assert count == 10 * len(rows[b""] + rows[b"a"])

    def test_lazy_listing_survives_what_reading_does_not(self, prefix: str, original: dict[str, bytes]) -> None:
        rows = dict(read_rows(original[INDEX]))
        put(prefix, INDEX, write_table(sorted({**rows, b"a": b"\xff"}.items())))
        with open_bundle(prefix) as bundle:
            assert len(bundle) == 5
            assert bundle["b"] == 2.0
            with pytest.raises(BundleError):
                bundle["a"]


@pytest.mark.parametrize("index", [b"", b"\0" * 48, b"\xff" * 48, b"\0" * 1000], ids=["none", "zeros", "ones", "more"])
def test_files_without_any_structure(tmp_path: Path, index: bytes) -> None:
    put(str(tmp_path / "model"), INDEX, index)
    assert read_all(str(tmp_path / "model")) is None


def test_handles_are_checked_before_anything_is_read(original: dict[str, bytes], tmp_path: Path) -> None:
    """Give the index block a size near 2^63 under a right magic number."""
    huge = b"\xff" * 8 + b"\x7f"
    footer = (b"\0\0" + b"\0" + huge).ljust(40, b"\0") + original[INDEX][-8:]
    (tmp_path / "model.index").write_bytes(original[INDEX][:-48] + footer)
    file = LocalStorage().open(str(tmp_path / "model.index"))
    with pytest.raises(BundleError, match="Read less bytes than requested"):
        open_table(file.read, file.nbytes)


def test_restart_count_is_checked_before_anything_is_unpacked(prefix: str, original: dict[str, bytes]) -> None:
    rows = read_rows(original[INDEX])
    table = write_table(rows)
    nbytes = decode_footer(table[-48:]).metaindex_handle.offset - 5
    block = table[: nbytes - 4] + struct.pack("<I", 2**32 - 1)
    put(prefix, INDEX, frame(block) + table[nbytes + 5 :])
    assert read_all(prefix) is None
