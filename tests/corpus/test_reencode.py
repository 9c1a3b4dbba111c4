"""Indexes that TensorFlow wrote, decoded and encoded again, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.corpus import Item, v2_items
from tests.support.requirements import corpus_root
from tests.support.tables import open_bytes, read_rows, write_table
from tfbundle.format.entries import BundleEntry
from tfbundle.format.index import decode_index, encode_index

ITEMS = [item for item in v2_items() if set(item.table["compression"]) == {0}]
each_item = pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.label)


def index_bytes(item: Item) -> bytes:
    return Path(f"{item.prefix}.index").read_bytes()


def test_corpus_has_uncompressed_indexes() -> None:
    corpus_root()
    assert len(ITEMS) >= 90


@each_item
def test_rows(item: Item) -> None:
    original = index_bytes(item)
    assert write_table(read_rows(original)) == original


@each_item
def test_entries(item: Item) -> None:
    original = index_bytes(item)
    index = decode_index(open_bytes(original))
    parts: list[bytes] = []
    encode_index(parts.append, index.header, index.items())
    assert b"".join(parts) == original


@each_item
def test_entries_without_their_bytes(item: Item) -> None:
    """From the decoded fields alone, so that nothing is copied from what was read."""
    original = index_bytes(item)
    index = decode_index(open_bytes(original))
    parts: list[bytes] = []
    encode_index(parts.append, index.header, ((key, without_bytes(entry)) for key, entry in index.items()))
    assert b"".join(parts) == original


def without_bytes(entry: BundleEntry) -> BundleEntry:
    return BundleEntry(entry.dtype, entry.shape, entry.shard_id, entry.offset, entry.size, entry.crc32c, entry.slices)
